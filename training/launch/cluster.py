"""A study on a cluster: every run a task of a job array; what is done and what is queued is read from the runs' folders."""

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from normzoo.errors import TrainingError
from normzoo.formatting import counted
from training.engine.trainer import Interrupted
from training.experiment.runs import Run, is_busy, replace_file
from training.launch import slurm
from training.launch.slurm import Resources
from training.launch.study import REPORT_SECONDS, finished, progress_table
from training.launch.task import FAILURE, Task

POLL_SECONDS = 15.0
#: Folder of submitit's own files, in that of all raw runs.
SUBMITIT_FILES = "slurm"
#: In the folder of a run: the job that was submitted for it last.
JOB = "job.json"
LAST_LINES = 5
SUBMIT_SECONDS = 120


def cluster_study(
    runs: list[Run],
    root: Path,
    resources: Resources,
    arguments: Sequence[str],
    retry: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Submit all runs that are neither finished nor queued nor failed, and watch until the last one ends; call again to go on.

    Args:
        root: the folder of all raw runs, which all nodes must see.
        arguments: options of `python -m training train` that do not change the result, for all runs.
        retry: submit also what failed.

    Raises:
        ConfigError: Slurm or submitit is not there, or Slurm does not take the runs.
        TrainingError: some runs failed or were stopped; the others are finished.
        Interrupted: Ctrl-C; the jobs stay.
    """
    study = _ClusterStudy(list(dict.fromkeys(runs)), root, resources, arguments, say)
    study.begin(retry)
    study.watch()


class _ClusterStudy:
    def __init__(
        self, runs: list[Run], root: Path, resources: Resources, arguments: Sequence[str], say: Callable[[str], None]
    ) -> None:
        self.runs, self.root, self.resources, self.say = runs, root, resources, say
        environment = {name: value for name, value in os.environ.items() if name.startswith("NORMZOO_")}
        self.tasks = {run: Task(run, root, tuple(arguments), resources.minutes, environment) for run in runs}
        self.left: list[Run] = []  # still under way
        self.failed: list[Run] = []  # by themselves, with an error
        self.stopped: list[Run] = []  # from outside
        self.others: set[Run] = set()  # in the hands of a process that is no job

    def begin(self, retry: bool) -> None:
        """Say what is there, and submit the rest."""
        slurm.open_executor(self.root / SUBMITIT_FILES, self.resources, 1)  # is there a cluster at all?
        before, submitted = self._submit(self.runs, ("open", "failed") if retry else ("open",))
        counts = Counter(before.values())
        words = {
            "finished": "finished before",
            "queued": "in the queue",
            "busy": "trained by another process",
            "failed": "failed",
        }
        told = ", ".join(f"{counts[standing]} {word}" for standing, word in words.items() if counts[standing])
        self.say(f"{counted(len(self.runs), 'run')}{': ' if told else ''}{told}.")
        if submitted:
            ids = ", ".join(sorted({job.split("_")[0] for job in submitted.values()}))
            self.say(f"Submitted as job {ids}: {self.resources.total(len(submitted))}")
        self.left = [run for run in self.runs if before[run] in ("queued", "busy") or run in submitted]
        self.others = {run for run in self.runs if before[run] == "busy"}
        self.failed = [run for run in self.runs if before[run] == "failed" and run not in submitted]
        for run in self.failed:
            self._tell_end(run, "failed before; --retry submits it again")

    def watch(self) -> None:
        """Wait until no run is left.

        Raises:
            TrainingError: some failed or were stopped.
            Interrupted: Ctrl-C.
        """
        left = self.left
        last_report, answered = time.monotonic(), True
        bar = tqdm(total=len(self.runs), initial=len(self.runs) - len(left), unit="run", disable=None)
        try:
            while left:
                time.sleep(POLL_SECONDS)
                jobs = slurm.queue()
                if (jobs is not None) != answered:
                    answered = jobs is not None
                    self.say(
                        "Slurm's controller answers again." if answered else "Slurm's controller does not answer. Waiting."
                    )
                if jobs is None:
                    continue
                for run in [run for run in left if not self._is_under_way(run, jobs)]:
                    left.remove(run)
                    bar.update(1)
                states = Counter(state for run in left if (state := jobs.get(_job_of(run, self.root) or "")))
                told = ", ".join(f"{count} {state}" for state, count in states.items())
                bar.set_postfix_str(told)
                if not sys.stderr.isatty() and time.monotonic() - last_report > REPORT_SECONDS:
                    last_report = time.monotonic()
                    self.say(f"{progress_table(self.runs, self.root)}\n{told}")
        except KeyboardInterrupt as error:
            raise Interrupted(self._goodbye(left)) from error
        finally:
            bar.close()
        self.say(progress_table(self.runs, self.root))
        if self.failed or self.stopped:
            counts = [(len(self.failed), "failed"), (len(self.stopped), "stopped")]
            told = " and ".join(f"{count} {word}" for count, word in counts if count)
            again = ", with --retry for what failed" if self.failed else ""
            raise TrainingError(f"Of {counted(len(self.runs), 'run')}, {told}; the others are finished. Call again{again}.")

    def _is_under_way(self, run: Run, jobs: dict[str, str]) -> bool:
        standing = _standing(run, self.root, jobs)
        if standing == "busy":
            self.others.add(run)
        if standing == "open" and run in self.others:
            self.others.remove(run)
            self._submit([run], ("open",))  # what was trained elsewhere is taken over
            return True
        if standing == "failed":
            self.failed.append(run)
            self._tell_end(run, "failed")
        if standing == "open":
            self.stopped.append(run)
            self._tell_end(run, "was stopped: killed, cancelled or out of time")
        return standing in ("busy", "queued")

    def _submit(self, runs: Iterable[Run], wanted: tuple[str, ...]) -> tuple[dict[Run, str], dict[Run, str]]:
        """Submit those runs of which one of the `wanted` is true.

        Returns:
            how each run stood before, and the job of each that was submitted.
        """
        logs = self.root / SUBMITIT_FILES
        logs.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(logs / "lock").acquire(timeout=SUBMIT_SECONDS)
        except Timeout as error:
            raise TrainingError(
                f"Another study is being submitted ({logs / 'lock'} is held). Call again in a while."
            ) from error
        with held:  # two people who give the same command at once do not submit everything twice
            jobs = slurm.queue_now()
            before = {run: _standing(run, self.root, jobs) for run in runs}
            rest = [run for run in before if before[run] in wanted]
            if not rest:
                return before, {}
            executor = slurm.open_executor(logs, self.resources, len(rest))
            ids = slurm.submit(executor, [self.tasks[run] for run in rest])
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
            f"No longer watching. {counted(len(left), 'run')} stay with Slurm.\n"
            f"  look:    squeue --jobs={','.join(arrays)}\n"
            f"  cancel:  scancel {' '.join(names)}\n"
            "The same command goes on watching."
        )


def _standing(run: Run, root: Path, jobs: dict[str, str]) -> str:
    """Return finished, queued, busy, failed or open: the first of them that is true."""
    folder = run.folder(root)
    if _job_of(run, root) in jobs:
        return "queued"
    with contextlib.suppress(OSError):
        folder.chmod(folder.stat().st_mode)  # has NFS look again, which may not have noticed what another machine wrote
    if finished(run, root):
        return "finished"
    if is_busy(folder):
        return "busy"
    return "failed" if (folder / FAILURE).exists() else "open"


def _job_of(run: Run, root: Path) -> str | None:
    try:
        job: str = json.loads((run.folder(root) / JOB).read_bytes())["job"]
    except FileNotFoundError:
        return None
    return job
