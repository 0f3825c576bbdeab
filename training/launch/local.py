"""A study on this machine: a queue of runs, one process per core; and estimates of their time."""

import contextlib
import heapq
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from tqdm import tqdm

from normzoo.errors import ConfigError, TrainingError
from normzoo.formatting import counted
from training.config import Run
from training.data.dataset import ImageData
from training.engine.speed import TIMED_STEPS, StepTiming, compiled_seconds, time_steps
from training.engine.step import missing_for_compile
from training.engine.trainer import handling
from training.runs import RunBusyError, State, is_busy, lock, read_doing, read_history, set_aside

POLL_SECONDS = 2.0
#: Exit code of `python -m training train` if another process trains the run (EX_TEMPFAIL of sysexits.h).
EXIT_BUSY = 75
#: Exit code after Ctrl-C.
EXIT_INTERRUPTED = 130
#: Seconds between lines about a study without a terminal.
REPORT_SECONDS = 60.0
#: Signals that end a run after its epoch and a study after those of its runs; a closed terminal sends SIGHUP.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

Digest = Callable[[Run], str]


def study(
    runs: list[Run],
    root: Path,
    workers: int,
    arguments: Sequence[str],
    digest: Digest | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Train all unfinished runs, `workers` at a time, one thread each; call again to resume.

    Several studies may share the folder of runs, on one or several machines: each run is trained by one, and taken over if
    that one ends.

    Args:
        root: the folder of all raw runs; each run writes its output to `train.log`.
        arguments: options of `python -m training train` for all runs, which do not change the result.
        digest: returns the digest of the images of a run.
    """
    runs = list(dict.fromkeys(runs))  # the same one twice would only meet its own lock
    waiting = [run for run in runs if not finished(run, root, digest)]
    say(f"{counted(len(runs), 'run')}, {len(runs) - len(waiting)} finished before, {workers} at a time.")
    active: dict[Run, subprocess.Popen[bytes]] = {}
    failed: list[Run] = []
    last_report, has_waited = time.monotonic(), False
    bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), unit="run", disable=None)
    with _stopping(active), bar:
        while waiting or active:
            for run in list(waiting):
                if len(active) == workers:
                    break
                if is_busy(run.folder(root)):
                    continue
                waiting.remove(run)
                if finished(run, root, digest):
                    bar.update(1)  # by another study
                else:
                    active[run] = _start(run, root, arguments)
            if waiting and not active and not has_waited:
                has_waited = True
                say(f"Other processes train {counted(len(waiting), 'run')}. Waiting, to take over if they stop.")
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
            line = ", ".join(f"{run.recipe.name} {run.variant} {standing(run, root)}" for run in active)
            bar.set_postfix_str(line)
            if bar.disable and time.monotonic() - last_report > REPORT_SECONDS:
                last_report = time.monotonic()
                say(f"{len(runs) - len(waiting) - len(active)} of {counted(len(runs), 'run')} finished. {line}")
    say(progress_table(runs, root))
    if failed:
        logs = ", ".join(str(run.folder(root) / "train.log") for run in failed)
        raise TrainingError(
            f"{len(failed)} of {counted(len(runs), 'run')} stopped with an error. See {logs}, then run this again."
        )


@contextlib.contextmanager
def _stopping(active: dict[Run, "subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Whatever ends a study ends its runs after their epoch, as Ctrl-C does; the second time at once.

    A terminal sends Ctrl-C to the runs as well; they get SIGTERM from here, and treat it in the same way, however often.
    """

    def interrupt(number: int, frame: object) -> None:
        if number != signal.SIGINT:
            _leave_terminal(number)
        raise KeyboardInterrupt

    with handling(STOPPING, interrupt):
        try:
            yield
        except KeyboardInterrupt:
            if active:
                words = f"Finishing the epoch of {counted(len(active), 'run')}. Press Ctrl-C again to stop at once."
                print(words, file=sys.stderr, flush=True)
            for process in active.values():
                process.terminate()
            for process in active.values():
                process.wait()
            raise
        finally:
            for process in active.values():
                if process.poll() is None:
                    process.kill()  # what was saved stays
                    process.wait()


def _leave_terminal(number: int) -> None:
    """After the terminal was closed, write nowhere, since writing would raise an error."""
    if number == getattr(signal, "SIGHUP", None):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            with contextlib.suppress(OSError):
                os.dup2(nowhere, stream)


def finished(run: Run, root: Path, digest: Digest | None = None) -> bool:
    """Has this run, with these settings and images, completed all its epochs?"""
    state = State.load(run.folder(root))
    fits = state is not None and state.run == run and (digest is None or state.data_digest == digest(run))
    return fits and state is not None and state.is_finished


def check_images(runs: list[Run], root: Path, digest: Digest, retrain: bool, say: Callable[[str], None] = print) -> None:
    """Find runs that were trained on other images; with `retrain` set them aside."""
    states = {run: State.load(run.folder(root)) for run in runs}
    other = [run for run, state in states.items() if state is not None and state.data_digest != digest(run)]
    if not other:
        return
    names = ", ".join(f"{run.variant} seed {run.seed}" for run in other[:6]) + (", …" if len(other) > 6 else "")
    if not retrain:
        raise ConfigError(
            f"{len(other)} of {counted(len(runs), 'run')} were trained on other images than {other[0].data} has now ({names}). "
            "Add --retrain to set them aside and train again, or give the images another name."
        )
    for run in other:
        try:
            with lock(run.folder(root)):
                say(f"Set aside: {set_aside(run.folder(root))}, trained on other images.")
        except RunBusyError:
            say(f"{run.folder(root)} is kept: another process trains it.")


def standing(run: Run, root: Path) -> str:
    """What a run is doing, in a few words."""
    rows = read_history(run.folder(root))
    return read_doing(run.folder(root)) or (f"epoch {len(rows) // 2}/{run.recipe.epochs}" if rows else "starting")


def progress_table(runs: list[Run], root: Path) -> str:
    """Every run with its last epoch."""
    rows = []
    for run in runs:
        last = {row["split"]: row for row in read_history(run.folder(root))[-2:]}
        figures = [f"{int(last['val']['epoch'])}/{run.recipe.epochs}"] if last else [standing(run, root)]
        for split, key in (("train", "loss"), ("val", "loss"), ("val", "accuracy")) if last else ():
            figures.append(f"{float(last[split][key]):.4f}")
        rows.append([run.recipe.name, run.variant, run.seed, *figures])
    return tabulate(
        rows, ["recipe", "variant", "seed", "epoch", "train loss", "val loss", "val accuracy"], "plain", floatfmt=".4f"
    )


def _start(run: Run, root: Path, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    folder = run.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "training", "train", "--threads=1", f"--runs={root}", *run.options(), *arguments]
    with open(folder / "train.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


#: Fields of a recipe that do not affect the time of a step.
_IDLE = {"name": "", "epochs": 1, "lr": 0.1, "schedule": "cosine", "step_epochs": 1, "step_factor": 0.1, "warmup": 0.0}
_IDLE |= {"weight_decay": 0.0, "gate_lr_factor": 1.0, "label_smoothing": 0.0}


@dataclass(frozen=True)
class RunEstimate:
    """Remaining work of one run."""

    run: Run
    epochs_left: int
    steps_left: int
    timing: StepTiming
    seconds: float


def estimate(
    runs: list[Run], images: Callable[[Run], ImageData], root: Path, device: torch.device, compiling: str = "off"
) -> list[RunEstimate]:
    """Time each kind of run once, eagerly, on the current number of threads; include the effect of compilation.

    Args:
        images: returns the images of a run.
        compiling: on, off or auto.
    """
    start_seconds = time.process_time()  # of this process until here; each run's takes as long
    timings: dict[tuple[object, ...], StepTiming] = {}
    found = []
    for run in dict.fromkeys(runs):
        state, data = State.load(run.folder(root)), images(run)
        done = state.epoch if state is not None and state.run == run and state.data_digest == data.digest else 0
        left = run.recipe.epochs - done
        kind = (run.norm, run.precision, run.recipe.changed(**_IDLE))
        if kind not in timings:
            timings[kind] = time_steps(run, data, device, run.precision)
        timing, steps = timings[kind], left * -(-len(data.labels["train"]) // run.recipe.batch_size)
        seconds = steps * timing.step_seconds
        if compiling != "off" and not missing_for_compile(device.type):
            compiled = compiled_seconds(steps, timing.step_seconds)
            seconds = compiled if compiling == "on" else min(seconds, compiled)
        seconds += left * timing.val_seconds + (start_seconds if left else 0.0)
        found.append(RunEstimate(run, left, steps, timing, seconds))
    return found


def makespan(seconds: list[float], workers: int) -> float:
    """Duration of a queue in which each free worker takes the next job."""
    free_at = [0.0] * max(1, workers)
    for each in seconds:
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def print_estimate(estimates: list[RunEstimate], root: Path, workers: int, say: Callable[[str], None]) -> None:
    rows = [
        (
            *(each.run.recipe.name, each.run.variant, each.run.seed, each.epochs_left, f"{each.steps_left:,}"),
            *(f"{each.run.recipe.batch_size / each.timing.step_seconds:.0f}", duration(each.seconds)),
            f"{each.timing.state_bytes / 1e6:.1f} MB",
        )
        for each in estimates
    ]
    titles = ["recipe", "variant", "seed", "epochs left", "steps", "images/s", "time", "disk"]
    say(tabulate(rows, titles, "plain", disable_numparse=True))
    total = makespan([each.seconds for each in estimates], workers)
    need = sum(each.timing.state_bytes for each in estimates if each.epochs_left)
    free = shutil.disk_usage(next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())).free
    runs_left, steps_left = sum(each.epochs_left > 0 for each in estimates), sum(each.steps_left for each in estimates)
    say(
        f"{counted(runs_left, 'run')} to train, {counted(steps_left, 'step')}, about {duration(total)} with {workers} at a "
        f"time; {need / 1e6:.1f} MB in {root} ({free / 1e9:.1f} GB are free)."
    )
    say(
        f"Measured in {TIMED_STEPS} uncompiled steps of each kind, one at a time; including start and compilation. "
        "Nothing was trained."
    )


def duration(seconds: float) -> str:
    """Format seconds as hours and minutes."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d}"
