"""A study: each run in a process, what is done is skipped, what failed is named; killed, nothing is lost or trained twice."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.support import warm
from tests.support.tiny import OPTIONS, RECIPE, ROOT, load_tiny, subprocess_environment, train_tiny
from tests.training.test_config import recipe_of
from training import cli
from training.config import Run
from training.engine.step import choose_device
from training.launch import local
from training.launch.local import duration, estimate, finished, makespan, progress_table, study
from training.runs import State, lock, tell_doing

pytestmark = pytest.mark.process

STUDY = ["study", "--norm=bn,nn", "--workers=2", *OPTIONS, "--epochs=1", "--horizontal-flip=yes"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(local, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(local, "subprocess", warm)
    monkeypatch.chdir(ROOT)
    return tmp_path


def test_study_trains_what_is_not_done_and_names_what_failed(folder, monkeypatch, capsys):
    command = [*STUDY, f"--runs={folder / 'runs'}"]
    recipe_folder = folder / "runs/tiny/paper,depth=8,image_size=16,epochs=1,batch_size=40,lr=0.01,horizontal_flip=True"
    bn, nn = recipe_folder / "bn/seed-0", recipe_folder / "nn/seed-0"
    nn.mkdir(parents=True)
    digest = load_tiny(folder / "data").digest
    State(Run("tiny", RECIPE, "nn"), digest, 0, {}, {}, [], []).save(nn)  # of other settings
    assert cli.main(command) == 2
    told = capsys.readouterr()
    assert "2 runs, 0 finished before, 2 at a time." in told.out
    assert f"1 of 2 runs stopped with an error. See {nn / 'train.log'}, then run this again." in told.err
    assert "holds a run with other settings" in (nn / "train.log").read_text()

    state = State.load(bn)
    assert (state.run.precision, state.sessions[0]["threads"], state.sessions[0]["compiled"]) == ("fp32", 1, False)
    before = (bn / "state.pt").stat().st_mtime_ns
    assert cli.main([*command, "--retrain"]) == 0
    told = capsys.readouterr()
    assert "2 runs, 1 finished before, 2 at a time." in told.out
    assert [line.split()[1:4] for line in told.out.splitlines()[-2:]] == [["bn", "0", "1/1"], ["nn", "0", "1/1"]]
    assert State.load(nn.with_name("seed-0-before-1")).run.recipe == RECIPE  # set aside, and not lost

    monkeypatch.setattr(warm, "Popen", None)  # nothing is left to start
    assert cli.main(command) == 0
    assert (bn / "state.pt").stat().st_mtime_ns == before
    (made_again,) = (folder / "runs/tiny").glob("study*.toml")
    capsys.readouterr()
    assert cli.main(["study", str(made_again), f"--runs={folder / 'runs'}"]) == 0
    assert capsys.readouterr().out.startswith("2 runs, 2 finished before")


def test_runs_trained_on_other_images_are_named_at_once_and_trained_anew_only_when_asked(folder, monkeypatch, capsys):
    command = [*STUDY, f"--runs={folder / 'runs'}"]
    assert cli.main(command) == 0
    kept = {path: path.read_bytes() for path in (folder / "runs").rglob("state.pt")}
    description = folder / "data/tiny-16px/dataset.json"
    description.write_text(description.read_text().replace('"digest": "', '"digest": "0'))
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(warm, "Popen", None)
        assert cli.main(command) == 2
    told = capsys.readouterr()
    assert "2 of 2 runs were trained on other images than tiny has now (bn seed 0, nn seed 0). Add --retrain" in told.err
    assert {path: path.read_bytes() for path in kept} == kept
    assert cli.main([*command, "--retrain"]) == 0
    assert all(State.load(path.parent).data_digest.startswith("0") for path in kept)
    assert sorted(path.read_bytes() for path in (folder / "runs").rglob("seed-0-before-1/state.pt")) == sorted(kept.values())


def test_run_is_finished_after_its_last_epoch_with_its_own_settings_and_images(folder):
    data, runs = load_tiny(folder / "data"), folder / "runs"
    run = Run("tiny", RECIPE, "bn")
    assert not finished(run, runs)
    train_tiny(data, runs, stop_after=1)
    assert not finished(run, runs)
    train_tiny(data, runs)
    assert finished(run, runs, lambda run: data.digest)
    assert not finished(Run("tiny", RECIPE.changed(lr=0.5), "bn"), runs)
    assert not finished(run, runs, lambda run: "other")
    lines = []
    study([run] * 2, runs, 1, [], say=lines.append)  # twice is once
    assert lines[0] == "1 run, 1 finished before, 1 at a time."


def test_progress_table_has_every_run_with_its_last_epoch_or_what_it_does(folder):
    state, runs = train_tiny(load_tiny(folder / "data"), folder / "runs", stop_after=1), folder / "runs"
    other = Run("tiny", RECIPE, "gn", 3)
    other.folder(runs).mkdir(parents=True)
    tell_doing(other.folder(runs), "compiling")
    table = progress_table([Run("tiny", RECIPE, "bn"), other], runs).splitlines()
    figures = [f"{state.history[0]['loss']:.4f}", f"{state.history[1]['loss']:.4f}", f"{state.history[1]['accuracy']:.4f}"]
    assert table[1].split() == ["quick", "bn", "0", "1/2", *figures]
    assert table[2].split() == ["quick", "gn", "3", "compiling"]


def test_run_that_another_process_trains_is_left_to_it_and_taken_over_when_it_dies(folder, monkeypatch):
    runs = folder / "runs"
    busy, free, late = (Run("tiny", RECIPE, norm) for norm in ("bn", "nn", "gn"))
    busy.folder(runs).mkdir(parents=True)
    lines = []
    started = []

    def start(run, root, arguments):
        started.append(run.norm)
        train_tiny(load_tiny(folder / "data"), root, run.norm)
        code = local.EXIT_BUSY if run is late else 0  # by another, which was faster
        return subprocess.Popen(["sh", "-c", f"exit {code}"])

    monkeypatch.setattr(local, "_start", start)
    with contextlib.ExitStack() as other_process:
        other_process.enter_context(lock(busy.folder(runs)))

        def say(line):
            lines.append(line)
            if "Waiting, to take over" in line:
                assert sorted(started) == ["gn", "nn"]
                other_process.close()  # it is dead

        study([busy, free, late], runs, 2, [], say=say)
    assert started[-1] == "bn"
    assert "Other processes train 1 run. Waiting, to take over if they stop." in lines


def test_busy_run_ends_train_with_a_code_of_its_own(folder, capsys):
    command = ["train", "--norm=bn", *OPTIONS, "--epochs=1", f"--runs={folder / 'runs'}"]
    assert cli.main(command) == 0
    (path,) = folder.rglob("runs/**/lock")
    with lock(path.parent):
        assert cli.main(command) == local.EXIT_BUSY
    assert "Another process is training" in capsys.readouterr().err


def test_dry_run_says_what_is_left_and_writes_nothing(folder, capsys):
    command = [*OPTIONS, "--epochs=4", f"--runs={folder / 'runs'}"]
    assert cli.main(["train", "--norm=bn", "--stop-after=1", *command]) == 0
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    assert cli.main(["study", "--norm=bn,gn", "--workers=2", "--dry-run", *command, "--lr=0.01,0.02"]) == 0
    header, *rows, total, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["recipe", "variant", "seed", "epochs", "left", "steps", "images/s", "time", "disk"]
    assert [row.split()[1:5] for row in rows] == [  # 96 images in batches of 40: 3 steps an epoch
        ["bn", "0", "3", "9"],
        ["gn", "0", "4", "12"],
        ["bn", "0", "4", "12"],
        ["gn", "0", "4", "12"],
    ]
    assert total.startswith("4 runs to train, 45 steps, about ")
    assert cli.main(["train", "--norm=in", "--dry-run", *command]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:5] == ["in", "0", "4", "12"]
    assert sorted(folder.rglob("*")) == before


def test_estimates_in_bytes_and_words(folder):
    data = load_tiny(folder / "data")
    train_tiny(data, folder / "runs", "bin")
    run = Run("tiny", RECIPE, "bin")
    (found,) = estimate([run, run], lambda run: data, folder / "runs", choose_device("cpu"))
    assert (found.epochs_left, found.steps_left, found.seconds) == (0, 0, 0)
    size = (run.folder(folder / "runs") / "state.pt").stat().st_size
    assert found.timing.state_bytes == pytest.approx(size, rel=0.05)
    assert [makespan([3, 2, 2, 1], 2), makespan([5], 4), makespan([], 2)] == [4, 5, 0]
    assert [duration(seconds) for seconds in (3, 59, 61, 3600 * 5 + 60 * 7)] == ["3 s", "1 min", "1 min", "5 h 07"]


#: `python -m training`, whose runs begin sooner. Whoever starts the tests in the background may have had signals ignored.
QUICKER = """
import signal, sys
from tests.support import warm
from training.cli import main
from training.launch import local
signal.signal(signal.SIGHUP, signal.SIG_DFL); signal.signal(signal.SIGINT, signal.default_int_handler)
local.subprocess = warm.forking
sys.exit(main())
"""


def start(runs, log, *words):
    """A study in a process group of its own, which can be killed as a whole, as when a machine fails."""
    command = [sys.executable, "-c", QUICKER, "study", "--workers=1", *OPTIONS, f"--runs={runs}", *words]
    with open(log, "wb") as file:
        environment = subprocess_environment(runs.parent / "data")
        return warm.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_whatever_ends_a_study_ends_its_runs_after_their_epoch(name, folder):
    runs = folder / "runs"
    process = start(runs, folder / "log", "--norm=bn", "--epochs=2000")
    deadline = time.monotonic() + 60
    while not list(runs.rglob("state.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, getattr(signal, name))
    assert process.wait(30) == local.EXIT_INTERRUPTED, (folder / "log").read_text()
    (path,) = runs.rglob("lock")
    with lock(path.parent):  # nobody trains it any more
        state = State.load(path.parent)
    assert 0 < state.epoch < 2000
    assert len(state.history) == 2 * state.epoch
    assert "Stopped after epoch" in (path.parent / "train.log").read_text()


NORMS, EPOCHS, KILLS, DEADLINE_SECONDS = ("bn", "nn"), 9, 2, 400


def states(runs):
    return [state for path in sorted(runs.glob("*/*/*/seed-0")) if (state := State.load(path))]


def kill(study):
    os.killpg(study.pid, signal.SIGKILL)
    study.wait()


def test_two_studies_killed_at_random_train_every_run_once(tmp_path):
    data, runs, draw = load_tiny(tmp_path / "data"), tmp_path / "runs", random.Random(0)
    words = [f"--norm={','.join(NORMS)}", f"--epochs={EPOCHS}"]
    studies = [start(runs, tmp_path / "log", *words) for _ in range(2)]
    deadline = time.monotonic() + DEADLINE_SECONDS
    kills = 0
    try:
        while any(study.poll() is None for study in studies) and time.monotonic() < deadline:
            time.sleep(0.1)
            epochs = [state.epoch for state in states(runs)]
            if kills < KILLS and epochs and max(epochs) > kills * EPOCHS // (KILLS + 1):
                victim = draw.randrange(2)
                kill(studies[victim])
                studies[victim] = start(runs, tmp_path / "log", *words)
                kills += 1
        assert [study.poll() for study in studies] == [0, 0]
    finally:
        for study in studies:
            if study.poll() is None:
                kill(study)
    assert kills == KILLS

    recipe = recipe_of(" ".join([*OPTIONS, f"--epochs={EPOCHS}"]))
    assert len(states(runs)) == len(NORMS)
    for state in states(runs):
        assert [(row["epoch"], row["split"]) for row in state.history] == [
            (epoch, split) for epoch in range(1, EPOCHS + 1) for split in ("train", "val")
        ]
        assert sorted({session["first_epoch"] for session in state.sessions}) == [
            session["first_epoch"] for session in state.sessions
        ]
        whole = train_tiny(data, tmp_path / "whole", state.run.norm, recipe=recipe)
        torch.testing.assert_close(state.model, whole.model, rtol=0, atol=0)
        torch.testing.assert_close(state.optimizer["state"], whole.optimizer["state"], rtol=0, atol=0)
        assert [{**row, "seconds": 0} for row in state.history] == [{**row, "seconds": 0} for row in whole.history]
