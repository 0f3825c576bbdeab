"""One training run: epochs over the images, resumable to the same result, bit for bit on a CPU."""

import contextlib
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from normzoo.errors import ConfigError, TrainingError
from normzoo.inference import compute_logits
from normzoo.resnet import ResNet
from training import metrics
from training.augment import Augmentation, epoch_order
from training.data import ImageData
from training.provenance import provenance
from training.runs import Run, State, lock
from training.step import TrainStep, learning_rates, missing_for_compile


class Interrupted(Exception):
    """The run stopped after a whole epoch because the user asked; it can be resumed."""


def train(
    run: Run,
    data: ImageData,
    root: Path,
    *,
    compiled: bool | None = None,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
) -> State:
    """Train, or go on with, one run.

    Args:
        root: the folder of all raw runs.
        compiled: use torch.compile; None: where a C++ compiler is there.
        stop_after: end the call after this epoch, to be resumed.
        say: prints one line.

    Returns:
        the state after the last epoch.

    Raises:
        TrainingError: another process works on this run, the stored one was made with other settings, or the loss is
            no longer finite.
        Interrupted: Ctrl-C; the epoch that was running is complete and saved.
    """
    if data.image_size != run.recipe.image_size:
        raise ConfigError(f"the recipe wants {run.recipe.image_size} px images, {data.name} has {data.image_size} px.")
    torch.manual_seed(run.seed)
    model = ResNet(run.recipe.depth, run.norm, len(data.classes))
    folder = run.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder), _first_interrupt_waits() as interrupted:
        mean, std = torch.tensor(data.mean), torch.tensor(data.std)
        reason = missing_for_compile() if compiled is None else None
        if reason:
            say(f"Training without torch.compile ({reason}): the same result, more slowly.")
        use_compile = reason is None if compiled is None else compiled
        step = TrainStep(model, run.recipe, mean, std, run.precision, run.recipe.batch_size if use_compile else None)
        state = _resume(run, data, folder, step)
        session = {**provenance(), "compiled": use_compile, "first_epoch": state.epoch + 1, "seconds": 0.0}
        state.sessions.append(session)
        start = time.perf_counter()
        last = min(run.recipe.epochs, run.recipe.epochs if stop_after is None else stop_after)
        for epoch in range(state.epoch + 1, last + 1):
            rows = _train_epoch(step, run, data, epoch)
            state.history += rows
            state.epoch = epoch
            state.model, state.optimizer = model.state_dict(), step.optimizer.state_dict()
            session["seconds"] = time.perf_counter() - start
            state.save(folder)
            if not sys.stderr.isatty():
                say(_epoch_line(run, rows, session["seconds"], last - epoch, epoch - session["first_epoch"] + 1))
            if interrupted() and epoch < last:
                raise Interrupted(f"Stopped after epoch {epoch} of {run.recipe.epochs}. The same command goes on from here.")
    return state


def _resume(run: Run, data: ImageData, folder: Path, step: TrainStep) -> State:
    state = State.load(folder)
    if state is None:
        (folder / "run.json").write_text(json.dumps(run.to_dict(), indent=1))
        return State(run.to_dict(), data.digest, 0, {}, {}, [], [])
    if state.run != run.to_dict() or state.data_digest != data.digest:
        raise TrainingError(
            f"{folder} holds a run with other settings ({_difference(state.run, run.to_dict()) or 'other images'}). "
            "Use the same settings, another --runs folder, or delete it."
        )
    if state.epoch:
        step.model.load_state_dict(state.model)
        step.optimizer.load_state_dict(state.optimizer)
    return state


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    old, new = {**old, **old["recipe"]}, {**new, **new["recipe"]}
    return ", ".join(f"{key} {old.get(key)!r}, now {new[key]!r}" for key in new if key != "recipe" and old.get(key) != new[key])


def _train_epoch(step: TrainStep, run: Run, data: ImageData, epoch: int) -> list[dict[str, Any]]:
    """Train for one epoch, then validate; one history row for each split.

    The training figures are those of the batches as they were trained on; the final ones are measured anew by `package`.
    """
    pixels, labels = data.pixels["train"], data.labels["train"]
    count, batch_size = len(labels), run.recipe.batch_size
    order = epoch_order(count, run.seed, epoch)
    augment = Augmentation(run.recipe, count, run.seed, epoch)
    rates = learning_rates(run.recipe, -(-count // batch_size))
    first_step = (epoch - 1) * -(-count // batch_size)
    total_loss, predicted = torch.zeros((), dtype=torch.float64), torch.empty_like(labels)
    start = time.perf_counter()
    step.model.train()
    bar = tqdm(
        order.split(batch_size), desc=f"{run.variant} {epoch}/{run.recipe.epochs}", unit="step", disable=None, leave=False
    )
    for number, positions in enumerate(bar, start=first_step):
        batch = augment(pixels[positions], positions)
        loss, classes = step(batch, labels[positions], rates[number])
        total_loss += loss.double() * len(positions)
        predicted[positions] = classes
    mean_loss = total_loss.item() / count
    _check_finite(mean_loss, "training", run, epoch)
    middle = time.perf_counter()
    trained = metrics.summary(mean_loss, predicted, labels, len(data.classes))
    # At the precision that is stored, so that the last epoch has exactly the figures of the stored logits.
    val_logits = compute_logits(step.model, data.pixels["val"], step.mean, step.std).half()
    validated = metrics.from_logits(val_logits, data.labels["val"])
    # The last step may have broken the weights after its own loss was measured.
    _check_finite(validated["loss"], "validation", run, epoch)
    end = time.perf_counter()
    common = {"seed": run.seed, "epoch": epoch, "lr": rates[first_step]}
    return [
        {**common, "split": "train", **trained, "seconds": middle - start},
        {**common, "split": "val", **validated, "seconds": end - middle},
    ]


def _check_finite(loss: float, split: str, run: Run, epoch: int) -> None:
    if not math.isfinite(loss):
        kept = f"The state after epoch {epoch - 1} is kept." if epoch > 1 else "Nothing is saved yet."
        raise TrainingError(
            f"The {split} loss of {run.variant} became {loss} in epoch {epoch}. {kept} Try a lower --lr, or --clip-norm 1."
        )


def _epoch_line(run: Run, rows: list[dict[str, Any]], seconds: float, epochs_left: int, epochs_done: int) -> str:
    train_row, val_row = rows
    left = seconds / epochs_done * epochs_left
    return (
        f"{run.variant} seed {run.seed} epoch {train_row['epoch']}/{run.recipe.epochs}  "
        f"train loss {train_row['loss']:.4f} accuracy {train_row['accuracy']:.4f}  "
        f"val loss {val_row['loss']:.4f} accuracy {val_row['accuracy']:.4f} macro F1 {val_row['macro_f1']:.4f}  "
        f"{train_row['seconds'] + val_row['seconds']:.1f} s, {left / 60:.0f} min left"
    )


@contextlib.contextmanager
def _first_interrupt_waits() -> Iterator[Callable[[], bool]]:
    """First Ctrl-C is remembered, the second interrupts as usual. Yields a function: was there one?"""
    asked = False

    def remember(signum: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, previous)
        print("Finishing this epoch, then saving. Ctrl-C again stops at once.", file=sys.stderr)

    try:
        previous = signal.signal(signal.SIGINT, remember)
    except ValueError:  # not the main thread: signals are somebody else's
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)
