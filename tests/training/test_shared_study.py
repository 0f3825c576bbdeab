"""Two studies share a folder of runs and are killed at random: no run is lost, none is trained twice."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.support import warm
from tests.support.tiny import OPTIONS, ROOT, load_tiny, subprocess_environment, train_tiny
from tests.training.test_config import recipe_of
from training.runs import State

pytestmark = pytest.mark.process

NORMS = ("bn", "nn")
EPOCHS = 9
COMMAND = ["study", f"--norm={','.join(NORMS)}", *OPTIONS, f"--epochs={EPOCHS}", "--workers=1"]
#: `python -m training`, whose runs begin sooner.
STUDY = """
import sys
from tests.support import warm
from training.cli import main
from training.launch import local
local.subprocess = warm.forking
sys.exit(main())
"""
KILLS = 2
DEADLINE_SECONDS = 400


def start(runs, data_root):
    """A study in a process group of its own, which is killed as a whole, as when a machine fails."""
    return warm.Popen(
        [sys.executable, "-c", STUDY, *COMMAND, f"--runs={runs}"],
        cwd=ROOT,
        env=subprocess_environment(data_root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def states(runs):
    return [state for path in sorted(runs.glob("*/*/*/seed-0")) if (state := State.load(path))]


def kill(study):
    os.killpg(study.pid, signal.SIGKILL)
    study.wait()


def test_two_studies_killed_at_random_train_every_run_once(tmp_path):
    data, runs, draw = load_tiny(tmp_path / "data"), tmp_path / "runs", random.Random(0)
    studies = [start(runs, tmp_path / "data") for _ in range(2)]
    deadline = time.monotonic() + DEADLINE_SECONDS
    kills = 0
    try:
        while any(study.poll() is None for study in studies) and time.monotonic() < deadline:
            time.sleep(0.1)
            epochs = [state.epoch for state in states(runs)]
            if kills < KILLS and epochs and max(epochs) > kills * EPOCHS // (KILLS + 1):
                victim = draw.randrange(2)
                kill(studies[victim])
                studies[victim] = start(runs, tmp_path / "data")
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
