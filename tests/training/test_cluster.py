"""A study on a cluster, on submitit's local executor: processes that are as tasks on a node. tests/cluster has a real Slurm."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import submitit
import torch

from normzoo.errors import TrainingError
from tests.support import warm
from tests.support.tiny import FIELDS, OPTIONS, RECIPE, ROOT, load_tiny, train_tiny
from training import cli as command_line
from training.config import Execution, Run, changed_recipe
from training.launch import slurm
from training.launch.local import finished
from training.launch.slurm import FAILURE, Resources, Task
from training.runs import State, lock

pytestmark = pytest.mark.process

EPOCHS = 12
TRAINED = changed_recipe("paper", {**FIELDS, "epochs": EPOCHS})
STUDY = ["study", *OPTIONS, f"--epochs={EPOCHS}", "--launcher=slurm"]
DEADLINE_SECONDS = 120
#: submitit's controller of a job, whose tasks begin sooner.
CONTROLLER = """
import sys
from pathlib import Path
from submitit.local import local
from tests.support import warm
local.subprocess = warm.forking
local.Controller(Path(sys.argv[1])).run()
"""


class LocalCluster:
    """What takes the place of Slurm: one process for each task, and a queue of those that live."""

    def __init__(self):
        self.jobs = []

    def open_executor(self, folder, resources, count):
        taken = self.jobs

        class Recorded(submitit.LocalExecutor):
            def _submit_command(self, command):
                taken.append(super()._submit_command(command))  # at once: the first has begun before the last is submitted
                return taken[-1]

        executor = Recorded(folder, max_num_timeout=slurm.MOST_TIMEOUTS)
        executor.update_parameters(timeout_min=resources.time, signal_delay_s=30)
        return executor

    def queue(self):
        return {job.job_id: "running" for job in self.jobs if not job.done()}

    def signal_task(self, job, number):
        """Send a signal to the process that trains, the child of submitit's controller, as Slurm would."""
        (child,) = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()
        os.kill(int(child), number)


def start_controller(command, env, **_):
    return warm.Popen([sys.executable, "-c", CONTROLLER, command[-1]], env=env)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.3)
    monkeypatch.chdir(ROOT)
    return tmp_path


@pytest.fixture
def local(monkeypatch):
    made = LocalCluster()
    monkeypatch.setattr(submitit.local.local, "subprocess", SimpleNamespace(Popen=start_controller))
    monkeypatch.setattr(slurm, "open_executor", made.open_executor)
    monkeypatch.setattr(slurm, "queue", made.queue)
    monkeypatch.setattr(command_line, "require_cluster", lambda: None)
    yield made
    for job in made.jobs:
        assert job._process is not None
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
            made.signal_task(job, signal.SIGKILL)
        job._process.kill()
        job._process.wait()


def at(condition, then):
    """Wait for it in a thread of its own, beside the study that watches, and do something."""

    def wait():
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def has_begun(run, runs):
    return (run.folder(runs) / "state.pt").exists


def assert_trained_once(run, folder, sessions):
    """Is the result that of a run that nobody disturbed, every epoch once?"""
    state = State.load(run.folder(folder / "runs"))
    assert state is not None
    assert [(row["epoch"], row["split"]) for row in state.history] == [
        (epoch, split) for epoch in range(1, run.recipe.epochs + 1) for split in ("train", "val")
    ]
    assert len(state.sessions) == sessions
    assert state.sessions[-1]["command"].startswith(f"python -m training train --norm={run.norm} --recipe=paper --data=tiny ")
    whole = train_tiny(load_tiny(folder / "data"), folder / "whole", run.norm, run.seed, run.recipe)
    torch.testing.assert_close(state.model, whole.model, rtol=0, atol=0)
    torch.testing.assert_close(state.optimizer["state"], whole.optimizer["state"], rtol=0, atol=0)


def test_study_survives_a_time_limit_a_killed_process_and_a_run_that_fails(folder, local, capsys):
    runs = folder / "runs"
    command = [*STUDY, f"--runs={runs}"]
    bn, gn, nn = (Run("tiny", TRAINED, norm) for norm in ("bn", "gn", "nn"))
    nn.folder(runs).mkdir(parents=True)
    digest = load_tiny(folder / "data").digest
    State(Run("tiny", RECIPE, "nn"), digest, 0, {}, {}, [], []).save(nn.folder(runs))  # of other settings
    events = [
        at(has_begun(bn, runs), lambda: local.signal_task(local.jobs[0], signal.SIGUSR2)),
        at(has_begun(gn, runs), lambda: local.signal_task(local.jobs[1], signal.SIGKILL)),
    ]
    assert command_line.main([*command, "--norm=bn,gn,nn"]) == 2
    for event in events:
        event.join()
    told = capsys.readouterr()
    assert told.out.startswith("3 runs.\nSubmitted as job ")
    assert "3 runs, each on 1 CPU for up to 60 minutes before it is queued again; up to 3 at a time: 3 CPUs." in told.out
    assert f"{nn.recipe.name} nn seed 0 failed.\n{nn.folder(runs) / 'train.log'} ends:\n  " in told.out
    assert "holds a run with other settings" in told.out
    assert "gn seed 0 was stopped: killed, cancelled or out of time." in told.out
    assert told.err == (
        "Of 3 runs, 1 failed and 1 stopped; the others are finished. Call again, with --retry for what failed.\n"
    )
    assert_trained_once(bn, folder, sessions=2)
    assert len(local.jobs) == 3

    assert command_line.main([*command, "--norm=bn,nn"]) == 2  # what failed is told once more, and not submitted
    told = capsys.readouterr()
    assert told.out.startswith("2 runs: 1 finished before, 1 failed.\n")
    assert "nn seed 0 failed before; --retry submits it again." in told.out
    assert len(local.jobs) == 3

    (nn.folder(runs) / "state.pt").unlink()
    assert command_line.main([*command, "--norm=bn,gn,nn", "--retry"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("3 runs: 1 finished before, 1 failed.\nSubmitted as job ")
    assert [line.split()[1:4] for line in told.out.splitlines()[-3:]] == [
        [norm, "0", f"{EPOCHS}/{EPOCHS}"] for norm in ("bn", "gn", "nn")
    ]
    assert_trained_once(gn, folder, sessions=2)
    assert_trained_once(nn, folder, sessions=1)
    assert not (nn.folder(runs) / FAILURE).exists()


def test_run_that_another_process_trains_is_left_to_it_and_taken_over_when_it_dies(folder, local, monkeypatch):
    runs, run = folder / "runs", Run("tiny", RECIPE, "nn")
    run.folder(runs).mkdir(parents=True)
    told = []
    with contextlib.ExitStack() as other_process:
        other_process.enter_context(lock(run.folder(runs)))

        def queue():
            if told:
                other_process.close()  # it is dead
            return {}

        def submit(executor, tasks):
            for task in tasks:
                train_tiny(load_tiny(folder / "data"), runs, task.run.norm)
            return ["7"]

        monkeypatch.setattr(slurm, "queue", queue)
        monkeypatch.setattr(slurm, "submit", submit)
        slurm.cluster_study([run, run], runs, Resources(), Execution(), say=told.append)
    assert told[0] == "1 run: 1 trained by another process."
    assert json.loads((run.folder(runs) / "job.json").read_text()) == {"job": "7"}
    assert finished(run, runs)


def test_task_that_finds_its_run_busy_ends_in_peace(folder):
    runs, run = folder / "runs", Run("tiny", TRAINED, "nn")
    run.folder(runs).mkdir(parents=True)
    with lock(run.folder(runs)):
        Task(run, runs, Execution(compile="off"), 60, {})()
    assert "Another process is training" in (run.folder(runs) / "train.log").read_text()
    assert not (run.folder(runs) / FAILURE).exists()


def test_error_that_nobody_foresaw_is_in_the_log(folder, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(slurm, "train", fail)
    runs, run = folder / "runs", Run("tiny", TRAINED, "nn")
    with pytest.raises(TrainingError, match=r"stopped with an error\. See .*train\.log"):
        Task(run, runs, Execution(), 60, {"NORMZOO_MADE_UP": "1"})()
    assert (run.folder(runs) / "train.log").read_text().endswith("RuntimeError: a bug\n")
    assert (run.folder(runs) / FAILURE).read_text() == '{"error": "RuntimeError(\'a bug\')"}'
    assert os.environ.pop("NORMZOO_MADE_UP") == "1"


def test_run_whose_epochs_are_longer_than_its_time_is_not_queued_for_ever(folder, capsys):
    run = Run("tiny", RECIPE, "bn")
    hour_ago = time.monotonic() - 3600
    task = Task(run, folder / "runs", Execution(), 60, {}, epochs_before=0, started=hour_ago)
    assert task.checkpoint() is None
    assert capsys.readouterr().err == "No epoch ended within 60 minutes: this run needs a longer --time.\n"
    assert (
        Task(run, folder / "runs", Execution(), 60, {}, started=time.monotonic()).checkpoint() is not None
    )  # preempted early on
    train_tiny(load_tiny(folder / "data"), folder / "runs", stop_after=1)
    again = task.checkpoint()
    assert again is not None
    assert again.function is task
