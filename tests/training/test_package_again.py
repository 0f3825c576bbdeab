"""Packaging where something is packaged already: what stays, what joins, what is repaired."""

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from normzoo.errors import TrainingError
from normzoo.pretrained.checkpoint import HASHED
from tests.support.tiny import load_tiny, train_tiny
from tests.training.test_package import read_json, silent
from training import package as packaging
from training.data.dataset import data_root
from training.package import SeedsLostError, package
from training.runs import LOCK, State

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
