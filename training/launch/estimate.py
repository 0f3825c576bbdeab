"""Estimate of the time and disk that a list of runs takes, from a few measured steps. Nothing is trained, nothing is
written.
"""

import heapq
import io
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from normzoo.formatting import counted
from normzoo.inference.predict import compute_logits
from normzoo.nn.resnet import ResNet
from training.data.dataset import ImageData
from training.engine.augment import Augmentation, epoch_order
from training.engine.step import TrainStep, wait
from training.experiment.runs import Run, State

WARM_STEPS, TIMED_STEPS = 2, 6
TIMED_VAL_IMAGES = 128


@dataclass(frozen=True)
class Pace:
    """Pace of one kind of run, as measured."""

    step_seconds: float  # of a whole batch
    val_seconds: float  # of all validation images, once an epoch
    state_bytes: int  # of the saved state


@dataclass(frozen=True)
class Forecast:
    """Work that is left of one run."""

    run: Run
    epochs_left: int
    steps_left: int
    pace: Pace

    @property
    def seconds(self) -> float:
        return self.steps_left * self.pace.step_seconds + self.epochs_left * self.pace.val_seconds


def forecast(runs: list[Run], data: ImageData, root: Path, device: torch.device) -> list[Forecast]:
    """Measure each kind of run once, eagerly, on as many cores as torch uses now.

    Raises:
        TrainingError: the saved state of a run is damaged.
        ConfigError: there is no such network.
    """
    paces: dict[tuple[object, ...], Pace] = {}
    forecasts = []
    for run in dict.fromkeys(runs):
        state = State.load(run.folder(root))
        done = state.epoch if state is not None and state.run == run else 0
        left = max(0, run.recipe.epochs - done)
        kind = (run.norm, run.precision, run.recipe.changed(name="", epochs=1))
        if kind not in paces:
            paces[kind] = measure(run, data, device)
        steps = left * -(-len(data.labels["train"]) // run.recipe.batch_size)
        forecasts.append(Forecast(run, left, steps, paces[kind]))
    return forecasts


def measure(run: Run, data: ImageData, device: torch.device) -> Pace:
    """Train a throw-away network of this kind for a few steps."""
    recipe, labels = run.recipe, data.labels["train"]
    model = ResNet(recipe.depth, run.norm, len(data.classes), recipe.last_norm or None).to(device).train()
    mean, std = torch.tensor(data.mean, device=device), torch.tensor(data.std, device=device)
    step = TrainStep(model, recipe, mean, std, run.precision)
    augment = Augmentation(recipe, len(labels), run.seed, 1)
    batches = epoch_order(len(labels), run.seed, 1).split(recipe.batch_size)
    start = 0.0
    for number in range(WARM_STEPS + TIMED_STEPS):
        if number == WARM_STEPS:
            wait(device)
            start = time.perf_counter()
        positions = batches[number % max(1, len(batches) - 1)]  # not the last one, which is smaller, if there is another
        pixels = augment(data.pixels["train"][positions], positions)
        step(pixels.to(device), labels[positions].to(device), recipe.lr)
    wait(device)
    step_seconds = (time.perf_counter() - start) / TIMED_STEPS
    some = data.pixels["val"][:TIMED_VAL_IMAGES]
    start = time.perf_counter()
    compute_logits(model, some, mean, std)
    val_seconds = (time.perf_counter() - start) * len(data.pixels["val"]) / len(some)
    state = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": step.optimizer.state_dict()}, state)
    return Pace(step_seconds, val_seconds, len(state.getvalue()))


def makespan(seconds: list[float], workers: int) -> float:
    """How long a queue takes: whoever is free takes the next."""
    free_at = [0.0] * max(1, workers)
    for each in seconds:
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def tell(forecasts: list[Forecast], root: Path, workers: int, say: Callable[[str], None]) -> None:
    """The plan as a table, with its sums."""
    say(
        f"{'recipe':12s} {'variant':10s} {'seed':>4s} {'epochs left':>11s} {'steps':>9s} "
        f"{'images/s':>9s} {'time':>8s} {'disk':>9s}"
    )
    for each in forecasts:
        run = each.run
        say(
            f"{run.recipe.name:12s} {run.variant:10s} {run.seed:4d} {each.epochs_left:11d} {each.steps_left:9,d} "
            f"{run.recipe.batch_size / each.pace.step_seconds:9.0f} {duration(each.seconds):>8s} "
            f"{each.pace.state_bytes / 1e6:6.1f} MB"
        )
    total = makespan([each.seconds for each in forecasts], workers)
    need = sum(each.pace.state_bytes for each in forecasts if each.epochs_left)
    free = shutil.disk_usage(next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())).free
    runs_left, steps_left = sum(each.epochs_left > 0 for each in forecasts), sum(each.steps_left for each in forecasts)
    say(
        f"{counted(runs_left, 'run')} to train, {counted(steps_left, 'step')}, about {duration(total)} with {workers} at a "
        f"time; "
        f"{need / 1e6:.1f} MB in {root} ({free / 1e9:.1f} GB are free)."
    )
    say(f"Measured in {TIMED_STEPS} uncompiled steps of each kind, one run at a time. Nothing was trained.")


def duration(seconds: float) -> str:
    """Hours and minutes, or what is less."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d}"
