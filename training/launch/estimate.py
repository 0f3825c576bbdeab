"""Estimate of the time and disk that a list of runs takes, from a few measured steps. Nothing is trained, nothing is
written.
"""

import heapq
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate

from normzoo.formatting import counted
from training.config import Run
from training.data.dataset import ImageData
from training.engine.speed import TIMED_STEPS, StepTiming, compiled_estimate, time_steps
from training.engine.step import missing_for_compile
from training.runs import State

#: Fields of a recipe that change nothing in the time of a step.
_IDLE = {"name": "", "epochs": 1, "lr": 0.1, "schedule": "cosine", "step_epochs": 1, "step_factor": 0.1, "warmup": 0.0}
_IDLE |= {"weight_decay": 0.0, "gate_lr_factor": 1.0, "label_smoothing": 0.0}


@dataclass(frozen=True)
class RunEstimate:
    """Work that is left of one run."""

    run: Run
    epochs_left: int
    steps_left: int
    timing: StepTiming
    seconds: float


def estimate(
    runs: list[Run], images: Callable[[Run], ImageData], root: Path, device: torch.device, compiling: str = "off"
) -> list[RunEstimate]:
    """Measure each kind of run once, eagerly, on as many cores as torch uses now, and count in what compiling takes and saves.

    Args:
        images: gives those of a run.
        compiling: on, off or auto.
    """
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
            fixed, compiled_step = compiled_estimate(run, timing.step_seconds, device)
            compiled_seconds = (fixed if left else 0.0) + steps * compiled_step
            seconds = compiled_seconds if compiling == "on" else min(seconds, compiled_seconds)
        found.append(RunEstimate(run, left, steps, timing, seconds + left * timing.val_seconds))
    return found


def makespan(seconds: list[float], workers: int) -> float:
    """How long a queue takes: whoever is free takes the next."""
    free_at = [0.0] * max(1, workers)
    for each in seconds:
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def print_estimate(estimates: list[RunEstimate], root: Path, workers: int, say: Callable[[str], None]) -> None:
    """The plan as a table, with its sums."""
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
    say(f"Measured in {TIMED_STEPS} uncompiled steps of each kind, one at a time, compiling counted in. Nothing was trained.")


def duration(seconds: float) -> str:
    """Hours and minutes, or what is less."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d}"
