"""Training speed of this machine: a few steps timed once per shape, and decisions based on it."""

import io
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from normzoo.errors import ConfigError
from normzoo.inference.predict import compute_logits
from training.config import PRECISIONS, Recipe, Run
from training.data.dataset import ImageData, data_root, made_up_data
from training.engine.augment import Augmentation, epoch_order
from training.engine.step import TrainStep, make_network, missing_for_compile, wait
from training.runs import device_name, replace_file

FILE = "speeds.json"
WARM_STEPS, TIMED_STEPS = 2, 6
TIMED_VAL_IMAGES = 128
#: Defaults until something was compiled here: seconds of compiling, and the share of a step that it saves.
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
        if choice not in PRECISIONS:
            raise ConfigError(f"amp must be one of auto, {', '.join(PRECISIONS)}, got {choice!r}.")
        return choice
    if not has_bf16(device):
        return "fp32"
    run = Run("timing", recipe, "bn")
    key = _key(run, device)
    known = _read().get(key, {})
    if not all(precision in known for precision in PRECISIONS):
        data = made_up_data(recipe.batch_size, recipe.image_size)
        known = {precision: time_steps(run, data, device, precision).step_seconds for precision in PRECISIONS}
        _store(key, known)
    chosen = min(PRECISIONS, key=lambda precision: known[precision])
    rates = ", ".join(f"{recipe.batch_size / known[precision]:.0f} images/s in {precision}" for precision in PRECISIONS)
    if key not in _told:
        say(f"--amp auto uses {chosen}: {rates}, timed once on this machine ({data_root() / FILE}).")
        _told.add(key)
    return chosen


_told = set[str]()  # once in each process


def has_bf16(device: torch.device) -> bool:
    """Does this processor have bf16 instructions?"""
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def compiled_estimate(run: Run, eager_seconds: float, device: torch.device) -> tuple[float, float]:
    """Return the seconds of compiling and of a compiled step: measured, or typical."""
    stored = _read()
    seen = [each for each in stored.values() if {"compile", "compiled", "eager"} <= each.keys()]
    own = stored.get(_key(run, device), {})
    compiling = own.get("compile") or statistics.median([each["compile"] for each in seen] or [COMPILE_SECONDS])
    ratio = statistics.median([each["compiled"] / each["eager"] for each in seen] or [1 - SAVED])
    return compiling, own.get("compiled") or eager_seconds * min(1.0, ratio)


def repays_compile(run: Run, data: ImageData, device: torch.device, epochs: int) -> bool:
    """Does compiling save time over the remaining steps?"""
    key = _key(run, device)
    eager = _read().get(key, {}).get("eager")
    if eager is None:
        eager = time_steps(run, data, device, run.precision).step_seconds
        _store(key, {"eager": eager})
    compiling, step_seconds = compiled_estimate(run, eager, device)
    return (eager - step_seconds) * epochs * -(-len(data.labels["train"]) // run.recipe.batch_size) > compiling


def choose_compile(
    choice: str, run: Run, data: ImageData, device: torch.device, epochs: int, say: Callable[[str], None]
) -> bool:
    """Return on or off; auto: on if the compiler is available and saves time."""
    if choice != "auto":
        return choice == "on"
    if not epochs:
        return False
    if reason := missing_for_compile(device.type):
        say(f"Training without torch.compile ({reason}): same result, but slower.")
        return False
    return repays_compile(run, data, device, epochs)


def store_compiled(run: Run, device: torch.device, compile_seconds: float, step_seconds: float) -> None:
    """Store the timing of a compiled run for later decisions."""
    _store(_key(run, device), {"compile": compile_seconds, "compiled": step_seconds})


def _key(run: Run, device: torch.device) -> str:
    recipe, name = run.recipe, torch.cuda.get_device_name() if device.type == "cuda" else device_name()
    kind = f"{run.norm} {run.precision} depth {recipe.depth} {recipe.image_size} px batch {recipe.batch_size}"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}: {kind}"


def _read() -> dict[str, dict[str, float]]:
    try:
        found: Any = json.loads((data_root() / FILE).read_text(encoding="utf-8"))
        return {key: dict(value) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # it is measured again, in a second


def _store(key: str, figures: dict[str, float]) -> None:
    path: Path = data_root() / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{FILE}.lock")):
            stored = _read()
            stored[key] = stored.get(key, {}) | {name: round(value, 6) for name, value in figures.items()}
            replace_file(path, json.dumps(stored, indent=1).encode())
    except OSError:
        pass  # no place to keep it: measured again next time
