"""A study on a Slurm cluster, by submitit: every run is a task of a job array."""

import contextlib
import importlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from tqdm import tqdm

from normzoo.config import config
from normzoo.errors import ConfigError, NormZooError, TrainingError
from normzoo.formatting import counted
from normzoo.nn.own_norm import name_own_norms
from training.config import Execution, Run
from training.data.dataset import images_of
from training.engine.trainer import Interrupted, train
from training.launch.local import REPORT_SECONDS, Digest, finished, progress_table
from training.runs import RunBusyError, is_busy, lock, read_history, replace_file

if TYPE_CHECKING:
    from submitit import Executor
    from submitit.core.utils import DelayedSubmission

#: Name of all submitted jobs.
JOB_NAME = "normzoo"
#: Largest number of time limits per run; preemptions do not count.
MOST_TIMEOUTS = 100
#: Time limit of Slurm's commands, which wait while the controller restarts.
ANSWER_SECONDS = 60
#: These variables override a script; others, such as SBATCH_ACCOUNT, are left to the user.
OVERRIDES = ("ARRAY_INX", "ERROR", "JOB_NAME", "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "SIGNAL", "TIMELIMIT")
POLL_SECONDS = 15.0
#: Folder of submitit's files, in that of all raw runs.
SUBMITIT_FILES = "slurm"
#: In the folder of a run: its last job, and the error of that job.
JOB, FAILURE = "job.json", "failed.json"
LAST_LINES = 5
SUBMIT_SECONDS = 120


@config
class Resources:
    """Cluster resources of each run."""

    partition: Annotated[str | None, Field(description="Partition (default: the cluster's).")] = None
    gpus_per_run: Annotated[int, Field(description="GPUs of each run.", ge=0, le=1)] = 0
    cpus_per_run: Annotated[int, Field(description="Cores of each run.", ge=1, le=1_000_000)] = 1
    time: Annotated[int, Field(description="Minutes, after which a run is queued again.", ge=1, le=1_000_000)] = 60
    array_limit: Annotated[int | None, Field(description="Runs at a time (default: all).", ge=1, le=1_000_000)] = None

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        return "cuda" if self.gpus_per_run else "cpu"

    def parameters(self, count: int) -> dict[str, Any]:
        """Return the parameters of submitit's executor, for this many runs."""
        asked = {
            "job_name": JOB_NAME,
            "partition": self.partition,
            "time": self.time,
            "cpus_per_task": self.cpus_per_run,
            "gpus_per_node": self.gpus_per_run or None,
            "array_parallelism": self.array_limit or count,
            # Before the time is up, to be queued again. Slurm may give the signal a minute earlier than it is asked to.
            "signal_delay_s": min(30, 10 * self.time),
            "srun_args": [f"--cpus-per-task={self.cpus_per_run}"],  # since Slurm 22.05 srun does not take it from the job
            "additional_parameters": {"requeue": True},
        }
        return {name: value for name, value in asked.items() if value is not None}

    def total(self, count: int) -> str:
        """Describe the resources of this many runs."""
        at_a_time = min(count, self.array_limit or count)

        def units(runs: int) -> str:
            gpus = f" and {counted(self.gpus_per_run * runs, 'GPU')}" if self.gpus_per_run else ""
            return f"{counted(self.cpus_per_run * runs, 'CPU')}{gpus}"

        return (
            f"{counted(count, 'run')}, each on {units(1)} for up to {counted(self.time, 'minute')} before it is queued "
            f"again; up to {at_a_time} at a time: {units(at_a_time)}."
        )


@dataclass
class Task:
    """One run as a task of a job array; submitit pickles it here and loads it on the node.

    Near the time limit submitit calls `checkpoint` in the middle of a step, has Slurm queue the job again, and ends this
    process; only the current epoch is lost.
    """

    run: Run
    root: Path
    execution: Execution
    minutes: int
    environment: dict[str, str]
    epochs_before: int = 0
    started: float = 0.0

    def __call__(self) -> None:
        folder = self.run.folder(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        os.environ.update(self.environment)
        self.epochs_before, self.started = self._epochs(), time.monotonic()
        with (
            open(folder / "train.log", "a", buffering=1, encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            failure = self._train()
        if failure:
            replace_file(folder / FAILURE, json.dumps({"error": failure}).encode())
            raise TrainingError(f"The run stopped with an error. See {folder / 'train.log'}.")

    def _train(self) -> str:
        """Train in this process, which Slurm signals before the time limit; return the error, if any."""
        try:
            name_own_norms()
            train(self.run, images_of(self.run.data, self.run.recipe.image_size, self.run.holdout), self.root, self.execution)
        except (Interrupted, RunBusyError) as error:
            print(error)
        except NormZooError as error:
            print(error)
            return str(error)
        except Exception as error:
            traceback.print_exc()
            return repr(error)
        return ""

    def _epochs(self) -> int:
        return len(read_history(self.run.folder(self.root))) // 2

    def checkpoint(self) -> "DelayedSubmission | None":
        """Return what to do when the job is queued again; None if it would never finish."""
        from submitit.core.utils import DelayedSubmission

        whole_limit = time.monotonic() - self.started > 15 * self.minutes  # not preempted early on
        if whole_limit and self._epochs() <= self.epochs_before:
            print(f"No epoch ended within {counted(self.minutes, 'minute')}. Use a longer --time.", file=sys.stderr)
            return None
        return DelayedSubmission(self)


@dataclass
class ClusterStudy:
    """Runs that are submitted as one job array and watched to the end; the same study again resumes.

    Args:
        root: the folder of all raw runs, which all nodes must see.
        execution: how each run is executed.
        digest: returns the digest of the images of a run.
    """

    runs: list[Run]
    root: Path
    resources: Resources
    execution: Execution
    digest: Digest | None = None
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        self.runs = list(dict.fromkeys(self.runs))
        environment = {name: value for name, value in os.environ.items() if name.startswith("NORMZOO_")}
        self.tasks = {run: Task(run, self.root, self.execution, self.resources.time, environment) for run in self.runs}
        self.left: list[Run] = []  # still under way
        self.failed: list[Run] = []  # by themselves, with an error
        self.stopped: list[Run] = []  # from outside

    def begin(self, retry: bool) -> None:
        """Report the state of the runs, and submit all that are not finished, queued or failed; with `retry` those as well."""
        before, submitted = self._submit(self.runs, ("open", "failed") if retry else ("open",))
        counts = Counter(before.values())
        words = {"finished": "finished before", "queued": "queued", "busy": "trained by another process", "failed": "failed"}
        counts_text = ", ".join(f"{counts[standing]} {word}" for standing, word in words.items() if counts[standing])
        self.say(f"{counted(len(self.runs), 'run')}{': ' if counts_text else ''}{counts_text}.")
        if submitted:
            ids = ", ".join(sorted({job.split("_")[0] for job in submitted.values()}))
            self.say(f"Submitted as job {ids}: {self.resources.total(len(submitted))}")
        self.left = [run for run in self.runs if before[run] in ("queued", "busy") or run in submitted]
        self.failed = [run for run in self.runs if before[run] == "failed" and run not in submitted]
        for run in self.failed:
            self._tell_end(run, "failed; --retry submits it again")

    def watch(self) -> None:
        """Wait until all runs have ended."""
        left = self.left
        last_report, answered = time.monotonic(), True
        bar = tqdm(total=len(self.runs), initial=len(self.runs) - len(left), unit="run", disable=None)
        try:
            while left:
                time.sleep(POLL_SECONDS)
                jobs = queue()
                if (jobs is not None) != answered:
                    answered = jobs is not None
                    self.say(f"Slurm's controller {'answers again' if answered else 'does not answer. Waiting'}.")
                if jobs is None:
                    continue
                for run in [run for run in left if not self._is_under_way(run, jobs)]:
                    left.remove(run)
                    bar.update(1)
                states = Counter(state for run in left if (state := jobs.get(_job_of(run, self.root) or "")))
                counts_text = ", ".join(f"{count} {state}" for state, count in states.items())
                bar.set_postfix_str(counts_text)
                if not sys.stderr.isatty() and time.monotonic() - last_report > REPORT_SECONDS:
                    last_report = time.monotonic()
                    self.say(f"{progress_table(self.runs, self.root)}\n{counts_text}")
        except KeyboardInterrupt as error:
            raise Interrupted(self._goodbye(left)) from error
        finally:
            bar.close()
        self.say(progress_table(self.runs, self.root))
        if self.failed or self.stopped:
            counts = [(len(self.failed), "failed"), (len(self.stopped), "stopped")]
            counts_text = " and ".join(f"{count} {word}" for count, word in counts if count)
            again = ", with --retry for what failed" if self.failed else ""
            raise TrainingError(
                f"Of {counted(len(self.runs), 'run')}, {counts_text}; the others are finished. Run this again{again}."
            )

    def _is_under_way(self, run: Run, jobs: dict[str, str]) -> bool:
        standing = self._standing(run, jobs)
        if standing == "failed":
            self.failed.append(run)
            self._tell_end(run, "failed")
        if standing == "open":
            self.stopped.append(run)
            self._tell_end(run, "was stopped: killed, cancelled or out of time")
        return standing in ("busy", "queued")

    def _standing(self, run: Run, jobs: dict[str, str]) -> str:
        """Return finished, queued, busy, failed or open: the first that applies."""
        folder = run.folder(self.root)
        if _job_of(run, self.root) in jobs:
            return "queued"
        with contextlib.suppress(OSError):
            folder.chmod(folder.stat().st_mode)  # has NFS look again, which may not have noticed what another machine wrote
        if finished(run, self.root, self.digest):
            return "finished"
        if is_busy(folder):
            return "busy"
        return "failed" if (folder / FAILURE).exists() else "open"

    def _submit(self, runs: Iterable[Run], wanted: tuple[str, ...]) -> tuple[dict[Run, str], dict[Run, str]]:
        """Submit the runs in one of the `wanted` states.

        Returns:
            the previous state of each run, and the job of each submitted one.
        """
        logs = self.root / SUBMITIT_FILES
        logs.mkdir(parents=True, exist_ok=True)
        with lock(
            logs, "submitting a study to", SUBMIT_SECONDS
        ):  # two people who give the same command at once do not submit everything twice
            jobs = queue()
            if jobs is None:
                raise TrainingError("Slurm's controller does not answer: nothing was submitted. Try again when `sinfo` works.")
            before = {run: self._standing(run, jobs) for run in runs}
            rest = [run for run in before if before[run] in wanted]
            if not rest:
                return before, {}
            executor = open_executor(logs, self.resources, len(rest))
            ids = submit(executor, [self.tasks[run] for run in rest])
            for run, job in zip(rest, ids, strict=True):
                folder = run.folder(self.root)
                folder.mkdir(parents=True, exist_ok=True)
                replace_file(folder / JOB, json.dumps({"job": job}).encode())
            return before, dict(zip(rest, ids, strict=True))

    def _tell_end(self, run: Run, what: str) -> None:
        logs = [
            run.folder(self.root) / "train.log",
            *sorted((self.root / SUBMITIT_FILES).glob(f"{_job_of(run, self.root)}_0_log.*")),
        ]
        self.say(f"{run.recipe.name} {run.variant} seed {run.seed} {what}.")
        for log in logs:
            with contextlib.suppress(OSError):
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
                self.say("\n".join([f"{log} ends:", *(f"  {line}" for line in lines)]))

    def _goodbye(self, left: list[Run]) -> str:
        arrays: dict[str, list[str]] = {}
        for job in filter(None, (_job_of(run, self.root) for run in left)):
            array, _, task = job.partition("_")
            arrays.setdefault(array, []).append(task)
        names = [f'"{array}_[{",".join(tasks)}]"' if tasks[0] else array for array, tasks in arrays.items()]
        return (
            f"Stopped watching. {counted(len(left), 'run')} continue on the cluster.\n"
            f"  show:    squeue --jobs={','.join(arrays)}\n"
            f"  cancel:  scancel {' '.join(names)}\n"
            "The same command watches them again."
        )


def _job_of(run: Run, root: Path) -> str | None:
    try:
        job: str = json.loads((run.folder(root) / JOB).read_bytes())["job"]
    except FileNotFoundError:
        return None
    return job


def script(folder: Path, resources: Resources, count: int) -> str:
    """Return the sbatch script for this many runs."""
    slurm = _submitit("submitit.slurm.slurm")
    parameters = resources.parameters(count) | ({"map_count": count} if count > 1 else {})
    command = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(folder.absolute())])
    text: str = slurm._make_sbatch_string(command, folder.absolute(), **parameters)
    return text


def open_executor(folder: Path, resources: Resources, count: int) -> "Executor":
    """Return the executor for this many runs; its files go into the folder, which all nodes must see."""
    require_cluster()
    executor: Executor = _submitit().SlurmExecutor(folder, max_num_timeout=MOST_TIMEOUTS)
    executor.update_parameters(**resources.parameters(count))
    return executor


def require_cluster() -> None:
    """Raise a ConfigError without submitit or the commands of Slurm."""
    _submitit()
    missing = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"--launcher slurm needs Slurm's commands, but {', '.join(missing)} cannot be found. Run this on a login node of "
            "the cluster, or omit --launcher to train on this machine."
        )


def submit(executor: "Executor", tasks: Sequence[Callable[[], None]]) -> list[str]:
    """Submit the tasks as one job array; return their ids in order."""
    failures = _submitit("submitit.core.utils")
    partition = ("PARTITION",) if "partition" in executor.parameters else ()
    try:
        with contextlib.redirect_stderr(io.StringIO()), _without([f"SBATCH_{name}" for name in OVERRIDES + partition]):
            return [job.job_id for job in executor.submit_array(tasks)]
    except (failures.FailedJobError, failures.FailedSubmissionError) as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sbatch: error: ")
        raise ConfigError(f"Slurm rejected the runs: {reason}. `sinfo` lists partitions and their limits.") from error


def queue() -> dict[str, str] | None:
    """Return the jobs of all studies, id -> "running" or "pending" and why; None if the controller does not answer."""
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


def _submitit(module: str = "submitit") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError("--launcher slurm needs submitit: pip install submitit") from error


@contextlib.contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
