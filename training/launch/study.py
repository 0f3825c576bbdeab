"""A study: many runs as a queue over the cores of this machine, each in a process of its own."""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from normzoo.errors import ConfigError, TrainingError
from normzoo.formatting import counted
from training.experiment.plans import train_options
from training.experiment.runs import Run, State, is_busy

POLL_SECONDS = 2.0
#: How `python -m training train` ends where another process trains that run (EX_TEMPFAIL of sysexits.h).
EXIT_BUSY = 75
#: How it ends after Ctrl-C, as a shell's commands do.
EXIT_INTERRUPTED = 130
#: A line about a study that is not watched on a terminal, at most this often.
REPORT_SECONDS = 60.0


def study(runs: list[Run], root: Path, workers: int, arguments: list[str], say: Callable[[str], None] = print) -> None:
    """Train all runs that are not finished, `workers` at a time, one thread each; call again to go on.

    Several studies may share the folder of runs, on one machine or on many: what another is training is left to it, and taken
    over where that one dies.

    Args:
        root: the folder of all raw runs; each run's output goes to `train.log` in its own.
        arguments: options of `python -m training train` that do not change the result, for all runs.

    Raises:
        TrainingError: some runs failed; the others are finished.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}.")
    runs = list(dict.fromkeys(runs))  # the same one twice would only meet its own lock
    waiting = [run for run in runs if not finished(run, root)]
    say(f"{counted(len(runs), 'run')}, {len(runs) - len(waiting)} finished before, {workers} at a time.")
    active: dict[Run, subprocess.Popen[bytes]] = {}
    failed: list[Run] = []
    last_report, told = 0.0, False
    bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), unit="run", disable=None)
    try:
        while waiting or active:
            for run in list(waiting):
                if len(active) == workers:
                    break
                if is_busy(run.folder(root)):
                    continue
                waiting.remove(run)
                if finished(run, root):
                    bar.update(1)  # by another study
                else:
                    active[run] = _start(run, root, arguments)
            if waiting and not active and not told:
                told = True
                say(f"Trained by other processes: {counted(len(waiting), 'run')}. Waiting, to take over what they leave.")
            time.sleep(POLL_SECONDS)
            for run, process in list(active.items()):
                if process.poll() is not None:
                    del active[run]
                    if process.returncode == EXIT_BUSY:
                        waiting.append(run)  # another was faster
                        continue
                    bar.update(1)
                    if process.returncode:
                        failed.append(run)
            if not sys.stderr.isatty() and time.monotonic() - last_report > REPORT_SECONDS:
                last_report = time.monotonic()
                say(progress_table(runs, root))
            bar.set_postfix_str(", ".join(_short_progress(run, root) for run in active))
    except KeyboardInterrupt:
        # The terminal sent Ctrl-C to the processes as well: each finishes its epoch and saves.
        for process in active.values():
            process.wait()
        raise
    finally:
        bar.close()
        for process in active.values():
            process.terminate()
    say(progress_table(runs, root))
    if failed:
        logs = ", ".join(str(run.folder(root) / "train.log") for run in failed)
        raise TrainingError(f"{len(failed)} of {counted(len(runs), 'run')} stopped with an error. See {logs}, then call again.")


def finished(run: Run, root: Path) -> bool:
    """Has this very run, with these settings, gone through all its epochs?"""
    state = State.load(run.folder(root))
    return state is not None and state.run == run and state.is_finished


def progress_table(runs: list[Run], root: Path) -> str:
    """Every run with its last epoch."""
    titles = ("recipe", "variant", "seed", "epoch", "train loss", "val loss", "val accuracy")
    lines = ["{:12s} {:10s} {:>4s} {:>9s} {:>10s} {:>9s} {:>12s}".format(*titles)]
    for run in runs:
        last = {row["split"]: row for row in _history(run, root)[-2:]}
        figures = (
            "  not started"
            if not last
            else (
                f"{int(last['val']['epoch']):4d}/{run.recipe.epochs:<4d} {float(last['train']['loss']):10.4f} "
                f"{float(last['val']['loss']):9.4f} {float(last['val']['accuracy']):12.4f}"
            )
        )
        lines.append(f"{run.recipe.name:12s} {run.variant:10s} {run.seed:4d} {figures}")
    return "\n".join(lines)


def _start(run: Run, root: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    folder = run.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "training", "train", "--threads=1", f"--runs={root}", *train_options(run), *arguments]
    with open(folder / "train.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _short_progress(run: Run, root: Path) -> str:
    return f"{run.recipe.name} {run.variant} {epochs_done(run, root)}/{run.recipe.epochs}"


def epochs_done(run: Run, root: Path) -> int:
    """Return how many epochs of a run are in its history."""
    return len(_history(run, root)) // 2


def _history(run: Run, root: Path) -> list[dict[str, str]]:
    path = run.folder(root) / "history.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
