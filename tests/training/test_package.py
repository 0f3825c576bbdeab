"""Packaging: from finished runs to folders that hold all that DESIGN.md §5 names; what stays, what joins, what is repaired."""

import csv
import dataclasses
import importlib.metadata
import io
import itertools
import json
import shutil
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

import normzoo
from normzoo.analysis.results import METRICS
from normzoo.errors import CheckpointError, TrainingError
from normzoo.nn.own_norm import forget_own_norms
from normzoo.pretrained.checkpoint import HASHED
from normzoo.pretrained.serialization import file_sha256
from tests.support.own_images import write_photos
from tests.support.tiny import PACKAGED, RECIPE, ROOT, load_tiny, train_tiny
from training import cli
from training import package as package_module
from training.data.dataset import data_root, hold_out
from training.package import SeedsLostError, package, rounded
from training.runs import LOCK, State
from training.verify import evaluate

pytestmark = pytest.mark.usefixtures("_data")

FILES = {"README.md", "config.json", "history.csv", "metrics.json", "robustness.csv"}
FILES |= {"model.safetensors", "val_logits.safetensors"}


@pytest.fixture(params=list(PACKAGED))
def folder(request, packaged):
    """Each packaged variant."""
    return packaged / "checkpoints/tiny/quick" / str(request.param)


def read_json(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def silent(line):
    pass


def test_folder_holds_the_files_of_the_design_and_nothing_else(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert {path.name for path in folder.parent.iterdir()} == set(PACKAGED)


def test_metrics_say_where_they_come_from(folder):
    provenance = read_json(folder / "metrics.json")["provenance"]
    assert provenance["recipe"] == RECIPE.to_dict()
    assert provenance["precision"] == "fp32"
    assert (provenance["data"]["name"], provenance["data"]["num_train"], provenance["data"]["num_val"]) == ("tiny", 96, 24)
    assert provenance["weights_sha256"] == file_sha256(folder / "model.safetensors")
    assert provenance["history_sha256"] == file_sha256(folder / "history.csv")
    assert provenance["logits_sha256"] == file_sha256(folder / "val_logits.safetensors")
    session = provenance["runs"][0]["sessions"][0]
    assert {"command", "commit", "device", "threads", "python", "packages", "seconds"} <= session.keys()
    assert session["packages"]["torch"] == importlib.metadata.version("torch")


def test_parameters_and_macs_are_the_networks(folder):
    metrics = read_json(folder / "metrics.json")
    network = normzoo.load_model(folder).network
    assert metrics["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    # A first convolution; two a stage, the second and third at half the size; a linear layer.
    stages = [16 * 16 * 9 * 2 * 16 * 16, 8 * 8 * 9 * (16 * 32 + 32 * 32), 4 * 4 * 9 * (32 * 64 + 64 * 64)]
    assert metrics["macs"] == 16 * 16 * 9 * 3 * 16 + sum(stages) + 64 * 4


def test_card_has_an_index_that_the_hub_reads(folder):
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["library_name"], front["pipeline_tag"]) == ("normzoo", "image-classification")
    figures = front["model-index"][0]["results"][0]["metrics"]
    final = read_json(folder / "metrics.json")["final"]["val"]
    assert {figure["name"]: figure["value"] for figure in figures} == {
        name: round(final[name]["mean"], 4) for name in ("accuracy", "macro_f1", "micro_f1")
    }
    assert f"n = {len(PACKAGED[folder.name])} (seed" in text
    assert "torch's own layer" in text or not folder.name.startswith("torch")


def test_unfinished_run_is_named_and_left_out(runs, tmp_path):
    train_tiny(load_tiny(tmp_path / "data"), runs, "gn", stop_after=1)
    lines = []
    written = package(runs, tmp_path / "checkpoints", lines.append)
    assert [path.name for path in written] == ["bn"]
    assert f"skipped: {runs / 'tiny/quick/gn/seed-0'} has 1 of 2 epochs" in lines


def test_runs_on_held_out_images_become_a_table(runs, tmp_path):
    state = train_tiny(hold_out(load_tiny(tmp_path / "data"), 0.25), runs)
    lines = []
    assert len(package(runs, tmp_path / "checkpoints", lines.append)) == 1
    with open(tmp_path / "checkpoints/tiny/search.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["recipe"], row["variant"], row["epochs"], row["holdout"]) == ("quick", "bn", "2", "0.25")
    assert float(row["holdout_accuracy"]) == pytest.approx(state.history[-1]["accuracy"], abs=1e-6)


def test_figure_that_is_no_number_is_never_written(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(package_module, "count_macs", lambda *_: float("nan"))
    with pytest.raises(CheckpointError, match="Could not write"):
        package(runs, tmp_path / "checkpoints", silent)
    assert list((tmp_path / "checkpoints/tiny/quick").iterdir()) == []


def test_shares_are_rounded_once_when_they_are_shown():
    exact = 0.5873496  # at six decimals it would be 0.58735, and 58.74 on the screen
    stored = rounded({"macro_f1": {"mean": exact}, "loss": {"mean": exact}})
    assert METRICS["macro_f1"].text(stored["macro_f1"]["mean"]) == "58.73"
    assert stored["loss"]["mean"] == 0.58735


def test_what_is_packaged_is_left_alone_until_asked_and_then_the_same_without_what_was_left_half_written(runs, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    (folder,) = package(runs, checkpoints, silent)
    before, written = {path.name: path.read_bytes() for path in folder.iterdir()}, (folder / "metrics.json").stat().st_mtime_ns
    lines = []
    package(runs, checkpoints, lines.append)
    assert lines == [f"{folder}  unchanged"]
    assert (folder / "metrics.json").stat().st_mtime_ns == written
    (folder.parent / ".bn-halfmade").mkdir()
    package(runs, checkpoints, silent, again=True)
    assert (folder / "metrics.json").stat().st_mtime_ns > written
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_damaged_file_is_packaged_again(runs, tmp_path, monkeypatch):
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    whole = {name: (folder / name).read_bytes() for name in HASHED.values()}
    damages = (lambda path: path.write_bytes(path.read_bytes()[:-5]), Path.unlink)
    with monkeypatch.context() as patch:
        packaged = []
        patch.setattr(package_module, "_package_variant", lambda variant, *_: packaged.append(variant) or [])
        for damage, name in itertools.product(damages, whole):
            damage(folder / name)
            package(runs, tmp_path / "checkpoints", silent)
            (folder / name).write_bytes(whole[name])
        assert packaged == ["bn"] * len(damages) * len(whole)
    for name in whole:
        damages[0](folder / name)
    package(runs, tmp_path / "checkpoints", silent)
    assert {name: (folder / name).read_bytes() for name in whole} == whole


def test_two_do_not_package_at_once_and_renamed_runs_are_left_alone(runs, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(runs / "tiny/quick/bn/seed-0", runs / "tiny/quick/bn/seed-0-old")
    (folder,) = package(runs, checkpoints, silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]
    with FileLock(checkpoints / LOCK), pytest.raises(TrainingError, match="Another process"):
        package(runs, checkpoints, silent)


def test_seeds_join_those_that_are_packaged_already(runs, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    (together,) = package(runs, whole, silent)
    both = runs / "tiny/quick/bn"
    shutil.move(both / "seed-0", tmp_path / "seed-0")
    package(runs, parts, silent)
    shutil.move(both / "seed-1", tmp_path / "seed-1")
    shutil.move(tmp_path / "seed-0", both / "seed-0")
    (joined,) = package(runs, parts, silent)
    assert {path.name: path.read_bytes() for path in joined.iterdir()} == {
        path.name: path.read_bytes() for path in together.iterdir()
    }


def test_packaged_seeds_of_other_settings_do_not_join(runs, tmp_path):
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    shutil.rmtree(runs / "tiny/quick/bn/seed-1")
    state = State.load(runs / "tiny/quick/bn/seed-0")
    state.run = dataclasses.replace(state.run, recipe=state.run.recipe.changed(lr=0.5))
    state.sessions[0]["seconds"] = 1.0
    state.save(runs / "tiny/quick/bn/seed-0")
    lines = []
    with pytest.raises(SeedsLostError, match=r"bn has seed 1, .* Replace them with --again"):
        package(runs, tmp_path / "checkpoints", lines.append)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]
    package(runs, tmp_path / "checkpoints", lines.append, again=True)
    assert read_json(folder / "metrics.json")["seeds"] == [0]
    assert lines == [f"{folder}  seeds 0; they replace seeds 1, trained otherwise"]


@pytest.mark.parametrize("norm", ["bn", "nn"])
def test_packaged_seeds_join_although_the_layer_takes_other_arguments(norm, runs, tmp_path):
    if norm == "nn":
        shutil.rmtree(runs / "tiny/quick/bn")
        for seed in (0, 1):
            train_tiny(load_tiny(data_root()), runs, norm, seed)
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    shutil.rmtree(runs / f"tiny/quick/{norm}/seed-1")
    config = read_json(folder / "config.json")
    if norm == "bn":
        del config["norm_arguments"]["bias"]
    else:
        config["norm_arguments"] = {"eps": 1e-5, "affine": True}  # as it once was packaged
    (folder / "config.json").write_text(json.dumps(config))
    state = State.load(runs / f"tiny/quick/{norm}/seed-0")
    state.sessions[0]["seconds"] = 1.0  # not what is packaged
    state.save(runs / f"tiny/quick/{norm}/seed-0")
    package(runs, tmp_path / "checkpoints", silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]


def test_seeds_of_different_settings_are_refused(runs, tmp_path):
    state = State.load(runs / "tiny/quick/bn/seed-1")
    state.run = dataclasses.replace(state.run, recipe=state.run.recipe.changed(lr=0.5))
    state.save(runs / "tiny/quick/bn/seed-1")
    with pytest.raises(TrainingError, match="the same settings and images"):
        package(runs, tmp_path / "checkpoints", silent)


def _no_runs(folder):
    metrics = read_json(folder / "metrics.json")
    del metrics["provenance"]["runs"]
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.mark.parametrize("damage", [_no_runs, lambda folder: (folder / "config.json").unlink()])
def test_what_cannot_be_read_is_not_replaced_unless_asked_and_then_kept_beside(damage, runs, tmp_path):
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    shutil.rmtree(runs / "tiny/quick/bn/seed-1")
    damage(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SeedsLostError, match=r"bn cannot be read.* Replace it with --again"):
        package(runs, tmp_path / "checkpoints", silent)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    package(runs, tmp_path / "checkpoints", silent, again=True)
    package(runs, tmp_path / "checkpoints", silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0]
    (kept,) = folder.parent.glob(".bn.damaged*")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_seeds_whose_runs_are_gone_are_not_lost_where_a_file_of_theirs_is_damaged(runs, tmp_path):
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    shutil.rmtree(runs / "tiny/quick/bn/seed-1")
    (folder / "history.csv").write_text("seed\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SeedsLostError, match="seeds without runs here"):
        package(runs, tmp_path / "checkpoints", silent)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_seed_that_joins_leaves_the_weights_those_of_the_oldest(runs, tmp_path):
    both, checkpoints = runs / "tiny/quick/bn", tmp_path / "checkpoints"
    state = State.load(both / "seed-1")
    state.history[-1]["loss"] += 1e-5  # as another machine measures it
    state.save(both / "seed-1")
    shutil.move(both / "seed-1", tmp_path / "seed-1")
    (folder,) = package(runs, checkpoints, silent)
    weights = (folder / "model.safetensors").read_bytes()
    shutil.move(tmp_path / "seed-1", both / "seed-1")
    shutil.rmtree(both / "seed-0")
    package(runs, checkpoints, silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]
    assert (folder / "model.safetensors").read_bytes() == weights
    assert evaluate(checkpoints, silent, workers=1) == []  # which computes seed 0 from them


def test_runs_on_other_images_are_left_out_with_what_to_do_and_the_others_packaged(packaged, tmp_path):
    shutil.copytree(packaged / "runs", tmp_path / "runs")
    state = State.load(tmp_path / "runs/tiny/quick/gn/seed-0")
    state.data_digest = "0" * 64
    state.save(tmp_path / "runs/tiny/quick/gn/seed-0")
    with pytest.raises(SeedsLostError, match=r"gn of quick was trained on other images .* --retrain"):
        package(tmp_path / "runs", tmp_path / "checkpoints", silent)
    assert {path.name for path in (tmp_path / "checkpoints/tiny/quick").iterdir()} == {"bin", "bn", "torch-bn"}


def test_nothing_that_is_published_says_whose_machine_it_was(tmp_path, monkeypatch):
    home = tmp_path / "home" / "agatha.telling"
    write_photos(home / "pets")
    monkeypatch.setenv("HOME", str(home))
    for name in ("socket.gethostname", "platform.node"):
        monkeypatch.setattr(name, lambda: "agathas-laptop")
    monkeypatch.setenv("NORMZOO_DATA", str(home / "data"))
    monkeypatch.chdir(home)
    shutil.copy(ROOT / "examples/frn.py", home / "mine.py")
    quick = ["--depth=8", "--image-size=16", "--epochs=1", "--batch-size=20", "--amp=fp32", "--compile=off"]
    for norm in ("bn", f"{home / 'mine.py'}:FRN"):
        words = ["train", "--norm", norm, "--data", str(home / "pets"), "--runs", str(home / "runs"), *quick]
        assert cli.main(words) == 0
    assert cli.main(["package", f"--norm={home / 'mine.py'}:FRN"]) == 0
    forget_own_norms()
    published = [path for path in (home / "checkpoints").rglob("*") if path.is_file() and path.name != "lock"]
    assert len(published) > 14
    for path in published:
        content = path.read_bytes()
        assert not [word for word in ("agatha", str(tmp_path)) if word.encode() in content], path
    metrics = read_json(next(home.glob("checkpoints/*/*/bn/metrics.json")))
    sessions = metrics["provenance"]["runs"][0]["sessions"]
    assert sessions[0]["command"].startswith("python -m training train --norm=bn --recipe=paper --data=pets --seed=0 ")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert cli.main([*sessions[0]["command"].split()[3:], "--compile=off", "--dry-run"]) == 0  # it runs where the images are
