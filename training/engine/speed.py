"""Training speed of this machine: a few steps timed once per shape, and decisions based on it."""

import contextlib
import functools
import io
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from filelock import FileLock

from normzoo.inference.predict import compute_logits
from training.config import PRECISIONS, Recipe, Run
from training.data.dataset import ImageData, data_root, made_up_data
from training.engine.augment import Augmentation, epoch_order
from training.engine.step import TrainStep, make_network, missing_for_compile, wait
from training.runs import device_name, replace_file

FILE = "speeds.json"
WARM_STEPS, TIMED_STEPS = 2, 6
TIMED_VAL_IMAGES = 128
#: Typical seconds of compiling, and the share of a step that it saves.
COMPILE_SECONDS, SAVED = 25.0, 0.35


@dataclass(frozen=True)
class StepTiming:
    """Measured times of one kind of run."""

    step_seconds: float  # of a whole batch, eagerly
    val_seconds: float  # of all validation images, once an epoch
    state_bytes: int  # of the saved state


def time_steps(run: Run, data: ImageData, device: torch.device, precision: str) -> StepTiming:
    """Train a temporary network of this kind for a few eager steps; torch's random state is restored."""
    recipe, labels = run.recipe, data.labels["train"]
    with torch.random.fork_rng():
        model = make_network(run, len(data.classes)).to(device).train()
    mean, std = torch.tensor(data.mean, device=device), torch.tensor(data.std, device=device)
    step = TrainStep(model, recipe, mean, std, precision)
    augment = Augmentation(recipe, len(labels), run.seed, 1)
    batches = epoch_order(len(labels), run.seed, 1).split(recipe.batch_size)
    seconds = []
    for number in range(WARM_STEPS + TIMED_STEPS):
        positions = batches[number % max(1, len(batches) - 1)]  # not the last one, which is smaller, if there is another
        wait(device)
        start = time.perf_counter()
        step(augment(data.pixels["train"][positions], positions).to(device), labels[positions].to(device), recipe.lr)
        wait(device)
        seconds.append(time.perf_counter() - start)
    some = data.pixels["val"][:TIMED_VAL_IMAGES]
    start = time.perf_counter()
    compute_logits(model, some, mean, std)
    val_seconds = (time.perf_counter() - start) * len(data.pixels["val"]) / len(some)
    state = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": step.optimizer.state_dict()}, state)
    return StepTiming(statistics.median(seconds[WARM_STEPS:]), val_seconds, len(state.getvalue()))


def choose_precision(choice: str, recipe: Recipe, device: torch.device, say: Callable[[str], None] = print) -> str:
    """Return fp32 or bf16 (convolutions only; statistics, losses and weights stay float32); auto: the faster one.

    The same for all norms: timed with batch normalization, once per machine and shape. On a GPU always fp32, with TF32
    convolutions: at these sizes launches dominate, and bf16 adds some.
    """
    if choice != "auto":
        return choice
    if not has_bf16(device):
        return "fp32"
    data = functools.partial(made_up_data, recipe.batch_size, recipe.image_size)
    seconds = {
        precision: _step_seconds(Run("timing", recipe, "bn", precision=precision), data, device) for precision in PRECISIONS
    }
    chosen = min(PRECISIONS, key=lambda precision: seconds[precision])
    rates = ", ".join(f"{recipe.batch_size / seconds[precision]:.0f} images/s in {precision}" for precision in PRECISIONS)
    if (line := f"--amp auto uses {chosen}: {rates}, timed once on this machine ({data_root() / FILE}).") not in _told:
        say(line)
        _told.add(line)
    return chosen


_told = set[str]()  # once in each process


def has_bf16(device: torch.device) -> bool:
    """Does this processor have bf16 instructions?"""
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def compiled_seconds(steps: int, step_seconds: float) -> float:
    """Estimate the time of so many compiled steps, with compiling, from that of an eager step."""
    return COMPILE_SECONDS + steps * step_seconds * (1 - SAVED) if steps else 0.0


def choose_compile(
    choice: str, run: Run, data: ImageData, device: torch.device, epochs: int, say: Callable[[str], None]
) -> bool:
    """Return on or off; auto: on if the compiler is available and saves time over the remaining epochs."""
    if choice != "auto":
        return choice == "on"
    if not epochs:
        return False
    if reason := missing_for_compile(device.type):
        say(f"Training without torch.compile ({reason}): same result, but slower.")
        return False
    steps, eager = epochs * -(-len(data.labels["train"]) // run.recipe.batch_size), _step_seconds(run, lambda: data, device)
    return compiled_seconds(steps, eager) < steps * eager


def _step_seconds(run: Run, data: Callable[[], ImageData], device: torch.device) -> float:
    """Return the seconds of an eager step: those stored for this machine and shape, or measured and stored."""
    recipe, name = run.recipe, torch.cuda.get_device_name() if device.type == "cuda" else device_name()
    kind = f"{run.norm} {run.precision} depth {recipe.depth} {recipe.image_size} px batch {recipe.batch_size}"
    key = f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}: {kind}"
    if not isinstance(seconds := _read().get(key), float):
        seconds = time_steps(run, data(), device, run.precision).step_seconds
        path = data_root() / FILE
        with contextlib.suppress(OSError):  # no place to keep it: measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{FILE}.lock")):
                replace_file(path, json.dumps({**_read(), key: round(seconds, 6)}, indent=1).encode())
    return seconds


def _read() -> dict[str, Any]:
    try:
        return dict(json.loads((data_root() / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # it is measured again, in a second
