"""Studies on a real Slurm, by `make test-cluster`: nothing is lost and nothing trained twice, whatever happens meanwhile."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from normzoo.nn.own_norm import forget_own_norms, name_own_norm, own_sha256
from tests.cluster.one_host import one_host_cluster, wait_until
from tests.support.tiny import FIELDS, RECIPE, ROOT, load_tiny, subprocess_environment, train_tiny
from training.config import Run, changed_recipe
from training.launch.slurm import FAILURE, JOB
from training.runs import State

#: The command line, looking at the queue more often than is polite to a controller that others use.
COMMAND = """
import sys
from training.cli import main
from training.launch import slurm as cluster
cluster.POLL_SECONDS = 0.5
sys.exit(main())
"""
SLOW = "tests/cluster/slow.py:Slow"
OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in FIELDS.items()]
OPTIONS += ["--data=tiny", "--amp=fp32", "--compile=off"]
PATIENCE = 240
LIMITED_EPOCHS = 90  # of about a second, until it is queued again: more than fit into its minute


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    load_tiny(data)
    name_own_norm(SLOW)
    with one_host_cluster() as cluster:
        cluster.environment = subprocess_environment(data) | cluster.environment | {"NORMZOO_DATA": str(data)}
        yield cluster
    forget_own_norms()


@pytest.fixture(scope="module", autouse=True)
def limited(host, tmp_path_factory):
    """A study whose run takes longer than its time, and its folder; it goes on beside the tests."""
    folder = tmp_path_factory.mktemp("limited")
    return study(host, folder, f"--norm={SLOW}", f"--epochs={LIMITED_EPOCHS}", "--time=1"), folder


def study(host, folder, *options):
    command = [sys.executable, "-c", COMMAND, "study", *OPTIONS, "--launcher=slurm", f"--runs={folder}", *options]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=ROOT, env=host.environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    host.commands.append(process)
    return process


def run_of(norm, seed, epochs):
    return Run("tiny", changed_recipe("paper", {**FIELDS, "epochs": epochs}), norm, seed, norm_sha256=own_sha256(norm))


def epochs_of(run, folder):
    """The epochs that the run's log tells of, in the order in which they were saved."""
    log = run.folder(folder) / "train.log"
    return [int(epoch) for epoch in re.findall(r" epoch (\d+)/", log.read_text())] if log.exists() else []


def node_of(host, run, folder):
    return host.call("squeue", "-h", "-r", f"--jobs={job_of(run, folder)}", "-o", "%N").strip()


def job_of(run, folder):
    return re.sub(r'.*"(\d+(_\d+)?)".*', r"\1", (run.folder(folder) / JOB).read_text())


def process_of(run, folder):
    """The process that trains: of the task's number in the job's array."""
    array, task = job_of(run, folder).split("_")
    wanted = {f"SLURM_ARRAY_JOB_ID={array}", f"SLURM_ARRAY_TASK_ID={task}"}
    (found,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"submitit.core._submit" in path.read_bytes()
        and b"python" in path.read_bytes().split(b"\0")[0]
        and wanted <= set((path.parent / "environ").read_text(errors="replace").split("\0"))
    ]
    return found


def assert_trained_once(run, folder, sessions):
    """Is the result that of a run that nobody disturbed, and was no epoch saved twice?"""
    state = State.load(run.folder(folder))
    assert [row["epoch"] for row in state.history] == [epoch for epoch in range(1, run.recipe.epochs + 1) for _ in range(2)]
    saved = epochs_of(run, folder)
    assert sorted(set(saved)) == saved
    assert len(state.sessions) == sessions
    whole = train_tiny(load_tiny(folder / "data"), folder / "whole", run.norm, run.seed, run.recipe)
    torch.testing.assert_close(state.model, whole.model, rtol=0, atol=0)
    torch.testing.assert_close(state.optimizer["state"], whole.optimizer["state"], rtol=0, atol=0)


def test_nothing_is_lost_and_nothing_trained_twice(host, tmp_path):
    epochs = 20
    options = [f"--norm={SLOW},nn", "--seeds=0,1,2", f"--epochs={epochs}", "--time=10", "--array-limit=3"]
    preempted, killed, signalled = (run_of("Slow", seed, epochs) for seed in range(3))
    failing, *others = (run_of("nn", seed, epochs) for seed in range(3))
    failing.folder(tmp_path).mkdir(parents=True)
    digest = load_tiny(tmp_path / "data").digest
    State(Run("tiny", RECIPE, "nn"), digest, 0, {}, {}, [], []).save(failing.folder(tmp_path))  # of other settings

    both = [study(host, tmp_path, *options) for _ in range(2)]  # two people give the same command at once
    wait_until(lambda: epochs_of(preempted, tmp_path), PATIENCE, "the first epoch of the run to be preempted")
    node = node_of(host, preempted, tmp_path)
    host.call("sbatch", "--partition=high", f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 1")
    wait_until(lambda: epochs_of(killed, tmp_path), PATIENCE, "the first epoch of the run to be killed")
    os.kill(process_of(killed, tmp_path), signal.SIGKILL)
    host.stop_controller()
    host.start_controller()
    wait_until(lambda: epochs_of(signalled, tmp_path), PATIENCE, "the first epoch of the run to be told of its time limit")
    host.call("scancel", "--signal=USR2", job_of(signalled, tmp_path))

    told = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [2, 2], told
    assert sorted(out.partition("\n")[0] for out, _ in told)[0].startswith("6 runs.")
    assert len([out for out, _ in told if "Submitted as job " in out]) == 1
    for out, err in told:
        assert "nn seed 0 failed.\n" in out
        assert "holds a run with other settings" in out
        assert "Slow seed 1 was stopped: killed, cancelled or out of time.\n" in out
        assert "Of 6 runs, 1 failed and 1 stopped; the others are finished." in err
    assert [run.seed for run in (preempted, killed, signalled) if epochs_of(run, tmp_path)[-1] < epochs] == [killed.seed]

    last = study(host, tmp_path, *options)
    out, _ = last.communicate(timeout=PATIENCE)
    assert last.returncode == 2
    assert out.startswith("6 runs: 4 finished before, 1 failed.\nSubmitted as job ")
    assert "1 run, each on 1 CPU " in out
    assert (failing.folder(tmp_path) / FAILURE).exists()
    for run in (preempted, killed, signalled):
        assert_trained_once(run, tmp_path, sessions=2)
    for run in others:
        assert_trained_once(run, tmp_path, sessions=1)


def test_run_that_reaches_its_time_limit_goes_on_in_its_next_turn(limited):
    process, folder = limited
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, (out, err)
    assert "this job is timed-out" in "".join(path.read_text() for path in (folder / "slurm").glob("*_log.*"))
    run = run_of("Slow", 0, LIMITED_EPOCHS)
    state = State.load(run.folder(folder))
    assert_trained_once(run, folder, sessions=max(2, len(state.sessions)))


def test_ctrl_c_leaves_the_jobs_to_the_lines_that_it_prints(host, tmp_path):
    run = run_of("Slow", 1, 500)
    process = study(host, tmp_path, f"--norm={SLOW}", "--seeds=0,1", "--epochs=500")
    wait_until(lambda: epochs_of(run, tmp_path), PATIENCE, "the first epoch")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    look, cancel = (re.search(rf"^  {word}: +(.+)$", err, re.MULTILINE) for word in ("show", "cancel"))
    assert look
    assert cancel
    assert len(host.call("sh", "-c", look[1]).splitlines()) == 3  # with the titles
    host.call("sh", "-c", cancel[1])
    wait_until(lambda: len(host.call("sh", "-c", look[1]).splitlines()) == 1, PATIENCE, "the end of the cancelled jobs")
    assert 0 < epochs_of(run, tmp_path)[-1] < 500


def test_line_of_the_docs_trains_one_run_on_two_nodes(host, tmp_path):
    page = (ROOT / "docs/cluster.md").read_text()
    line = re.search(r"^sbatch (.*?)'$", page, re.MULTILINE | re.DOTALL)
    assert line, "docs/cluster.md has no line that begins with sbatch"
    recipe = changed_recipe("paper", {**FIELDS, "epochs": 3, "optimizer": "sgd"})
    options = shlex.join(["--norm=bn", *OPTIONS[:-1], "--epochs=3", "--optimizer=sgd", f"--runs={tmp_path}"])
    command = line[0].replace("\\\n", " ")
    for found, put in {
        "--cpus-per-task 4": "--cpus-per-task 1",
        "--norm bn --recipe strong": options,
        "torchrun": f"{sys.executable} -m torch.distributed.run",
        "sbatch": f"sbatch --wait --output={tmp_path / 'log'}",
    }.items():
        assert found in command
        command = command.replace(found, put)
    subprocess.run(["sh", "-c", f"exec {command}"], cwd=ROOT, env=host.environment, timeout=PATIENCE, check=True)
    assert "2 processes, " in (tmp_path / "log").read_text()
    run = Run("tiny", recipe, "bn")
    two, one = State.load(run.folder(tmp_path)), train_tiny(load_tiny(tmp_path / "data"), tmp_path / "one", recipe=recipe)
    assert two.sessions[0]["replicas"] == 2
    torch.testing.assert_close(two.model, one.model, rtol=1e-4, atol=1e-4)
