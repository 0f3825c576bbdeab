"""Packaging where something is packaged already: what stays, what joins, what is repaired."""

import dataclasses
import io
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from normzoo.errors import TrainingError
from normzoo.nn.named_norms import forget_own_norms
from normzoo.pretrained.checkpoint import HASHED
from tests.support.own_images import write_photos
from tests.support.tiny import ROOT, load_tiny, train_tiny
from tests.training.test_package import read_json, silent
from training import cli
from training import package as packaging
from training.data.dataset import data_root
from training.package import SeedsLostError, package
from training.runs import LOCK, State
from training.verify import evaluate

pytestmark = pytest.mark.usefixtures("_data")


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
        patch.setattr(packaging, "_package_variant", lambda variant, *_: packaged.append(variant) or [])
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


@pytest.mark.parametrize("damage", [_newer, _no_metrics, lambda folder: (folder / "config.json").unlink()])
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
