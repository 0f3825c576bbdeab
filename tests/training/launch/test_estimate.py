"""A dry run: what a study would take, measured, with nothing trained."""

from pathlib import Path

import pytest

from tests.support.tiny import OPTIONS, RECIPE, load_tiny, train_tiny
from training import __main__ as command_line
from training.engine.step import choose_device
from training.experiment.runs import Run
from training.launch.estimate import duration, forecast, makespan


def test_dry_run_says_what_is_left_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(command_line, "keep_freed_memory", lambda: None)
    command = [*OPTIONS, "--epochs=4", f"--runs={tmp_path / 'runs'}"]
    assert command_line.main(["train", "--norm=bn", "--stop-after=1", *command]) == 0
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()

    assert command_line.main(["study", "--norm=bn,gn", "--workers=2", "--dry-run", *command]) == 0
    header, bn, gn, total, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["recipe", "variant", "seed", "epochs", "left", "steps", "images/s", "time", "disk"]
    assert bn.split()[1:5] == ["bn", "0", "3", "9"]  # 96 images in batches of 40: 3 steps an epoch
    assert gn.split()[1:5] == ["gn", "0", "4", "12"]
    assert (float(gn.split()[5]) > 0, float(gn.split()[-2]) > 0.5, gn.split()[-1]) == (True, True, "MB")
    assert total.startswith("2 runs to train, 21 steps, about ")
    assert sorted(tmp_path.rglob("*")) == before

    assert command_line.main(["train", "--norm=in", "--dry-run", *command]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:5] == ["in", "0", "4", "12"]
    assert sorted(tmp_path.rglob("*")) == before


def test_stored_state_is_as_large_as_foretold(tmp_path: Path) -> None:
    data = load_tiny(tmp_path / "data")
    train_tiny(data, tmp_path / "runs", "bin")
    run = Run("tiny", RECIPE, "bin")
    (found,) = forecast([run, run], data, tmp_path / "runs", choose_device("cpu"))
    assert (found.epochs_left, found.steps_left, found.seconds) == (0, 0, 0)
    size = (run.folder(tmp_path / "runs") / "state.pt").stat().st_size
    assert found.pace.state_bytes == pytest.approx(size, rel=0.05)


def test_queue_ends_when_its_last_worker_does() -> None:
    assert makespan([3, 2, 2, 1], 2) == 4
    assert makespan([5], 4) == 5
    assert makespan([], 2) == 0


def test_duration_in_words() -> None:
    assert [duration(seconds) for seconds in (3, 59, 61, 3600 * 5 + 60 * 7)] == ["3 s", "1 min", "1 min", "5 h 07"]
