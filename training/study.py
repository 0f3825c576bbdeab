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
from training.runs import Run, State

POLL_SECONDS = 2.0
#: A line about a study that is not watched on a terminal, at most this often.
REPORT_SECONDS = 60.0


def study(runs: list[Run], root: Path, workers: int, arguments: list[str], say: Callable[[str], None] = print) -> None:
    """Train all runs that are not finished, `workers` at a time, one thread each; call again to go on.

    Args:
        root: the folder of all raw runs; each run's output goes to `train.log` in its own.
        arguments: how the processes get their common settings: options of `python -m training train`.

    Raises:
        TrainingError: some runs failed; the others are finished.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}.")
    runs = list(dict.fromkeys(runs))  # the same one twice would only meet its own lock
    waiting = [run for run in runs if not finished(run, root)]
    say(f"{len(runs)} runs, {len(runs) - len(waiting)} finished before, {workers} at a time.")
    active: dict[Run, subprocess.Popen[bytes]] = {}
    failed: list[Run] = []
    last_report = 0.0
    bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), unit="run", disable=None)
    try:
        while waiting or active:
            while waiting and len(active) < workers:
                run = waiting.pop(0)
                active[run] = _start(run, root, arguments)
            time.sleep(POLL_SECONDS)
            for run, process in list(active.items()):
                if process.poll() is not None:
                    del active[run]
                    bar.update(1)
                    if process.returncode:
                        failed.append(run)
            if not sys.stderr.isatty() and time.monotonic() - last_report > REPORT_SECONDS:
                last_report = time.monotonic()
                say(progress_table(runs, root))
            bar.set_postfix_str(", ".join(f"{run.variant} {_epochs_done(run, root)}/{run.recipe.epochs}" for run in active))
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
        raise TrainingError(f"{len(failed)} of {len(runs)} runs stopped with an error. See {logs}, then call again.")


def finished(run: Run, root: Path) -> bool:
    """Has this very run, with these settings, gone through all its epochs?"""
    state = State.load(run.folder(root))
    return state is not None and state.run == run.to_dict() and state.epoch >= run.recipe.epochs


def progress_table(runs: list[Run], root: Path) -> str:
    """Every run with its last epoch."""
    lines = [f"{'variant':12s} {'seed':>4s} {'epoch':>9s} {'train loss':>10s} {'val loss':>9s} {'val accuracy':>12s}"]
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
        lines.append(f"{run.variant:12s} {run.seed:4d} {figures}")
    return "\n".join(lines)


def _start(run: Run, root: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    folder = run.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "training",
        "train",
        "--norm",
        run.norm,
        "--seed",
        str(run.seed),
        "--threads",
        "1",
        *arguments,
    ]
    with open(folder / "train.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _epochs_done(run: Run, root: Path) -> int:
    return len(_history(run, root)) // 2


def _history(run: Run, root: Path) -> list[dict[str, str]]:
    path = run.folder(root) / "history.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
