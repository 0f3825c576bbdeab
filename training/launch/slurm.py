"""Slurm, through submitit: what a run asks for, its script, the submission, the queue."""

import contextlib
import importlib
import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normzoo.errors import ConfigError, TrainingError
from normzoo.formatting import counted

if TYPE_CHECKING:
    from submitit import Executor

#: Of all jobs that studies submit: what the queue is asked for.
JOB_NAME = "normzoo"
#: How often a run may reach its time limit; preemptions do not count.
MOST_TIMEOUTS = 100
#: How long Slurm's commands may take; they try for a while where the controller is being restarted.
ANSWER_SECONDS = 60
#: Slurm puts these before what a script says; others, such as SBATCH_ACCOUNT, are the user's way to ask for more.
OVERRIDES = ("ARRAY_INX", "ERROR", "JOB_NAME", "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "SIGNAL", "TIMELIMIT")


@dataclass(frozen=True)
class Resources:
    """Share of a cluster that each run of a study asks for.

    Args:
        minutes: after which a run is stopped and queued again.
        at_a_time: runs at a time; None: as many as the cluster gives.
        partition: None: the cluster's default.
    """

    cpus: int = 1
    gpus: int = 0
    minutes: int = 60
    at_a_time: int | None = None
    partition: str | None = None

    @property
    def device(self) -> str:
        """cpu or cuda: what a run is trained on."""
        return "cuda" if self.gpus else "cpu"

    def parameters(self, count: int) -> dict[str, Any]:
        """Return what submitit's executor takes, for so many runs."""
        asked = {
            "job_name": JOB_NAME,
            "partition": self.partition,
            "time": self.minutes,
            "cpus_per_task": self.cpus,
            "gpus_per_node": self.gpus or None,
            "array_parallelism": self.at_a_time or count,
            # Before the time is up, to be queued again. Slurm may give the signal a minute earlier than it is asked to.
            "signal_delay_s": min(30, 10 * self.minutes),
            "srun_args": [f"--cpus-per-task={self.cpus}"],  # since Slurm 22.05 srun does not take it from the job
            "additional_parameters": {"requeue": True},
        }
        return {name: value for name, value in asked.items() if value is not None}

    def total(self, count: int) -> str:
        """Return in words what so many runs ask for."""
        at_a_time = min(count, self.at_a_time or count)

        def units(runs: int) -> str:
            gpus = f" and {counted(self.gpus * runs, 'GPU')}" if self.gpus else ""
            return f"{counted(self.cpus * runs, 'CPU')}{gpus}"

        return (
            f"{counted(count, 'run')}, each on {units(1)} for up to {counted(self.minutes, 'minute')} before it is queued "
            f"again; up to {at_a_time} at a time: {units(at_a_time)}."
        )


def script(folder: Path, resources: Resources, count: int) -> str:
    """Return what sbatch would be given for so many runs."""
    slurm = _submitit("submitit.slurm.slurm")
    parameters = resources.parameters(count) | ({"map_count": count} if count > 1 else {})
    command = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(folder.absolute())])
    text: str = slurm._make_sbatch_string(command, folder.absolute(), **parameters)
    return text


def open_executor(folder: Path, resources: Resources, count: int) -> "Executor":
    """Return the executor that submits so many runs; its own files go into the folder, which all nodes must see.

    Raises:
        ConfigError: submitit is not installed, or this is no machine of a Slurm cluster.
    """
    submitit = _submitit()
    missing = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"--launcher slurm needs Slurm's commands, and {', '.join(missing)} cannot be found here. Give the command on a "
            "login node of the cluster, or leave --launcher out to train on this machine."
        )
    executor: Executor = submitit.SlurmExecutor(folder, max_num_timeout=MOST_TIMEOUTS)
    executor.update_parameters(**resources.parameters(count))
    return executor


def submit(executor: "Executor", tasks: Sequence[Callable[[], None]]) -> list[str]:
    """Submit the tasks as one job array; gives the id of each, in their order.

    Raises:
        ConfigError: Slurm does not take them.
    """
    failures = _submitit("submitit.core.utils")
    partition = ("PARTITION",) if "partition" in executor.parameters else ()
    try:
        with contextlib.redirect_stderr(io.StringIO()), _without([f"SBATCH_{name}" for name in OVERRIDES + partition]):
            return [job.job_id for job in executor.submit_array(tasks)]
    except (failures.FailedJobError, failures.FailedSubmissionError) as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sbatch: error: ")
        raise ConfigError(f"Slurm did not take the runs: {reason}. `sinfo` lists partitions and their limits.") from error


def queue() -> dict[str, str] | None:
    """Return the jobs of all studies, id -> "running" or "pending" and why; None where the controller does not answer."""
    command = ["squeue", "--noheader", "--array", f"--name={JOB_NAME}", "--format=%i %T %r"]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}  # they would filter
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, env=settings, check=False)
    except subprocess.TimeoutExpired:
        return None
    if answer.returncode:
        return None
    jobs = {}
    for line in answer.stdout.splitlines():
        job, state, reason = line.split(maxsplit=2)
        jobs[job] = state.lower() + (f" ({reason})" if reason != "None" else "")
    return jobs


def queue_now() -> dict[str, str]:
    """Return the same, where nothing can be done without it.

    Raises:
        TrainingError: the controller does not answer.
    """
    jobs = queue()
    if jobs is None:
        raise TrainingError("Slurm's controller does not answer, so nothing was submitted. `sinfo` says when it is back.")
    return jobs


def _submitit(module: str = "submitit") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            "--launcher slurm needs the package submitit, which is not installed here. Install it with: pip install submitit"
        ) from error


@contextlib.contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
