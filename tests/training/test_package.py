"""Packaging: from finished runs to folders that hold all that DESIGN.md §5 names; what stays, what joins, what is repaired."""

import csv
import dataclasses
import importlib.metadata
import io
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from safetensors.torch import load_file

import normzoo
from normzoo.analysis.results import METRICS
from normzoo.errors import CheckpointError, DataError, TrainingError
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.nn.named_norms import forget_own_norms
from normzoo.pretrained.checkpoint import HASHED, open_checkpoint
from normzoo.pretrained.serialization import file_sha256
from tests.support.checkpoints import save_sized_set
from tests.support.own_images import write_photos
from tests.support.tiny import CLASSES, PACKAGED, RECIPE, ROOT, load_tiny, train_tiny
from training import cli
from training import package as package_module
from training.cards import folder_card, model_card
from training.data.dataset import data_root, hold_out
from training.package import SeedsLostError, package, rounded
from training.runs import LOCK, State
from training.verify import evaluate

pytestmark = pytest.mark.usefixtures("_data")

FILES = [
    "README.md",
    "config.json",
    "history.csv",
    "metrics.json",
    "model.safetensors",
    "robustness.csv",
    "val_logits.safetensors",
]


@pytest.fixture(params=list(PACKAGED))
def folder(request: pytest.FixtureRequest, packaged: Path) -> Path:
    """Each packaged variant."""
    return packaged / "checkpoints/tiny/quick" / str(request.param)


def read_json(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def silent(line: str) -> None:
    pass


def test_folder_holds_the_files_of_the_design_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert {path.name for path in folder.parent.iterdir()} == set(PACKAGED)


def test_metrics_hold_every_seed_and_their_mean_and_deviation(folder: Path) -> None:
    metrics = read_json(folder / "metrics.json")
    seeds = list(PACKAGED[folder.name])
    assert metrics["seeds"] == seeds
    for split in ("train", "val"):
        for figure in metrics["final"][split].values():
            assert len(figure["values"]) == len(seeds)
            assert figure["mean"] == pytest.approx(sum(figure["values"]) / len(seeds), abs=1e-6)
            assert (figure["sd"] is None) == (len(seeds) == 1)
    assert [each["class"] for each in metrics["per_class"]["0"]] == list(CLASSES)
    assert [sum(row) for row in metrics["confusion_matrix"]["0"]] == [6, 6, 6, 6]


def test_metrics_say_where_they_come_from(folder: Path) -> None:
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


def test_parameters_and_macs_are_the_networks(folder: Path) -> None:
    metrics = read_json(folder / "metrics.json")
    network = normzoo.load_model(folder).network
    assert metrics["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    # A first convolution; two a stage, the second and third at half the size; a linear layer.
    stages = [16 * 16 * 9 * 2 * 16 * 16, 8 * 8 * 9 * (16 * 32 + 32 * 32), 4 * 4 * 9 * (32 * 64 + 64 * 64)]
    assert metrics["macs"] == 16 * 16 * 9 * 3 * 16 + sum(stages) + 64 * 4


def test_history_holds_every_epoch_and_ends_with_the_final_figures(folder: Path) -> None:
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["seed"]), int(row["epoch"]), row["split"]) for row in rows] == [
        (seed, epoch, split) for seed in PACKAGED[folder.name] for epoch in (1, 2) for split in ("train", "val")
    ]
    final = read_json(folder / "metrics.json")["final"]["val"]
    for name in ("loss", "accuracy", "macro_f1", "micro_f1"):
        assert [float(row[name]) for row in rows if (row["epoch"], row["split"]) == ("2", "val")] == final[name]["values"]


def test_logits_are_stored_as_float16_with_the_labels(folder: Path) -> None:
    tensors = load_file(folder / "val_logits.safetensors")
    assert sorted(tensors) == ["labels", *(f"seed_{seed}" for seed in PACKAGED[folder.name])]
    assert {(str(logits.dtype), (*logits.shape,)) for name, logits in tensors.items() if name != "labels"} == {
        ("torch.float16", (24, 4))
    }


def test_card_has_an_index_that_the_hub_reads(folder: Path) -> None:
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


def test_unfinished_run_is_named_and_left_out(runs: Path, tmp_path: Path) -> None:
    train_tiny(load_tiny(tmp_path / "data"), runs, "gn", stop_after=1)
    lines: list[str] = []
    written = package(runs, tmp_path / "checkpoints", lines.append)
    assert [path.name for path in written] == ["bn"]
    assert f"left out: {runs / 'tiny/quick/gn/seed-0'} has 1 of 2 epochs" in lines


def test_runs_on_held_out_images_become_a_table(runs: Path, tmp_path: Path) -> None:
    state = train_tiny(hold_out(load_tiny(tmp_path / "data"), 0.25), runs)
    lines: list[str] = []
    assert len(package(runs, tmp_path / "checkpoints", lines.append)) == 1
    with open(tmp_path / "checkpoints/tiny/search.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["recipe"], row["variant"], row["epochs"], row["holdout"]) == ("quick", "bn", "2", "0.25")
    assert float(row["holdout_accuracy"]) == pytest.approx(state.history[-1]["accuracy"], abs=1e-6)


def test_robustness_holds_every_corruption_at_every_severity(folder: Path) -> None:
    with open(folder / "robustness.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["corruption"], int(row["severity"])) for row in rows] == [
        ("0", name, severity) for name in CORRUPTIONS for severity in SEVERITIES
    ]
    accuracies = {(row["corruption"], row["severity"]): float(row["accuracy"]) for row in rows}
    # The made-up classes differ in their brightness alone.
    clean = read_json(folder / "metrics.json")["final"]["val"]["accuracy"]["values"][0]
    assert accuracies["saturation", "1"] >= accuracies["brightness_down", "5"]
    assert accuracies["brightness_down", "5"] < clean


def test_nothing_finished_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"No finished run under .*python -m training study"):
        package(tmp_path, tmp_path / "checkpoints", silent)


def test_missing_images_are_said(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="tiny"):
        package(runs, tmp_path / "checkpoints", silent)


def test_figure_that_is_no_number_is_never_written(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_module, "count_macs", lambda *_: float("nan"))
    with pytest.raises(CheckpointError, match="Could not write"):
        package(runs, tmp_path / "checkpoints", silent)
    assert list((tmp_path / "checkpoints/tiny/quick").iterdir()) == []


def test_figures_are_kept_at_six_decimals() -> None:
    assert rounded([0.123456789, {"small": 1.23456789e-5}, 7, "x", None]) == [0.123457, {"small": 1.23457e-5}, 7, "x", None]


def test_shares_are_rounded_once_when_they_are_shown() -> None:
    exact = 0.5873496  # at six decimals it would be 0.58735, and 58.74 on the screen
    stored = rounded({"macro_f1": {"mean": exact}, "loss": {"mean": exact}})
    assert METRICS["macro_f1"].text(stored["macro_f1"]["mean"]) == "58.73"
    assert stored["loss"]["mean"] == 0.58735


def test_the_folder_of_all_checkpoints_says_what_lies_where(runs: Path, tmp_path: Path) -> None:
    package(runs, tmp_path / "checkpoints", silent)
    text = (tmp_path / "checkpoints/README.md").read_text()
    assert "| `tiny/quick` | a recipe of its own | 1 variant, n = 2 |" in text
    assert "search.csv" in text
    assert "the rates of all its steps sum up to\n0.43" in text


def test_the_folder_of_all_checkpoints_says_what_another_training_is(tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50})
    save_sized_set(tmp_path, "toy-64px", 64, {"bn": 60})
    save_sized_set(tmp_path, "toy", 32, {"in": 45}, name="strong,last_norm=nn")
    text = folder_card(tmp_path)
    assert "| `toy/strong` | the recipe whose networks answer best; the page begins with it | 1 variant, n = 2 |" in text
    assert "| `toy-64px/strong` | `toy/strong` again, on the same photos at 64×64 pixels | 1 variant, n = 2 |" in text
    assert "| `toy/strong,last_norm=nn` | `strong` with last_norm=nn | 1 variant, n = 2 |" in text


def test_the_card_names_another_last_norm(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    config = dataclasses.replace(checkpoint.config, last_norm="nn")
    assert "Its last norm layer is another: no normalization." in model_card(config, checkpoint.metrics)
    assert "last norm layer" not in model_card(checkpoint.config, checkpoint.metrics)


def test_what_is_packaged_is_left_alone_until_asked(runs: Path, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    (folder,) = package(runs, checkpoints, silent)
    written = (folder / "metrics.json").stat().st_mtime_ns
    lines: list[str] = []
    package(runs, checkpoints, lines.append)
    assert lines == [f"{folder}  unchanged"]
    assert (folder / "metrics.json").stat().st_mtime_ns == written
    package(runs, checkpoints, silent, again=True)
    assert (folder / "metrics.json").stat().st_mtime_ns > written


def test_a_damaged_file_is_packaged_again(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    whole = {name: (folder / name).read_bytes() for name in HASHED.values()}
    damages = (lambda path: path.write_bytes(path.read_bytes()[:-5]), Path.unlink)
    with monkeypatch.context() as patch:
        packaged: list[str] = []
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


def test_two_do_not_package_at_once_and_renamed_runs_are_left_alone(runs: Path, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(runs / "tiny/quick/bn/seed-0", runs / "tiny/quick/bn/seed-0-old")
    (folder,) = package(runs, checkpoints, silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]
    with FileLock(checkpoints / LOCK), pytest.raises(TrainingError, match="Another process packages into"):
        package(runs, checkpoints, silent)


def test_seeds_join_those_that_are_packaged_already(runs: Path, tmp_path: Path) -> None:
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


def test_packaged_seeds_of_other_settings_do_not_join(runs: Path, tmp_path: Path) -> None:
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    shutil.rmtree(runs / "tiny/quick/bn/seed-1")
    state = State.load(runs / "tiny/quick/bn/seed-0")
    assert state is not None
    state.run = dataclasses.replace(state.run, recipe=state.run.recipe.changed(lr=0.5))
    state.sessions[0]["seconds"] = 1.0
    state.save(runs / "tiny/quick/bn/seed-0")
    lines: list[str] = []
    with pytest.raises(SeedsLostError, match=r"bn has seed 1, trained otherwise .* Replace them with --again"):
        package(runs, tmp_path / "checkpoints", lines.append)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]
    package(runs, tmp_path / "checkpoints", lines.append, again=True)
    assert read_json(folder / "metrics.json")["seeds"] == [0]
    assert lines == [f"{folder}  seeds 0; they replace seeds 1, trained otherwise"]


@pytest.mark.parametrize("norm", ["bn", "nn"])
def test_packaged_seeds_join_although_the_layer_takes_other_arguments(norm: str, runs: Path, tmp_path: Path) -> None:
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
    assert state is not None
    state.sessions[0]["seconds"] = 1.0  # not what is packaged
    state.save(runs / f"tiny/quick/{norm}/seed-0")
    package(runs, tmp_path / "checkpoints", silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]


def test_packaging_again_changes_nothing_and_sweeps_what_was_left_half_written(runs: Path, tmp_path: Path) -> None:
    (first,) = package(runs, tmp_path / "checkpoints", silent)
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    (first.parent / ".bn-halfmade").mkdir()
    (first.parent / ".bn-halfmade" / "config.json").write_text("{")
    package(runs, tmp_path / "checkpoints", silent, again=True)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert list(first.parent.iterdir()) == [first]


def test_seeds_of_different_settings_are_refused(runs: Path, tmp_path: Path) -> None:
    state = State.load(runs / "tiny/quick/bn/seed-1")
    assert state is not None
    state.run = dataclasses.replace(state.run, recipe=state.run.recipe.changed(lr=0.5))
    state.save(runs / "tiny/quick/bn/seed-1")
    with pytest.raises(TrainingError, match="trained with different settings or images"):
        package(runs, tmp_path / "checkpoints", silent)


def _newer(folder: Path) -> None:
    config = read_json(folder / "config.json")
    (folder / "config.json").write_text(json.dumps({**config, "format_version": 2}))


def _no_metrics(folder: Path) -> None:
    (folder / "metrics.json").write_text("{")


def _no_runs(folder: Path) -> None:
    metrics = read_json(folder / "metrics.json")
    del metrics["provenance"]["runs"]
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.mark.parametrize("damage", [_newer, _no_metrics, _no_runs, lambda folder: (folder / "config.json").unlink()])
def test_what_cannot_be_read_is_not_replaced_unless_asked_and_then_kept_beside(
    damage: Callable[[Path], None], runs: Path, tmp_path: Path
) -> None:
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    shutil.rmtree(runs / "tiny/quick/bn/seed-1")
    damage(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SeedsLostError, match=r"bn cannot be read, and stays as it is: .* Replace it with --again"):
        package(runs, tmp_path / "checkpoints", silent)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    package(runs, tmp_path / "checkpoints", silent, again=True)
    package(runs, tmp_path / "checkpoints", silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0]
    (kept,) = folder.parent.glob(".bn.damaged*")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_seeds_whose_runs_are_gone_are_not_lost_where_a_file_of_theirs_is_damaged(runs: Path, tmp_path: Path) -> None:
    (folder,) = package(runs, tmp_path / "checkpoints", silent)
    shutil.rmtree(runs / "tiny/quick/bn/seed-1")
    (folder / "history.csv").write_text("seed\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SeedsLostError, match="has seeds whose runs are not here, and cannot be read whole"):
        package(runs, tmp_path / "checkpoints", silent)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_seed_that_joins_leaves_the_weights_those_of_the_oldest(runs: Path, tmp_path: Path) -> None:
    both, checkpoints = runs / "tiny/quick/bn", tmp_path / "checkpoints"
    shutil.move(both / "seed-1", tmp_path / "seed-1")
    (folder,) = package(runs, checkpoints, silent)
    weights = (folder / "model.safetensors").read_bytes()
    shutil.move(tmp_path / "seed-1", both / "seed-1")
    shutil.rmtree(both / "seed-0")
    package(runs, checkpoints, silent)
    assert read_json(folder / "metrics.json")["seeds"] == [0, 1]
    assert (folder / "model.safetensors").read_bytes() == weights
    assert evaluate(checkpoints, silent, workers=1) == []  # which computes seed 0 from them


def test_runs_on_other_images_are_left_out_with_what_to_do_and_the_others_packaged(packaged: Path, tmp_path: Path) -> None:
    shutil.copytree(packaged / "runs", tmp_path / "runs")
    state = State.load(tmp_path / "runs/tiny/quick/gn/seed-0")
    assert state is not None
    state.data_digest = "0" * 64
    state.save(tmp_path / "runs/tiny/quick/gn/seed-0")
    with pytest.raises(SeedsLostError, match=r"gn of quick was trained on other images .* --retrain"):
        package(tmp_path / "runs", tmp_path / "checkpoints", silent)
    assert {path.name for path in (tmp_path / "checkpoints/tiny/quick").iterdir()} == {"bin", "bn", "torch-bn"}


def test_nothing_that_is_published_says_whose_machine_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "agatha.telling"
    write_photos(home / "pets")
    monkeypatch.setenv("HOME", str(home))
    for name in ("socket.gethostname", "platform.node"):
        monkeypatch.setattr(name, lambda: "agathas-laptop")
    monkeypatch.setenv("NORMZOO_DATA", str(home / "data"))
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)
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
