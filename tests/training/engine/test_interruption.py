"""A run that is stopped, by Ctrl-C or by force: nothing saved is lost, and the same command goes on."""

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
from tests.support.tiny import FIELDS, OPTIONS, ROOT, load_tiny, subprocess_environment, train_tiny
from training import cli as command_line
from training.config import RECIPES
from training.engine import trainer
from training.engine.step import TrainStep
from training.runs import State

pytestmark = pytest.mark.process

#: How often the run is killed before it may end; more by hand: NORMZOO_KILLS=20 pytest tests/training/engine
KILLS = int(os.environ.get("NORMZOO_KILLS", "1"))
EPOCHS = 6 + 3 * KILLS
CHANGES = {**FIELDS, "epochs": EPOCHS}
TRAIN = ["train", "--norm=bin", "--threads=1", *OPTIONS, f"--epochs={EPOCHS}"]
STEPS_PER_EPOCH = 3


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the commands of this test find the tiny images and put their runs."""
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def _usual_interrupt():
    """Ctrl-C as in a terminal, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def at_step(monkeypatch):
    """Has things happen in the middle of training: step, counted from 1 -> what happens."""

    def arrange(events):
        class Eventful(TrainStep):
            count = 0

            def __call__(self, pixels, labels, lr):
                self.count += 1
                events.get(self.count, lambda: None)()
                return super().__call__(pixels, labels, lr)

        monkeypatch.setattr(trainer, "TrainStep", Eventful)

    return arrange


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def saved(runs):
    found = list(runs.glob("tiny/*/bin/seed-0"))
    return State.load(found[0]) if found else None


@pytest.mark.usefixtures("_usual_interrupt")
def test_first_ctrl_c_finishes_the_epoch_saves_and_says_how_to_go_on(folder, at_step, capsys):
    at_step({STEPS_PER_EPOCH + 2: press_ctrl_c})  # in the middle of the second epoch
    handler = signal.getsignal(signal.SIGINT)
    assert command_line.main([*TRAIN, f"--runs={folder / 'runs'}"]) == 130
    state = saved(folder / "runs")
    assert state.epoch == 2
    told = capsys.readouterr().err
    assert "Ctrl-C again" in told
    assert f"Stopped after epoch 2 of {EPOCHS}." in told
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.usefixtures("_usual_interrupt")
def test_second_ctrl_c_stops_at_once_and_keeps_what_was_saved(folder, at_step, capsys):
    steps = []
    first, second = STEPS_PER_EPOCH + 1, STEPS_PER_EPOCH + 2
    at_step({first: press_ctrl_c, second: press_ctrl_c, second + 1: lambda: steps.append(second + 1)})
    assert command_line.main([*TRAIN, f"--runs={folder / 'runs'}"]) == 130
    state = saved(folder / "runs")
    assert state.epoch == 1
    assert steps == []
    assert "Saved results are kept; the same command resumes." in capsys.readouterr().err


@pytest.mark.usefixtures("_usual_interrupt")
def test_ctrl_c_in_the_last_epoch_ends_as_usual(folder, at_step):
    at_step({STEPS_PER_EPOCH: press_ctrl_c})
    assert command_line.main([*TRAIN, "--stop-after=1", f"--runs={folder / 'runs'}"]) == 0


def start(runs, log):
    command = [sys.executable, "-m", "training", *TRAIN, f"--runs={runs}"]
    with open(log, "ab") as file:
        return warm.Popen(command, cwd=ROOT, env=subprocess_environment(runs.parent / "data"), stdout=file, stderr=file)


def wait_for_lines(process, log, count):
    """Until so many epochs were reported, or the process ended."""
    while process.poll() is None and log.read_bytes().count(b"\n") < count:
        time.sleep(0.01)


def test_run_that_is_killed_at_any_moment_ends_with_the_same_result(folder):
    runs, log = folder / "runs", folder / "log"
    seed = int(os.environ.get("NORMZOO_KILL_SEED", time.time_ns() % 1_000_000))
    print(f"NORMZOO_KILL_SEED={seed} kills at the same moments again")  # pytest shows it where the test fails
    moment = random.Random(seed)
    for kill in range(KILLS):
        process = start(runs, log)
        wait_for_lines(process, log, 1 + 3 * kill + moment.randrange(2))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment.uniform(0, 0.5))  # anywhere in an epoch, also while it is saved
        process.kill()
        process.wait()
    state = saved(runs)
    assert 0 < state.epoch <= EPOCHS
    process = start(runs, log)
    assert process.wait() == 0, log.read_text()

    recipe = RECIPES["paper"].changed(name="paper" + "".join(f",{key}={value}" for key, value in CHANGES.items()), **CHANGES)
    expected = train_tiny(load_tiny(folder / "data"), folder / "uninterrupted", "bin", recipe=recipe)
    state = saved(runs)
    torch.testing.assert_close(state.model, expected.model, rtol=0, atol=0)
    torch.testing.assert_close(state.optimizer["state"], expected.optimizer["state"], rtol=0, atol=0)
    rows = [[{**row, "seconds": 0} for row in each.history] for each in (state, expected)]
    assert rows[0] == rows[1]
    kept = sorted(path.name for path in next(runs.glob("tiny/*/bin/seed-0")).iterdir() if path.suffix != ".part")
    assert kept == ["history.csv", "lock", "run.json", "state.pt"]
