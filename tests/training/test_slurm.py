"""What is said to Slurm and made of its answers, with scripts in the place of its commands. tests/cluster has a real one."""

import contextlib
import os
import sys
import time

import pytest

from normzoo.errors import TrainingError
from tests.support.tiny import OPTIONS, RECIPE, load_tiny, train_tiny
from training import cli as command_line
from training.config import Execution, Run
from training.engine import step
from training.launch import slurm
from training.launch.slurm import FAILURE, ClusterStudy, Resources, Task
from training.runs import lock

STUDY = ["study", *OPTIONS, "--norm=bn,gn", "--epochs=4", "--launcher=slurm"]

#: Each keeps what it was given; sbatch numbers the jobs, and squeue lists those of the file.
SBATCH = """#!/bin/sh
echo x >> "$0.calls"
env > "$0.environment"
cp "$1" "$0.script"
echo "Submitted batch job $(wc -l < "$0.calls")"
"""
SQUEUE = """#!/bin/sh
env > "$0.environment"
cat "$0.jobs"
"""


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The folder of the scripts, alone on the path but for the system's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "squeue": SQUEUE, "srun": "#!/bin/sh\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "squeue.jobs").touch()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.01)
    return folder


def script(folder, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")


def calls(commands):
    path = commands / "sbatch.calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_script_asks_for_what_the_options_say(commands, tmp_path):
    resources = Resources(cpus_per_run=4, gpus_per_run=1, time=90, array_limit=20, partition="gpu")
    executor = slurm.open_executor(tmp_path / "slurm", resources, 30)
    assert slurm.submit(executor, [print] * 30) == [f"1_{task}" for task in range(30)]
    submitted = (commands / "sbatch.script").read_text()
    asked = ("array=0-29%20", "cpus-per-task=4", "gpus-per-node=1", "partition=gpu", "requeue", "signal=USR2@30", "time=90")
    for line in asked:
        assert f"#SBATCH --{line}\n" in submitted
    assert " --cpus-per-task=4 " in submitted.splitlines()[-1]
    assert slurm.script(tmp_path / "slurm", resources, 30) == submitted
    assert slurm.submit(slurm.open_executor(tmp_path / "slurm", Resources(), 1), [print]) == ["2"]
    assert "--array" not in (commands / "sbatch.script").read_text()


def test_variables_of_slurm_add_to_the_script_and_do_not_change_it(commands, tmp_path, monkeypatch):
    for name in ("SBATCH_ACCOUNT", "SBATCH_JOB_NAME", "SBATCH_TIMELIMIT", "SBATCH_PARTITION", "SQUEUE_USERS"):
        monkeypatch.setenv(name, "mine")
    slurm.submit(slurm.open_executor(tmp_path / "slurm", Resources(partition="gpu"), 1), [print])
    environment = (commands / "sbatch.environment").read_text()
    assert "SBATCH_ACCOUNT=mine\n" in environment
    assert not {"JOB_NAME", "TIMELIMIT", "PARTITION"} & {
        line.partition("=")[0].removeprefix("SBATCH_") for line in environment.splitlines()
    }
    assert os.environ["SBATCH_JOB_NAME"] == "mine"
    slurm.submit(slurm.open_executor(tmp_path / "slurm", Resources(), 1), [print])
    assert "SBATCH_PARTITION=mine\n" in (commands / "sbatch.environment").read_text()
    assert slurm.queue() == {}
    assert "SQUEUE_USERS" not in (commands / "squeue.environment").read_text()


def test_controller_that_does_not_answer_is_waited_for(commands, tmp_path, monkeypatch, capsys):
    command = [*STUDY, f"--runs={tmp_path / 'runs'}"]
    down = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
    script(commands, "squeue", down)
    assert command_line.main(command) == 2
    assert "nothing was submitted" in capsys.readouterr().err
    assert calls(commands) == 0

    looks = iter([{}, None, None, {"1_0": "running", "1_1": "running"}])

    def look():
        try:
            return next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(slurm, "queue", look)
    assert command_line.main(command) == 130
    assert capsys.readouterr().out.splitlines()[2:] == [
        "Slurm's controller does not answer. Waiting.",
        "Slurm's controller answers again.",
    ]


def test_queue_is_not_waited_for_without_end(commands, monkeypatch):
    script(commands, "squeue", "exec sleep 60")
    monkeypatch.setattr(slurm, "ANSWER_SECONDS", 0.1)
    assert slurm.queue() is None


def test_what_slurm_does_not_take_is_told_in_its_words(commands, tmp_path, capsys):
    script(commands, "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    assert command_line.main([*STUDY, f"--runs={tmp_path / 'runs'}", "--partition=gpu"]) == 2
    assert capsys.readouterr().err == (
        "Slurm rejected the runs: invalid partition specified: gpu. `sinfo` lists partitions and their limits.\n"
    )
    assert not list((tmp_path / "runs").rglob(slurm.JOB))


def test_without_slurm_or_submitit_a_sentence_says_what_is_missing(commands, tmp_path, monkeypatch, capsys):
    command = [*STUDY, f"--runs={tmp_path / 'runs'}"]
    for name in ("sbatch", "squeue"):
        (commands / name).unlink()
    monkeypatch.setenv("PATH", str(commands))
    assert command_line.main(command) == 2
    assert capsys.readouterr().err == (
        "--launcher slurm needs Slurm's commands, but sbatch, squeue cannot be found. Run this on a login node "
        "of the cluster, or omit --launcher to train on this machine.\n"
    )
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert command_line.main(command) == 2
    assert capsys.readouterr().err == ("--launcher slurm needs submitit: pip install submitit\n")
    assert not (tmp_path / "runs").exists()


def test_dry_run_prints_the_script_and_the_sum_of_what_it_asks_for(commands, tmp_path, monkeypatch, capsys):
    command = [*STUDY, f"--runs={tmp_path / 'runs'}", "--dry-run", "--gpus-per-run=1", "--cpus-per-run=2", "--array-limit=1"]
    monkeypatch.setenv("PATH", "")  # that needs no cluster
    monkeypatch.setattr(step.torch, "set_num_threads", lambda count: None)
    assert command_line.main(command) == 0
    told = capsys.readouterr().out
    assert "2 runs to train, 24 steps, about " in told
    assert (
        "These times are for this machine. Requested from the cluster: 2 runs, each on 2 CPUs and 1 GPU for up to "
        "60 minutes before it is queued again; up to 1 at a time: 2 CPUs and 1 GPU.\nThe script:\n\n#!/bin/bash\n"
    ) in told
    assert "#SBATCH --array=0-1%1\n" in told
    assert not (tmp_path / "runs").exists()


def test_what_failed_is_told_and_submitted_again_only_when_asked(commands, tmp_path):
    runs, told = [Run("tiny", RECIPE, norm) for norm in ("bn", "gn")], []
    for run in runs:
        run.folder(tmp_path).mkdir(parents=True)
    (runs[0].folder(tmp_path) / FAILURE).write_text("{}")
    (runs[0].folder(tmp_path) / "train.log").write_text("it diverged")
    for retry, submitted in ((False, 1), (True, 2)):
        study = ClusterStudy(runs, tmp_path, Resources(), Execution(), None, told.append)
        study.begin(retry)
        assert (calls(commands), study.failed) == (submitted, [] if retry else [runs[0]])
        (commands / "squeue.jobs").write_text("1 RUNNING None\n")
    assert any("--retry submits it again" in line for line in told)
    assert any("it diverged" in line for line in told)


def test_run_that_another_process_trains_is_left_to_it_and_its_end_is_told(commands, tmp_path, monkeypatch):
    run, told = Run("tiny", RECIPE, "nn"), []
    run.folder(tmp_path).mkdir(parents=True)
    with contextlib.ExitStack() as other_process:
        other_process.enter_context(lock(run.folder(tmp_path)))
        monkeypatch.setattr(slurm, "queue", lambda: (told and other_process.close()) or {})  # it dies
        study = ClusterStudy([run, run], tmp_path, Resources(), Execution(), say=told.append)
        study.begin(retry=False)
        with pytest.raises(TrainingError, match="Of 1 run, 1 stopped"):
            study.watch()
    assert told[0] == "1 run: 1 trained by another process."
    assert calls(commands) == 0


def test_task_that_finds_its_run_busy_ends_in_peace(commands, tmp_path):
    runs, run = tmp_path / "runs", Run("tiny", RECIPE, "nn")
    run.folder(runs).mkdir(parents=True)
    with lock(run.folder(runs)):
        Task(run, runs, Execution(compile="off"), 60, {})()
    assert "Another process is training" in (run.folder(runs) / "train.log").read_text()
    assert not (run.folder(runs) / FAILURE).exists()


def test_error_that_nobody_foresaw_is_in_the_log(commands, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(slurm, "train", fail)
    runs, run = tmp_path / "runs", Run("tiny", RECIPE, "nn")
    with pytest.raises(TrainingError, match=r"stopped with an error\. See .*train\.log"):
        Task(run, runs, Execution(), 60, {"NORMZOO_MADE_UP": "1"})()
    assert (run.folder(runs) / "train.log").read_text().endswith("RuntimeError: a bug\n")
    assert (run.folder(runs) / FAILURE).read_text() == '{"error": "RuntimeError(\'a bug\')"}'
    assert os.environ.pop("NORMZOO_MADE_UP") == "1"


def test_run_whose_epochs_are_longer_than_its_time_is_not_queued_for_ever(commands, tmp_path, capsys):
    run = Run("tiny", RECIPE, "bn")
    hour_ago = time.monotonic() - 3600
    task = Task(run, tmp_path / "runs", Execution(), 60, {}, epochs_before=0, started=hour_ago)
    assert task.checkpoint() is None
    assert capsys.readouterr().err == "No epoch ended within 60 minutes. Use a longer --time.\n"
    assert (
        Task(run, tmp_path / "runs", Execution(), 60, {}, started=time.monotonic()).checkpoint() is not None
    )  # preempted early on
    train_tiny(load_tiny(tmp_path / "data"), tmp_path / "runs", stop_after=1)
    again = task.checkpoint()
    assert again.function is task
