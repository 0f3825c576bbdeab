"""One training run: epochs over the images, resumable to the same result, bit for bit on a CPU."""

import contextlib
import dataclasses
import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from normzoo.errors import ConfigError, TrainingError
from normzoo.inference.predict import compute_logits
from normzoo.nn.named_norms import COPY, own_source
from normzoo.nn.resnet import ResNet
from normzoo.nn.sync import count_replicas
from training.data.dataset import FILES, SPLITS, ImageData
from training.engine import metrics
from training.engine.augment import Augmentation, epoch_order
from training.engine.distributed import ReplicaStep, is_writer, on_cpu, synchronize_norms
from training.engine.loggers import open_log
from training.engine.step import TrainStep, learning_rates, missing_for_compile
from training.experiment.provenance import provenance
from training.experiment.runs import Run, State, lock

CPU = torch.device("cpu")


class Interrupted(Exception):
    """The run stopped after a whole epoch because the user asked; it can be resumed."""


def train(
    run: Run,
    data: ImageData,
    root: Path,
    *,
    compiled: bool | None = None,
    stop_after: int | None = None,
    device: torch.device = CPU,
    sync_norms: bool = True,
    log_to: str | None = None,
    say: Callable[[str], None] = print,
) -> State:
    """Train, or go on with, one run; in a process group together with the others, of which the first one writes.

    Args:
        root: the folder of all raw runs.
        compiled: use torch.compile; None: where its compiler is there, and no process group.
        stop_after: end the call after this epoch, to be resumed.
        device: of this process; the images are kept on it.
        sync_norms: in a process group, the norms look across the whole batch.
        log_to: a key of `LOGS`, to which the figures are sent besides.
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
    if data.holdout != run.holdout:
        raise ConfigError(f"the run wants a holdout of {run.holdout}, {data.name} has {data.holdout}.")
    torch.manual_seed(run.seed)
    model = ResNet(run.recipe.depth, run.norm, len(data.classes), run.recipe.last_norm or None).to(device)
    images = _resident(data, device)
    folder = run.folder(root)
    replicas, writes = count_replicas(), is_writer()
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    with (
        lock(folder) if writes else contextlib.nullcontext(),
        open_log(log_to if writes else None, run, folder) as log,
        first_interrupt_waits() as interrupted,
    ):
        mean, std = torch.tensor(data.mean, device=device), torch.tensor(data.std, device=device)
        if replicas > 1:
            use_compile = False
            if sync_norms:
                synchronize_norms(model, device)
            step: TrainStep = ReplicaStep(model, run.recipe, mean, std, run.precision, sync_norms)
        else:
            reason = missing_for_compile(device.type) if compiled is None else None
            if reason:
                say(f"Training without torch.compile ({reason}): the same result, more slowly.")
            use_compile = reason is None if compiled is None else compiled
            step = TrainStep(model, run.recipe, mean, std, run.precision, run.recipe.batch_size if use_compile else None)
        state = open_state(run, data, folder)
        step.check_start(state.epoch)
        if state.epoch:
            model.load_state_dict(state.model)
            # A finished run may have come back from another machine without it.
            if state.epoch < run.recipe.epochs:
                step.optimizer.load_state_dict(state.optimizer)
        session = {**provenance(), "compiled": use_compile, "first_epoch": state.epoch + 1, "seconds": 0.0}
        if replicas > 1:
            session |= {"replicas": replicas, "sync_norms": sync_norms}
        state.sessions.append(session)
        start = time.perf_counter()
        last = min(run.recipe.epochs, run.recipe.epochs if stop_after is None else stop_after)
        for epoch in range(state.epoch + 1, last + 1):
            rows = _train_epoch(step, run, images, epoch)
            state.history += rows
            state.epoch = epoch
            state.model, state.optimizer = model.state_dict(), step.optimizer.state_dict()
            if device.type != "cpu":
                state.model, state.optimizer = on_cpu(state.model), on_cpu(state.optimizer)
            session["seconds"] = time.perf_counter() - start
            if writes:
                state.save(folder)
            log(rows)
            if writes and not sys.stderr.isatty():
                say(epoch_line(run, rows, session["seconds"], last - epoch, epoch - session["first_epoch"] + 1))
            if step.agree(interrupted()) and epoch < last:
                raise Interrupted(f"Stopped after epoch {epoch} of {run.recipe.epochs}. The same command goes on from here.")
    return state


def _resident(data: ImageData, device: torch.device) -> ImageData:
    """The same images, their pixels and labels on the device."""
    pixels, labels = ({split: part[split].to(device) for split in SPLITS} for part in (data.pixels, data.labels))
    return dataclasses.replace(data, pixels=pixels, labels=labels)


def open_state(run: Run, data: ImageData, folder: Path) -> State:
    """The saved state of a run, or that of one that has not begun.

    Raises:
        TrainingError: the saved one is damaged, or was made with other settings or images.
    """
    state = State.load(folder)
    if state is None:
        if is_writer():
            (folder / "run.json").write_text(json.dumps(run.to_dict(), indent=1))
            source = own_source(run.norm)
            if source is not None:
                (folder / COPY).write_text(source, encoding="utf-8", newline="")
            if data.files:
                shutil.copyfile(data.files, folder / FILES)
        return State(run, data.digest, 0, {}, {}, [], [])
    if state.run != run or state.data_digest != data.digest:
        raise TrainingError(
            f"{folder} holds a run with other settings ({_difference(state.run.to_dict(), run.to_dict()) or 'other images'}). "
            "Use the same settings, another --runs folder, or delete it."
        )
    return state


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    old, new = {**old, **old["recipe"]}, {**new, **new["recipe"]}
    return ", ".join(
        f"{key} {old.get(key)!r}, now {new.get(key)!r}" for key in new if key != "recipe" and old.get(key) != new[key]
    )


def _train_epoch(step: TrainStep, run: Run, data: ImageData, epoch: int) -> list[dict[str, Any]]:
    """Train for one epoch, then validate; one history row for each split.

    The training figures are those of the batches as they were trained on; the final ones are measured anew by `package`.
    """
    pixels, labels = data.pixels["train"], data.labels["train"]
    count, batch_size = len(labels), run.recipe.batch_size
    # Drawn on the CPU, so that every device trains on the same.
    order = epoch_order(count, run.seed, epoch).to(labels.device)
    augment = Augmentation(run.recipe, count, run.seed, epoch).to(labels.device)
    rates = learning_rates(run.recipe, -(-count // batch_size))
    first_step = (epoch - 1) * -(-count // batch_size)
    # Read once, at the end of the epoch: until then nothing waits for the device.
    total_loss, predicted = torch.zeros((), dtype=torch.float64, device=labels.device), torch.zeros_like(labels)
    start = time.perf_counter()
    step.model.train()
    hidden = None if is_writer() else True  # None: on a terminal only
    bar = tqdm(
        order.split(batch_size), desc=f"{run.variant} {epoch}/{run.recipe.epochs}", unit="step", disable=hidden, leave=False
    )
    for number, positions in enumerate(bar, start=first_step):
        own = step.share(positions)
        try:
            loss, classes = step(augment(pixels[own], own), labels[own], rates[number])
        except ValueError as error:  # a norm that would have a single value for its statistics
            raise TrainingError(
                f"{run.variant} cannot be trained on {data.image_size} px in a batch of {len(positions)} ({error}) "
                "Take a larger --image-size, or a --batch-size that leaves no batch of one image."
            ) from error
        total_loss += loss.double() * len(own)
        predicted[own] = classes
    total_loss, predicted = step.combine(total_loss, predicted)
    mean_loss = total_loss.item() / count
    trained = training_figures(run, epoch, mean_loss, predicted.cpu(), labels.cpu())
    middle = time.perf_counter()
    logits = compute_logits(step.model, data.pixels["val"], step.mean, step.std)
    validated = validation_figures(run, epoch, logits, data.labels["val"].cpu())
    seconds = (middle - start, time.perf_counter() - middle)
    return history_rows(run, epoch, rates[first_step], (trained, validated), seconds)


def training_figures(run: Run, epoch: int, mean_loss: float, predicted: Tensor, labels: Tensor) -> dict[str, float]:
    """The figures of an epoch's own predictions.

    Raises:
        TrainingError: the loss is not finite.
    """
    _check_finite(mean_loss, "training", run, epoch)
    return metrics.summary(mean_loss, predicted, labels)


def validation_figures(run: Run, epoch: int, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The figures of the validation images' logits.

    Raises:
        TrainingError: the loss is not finite: the last step may have broken the weights after its own was measured.
    """
    # At the precision that is stored, so that the last epoch has exactly the figures of the stored logits.
    figures = metrics.from_logits(logits.half(), labels)
    _check_finite(figures["loss"], "validation", run, epoch)
    return figures


def history_rows(
    run: Run, epoch: int, lr: float, figures: tuple[dict[str, float], dict[str, float]], seconds: tuple[float, float]
) -> list[dict[str, Any]]:
    """Return what an epoch adds to the history: a row for each split, training first."""
    common = {"seed": run.seed, "epoch": epoch, "lr": lr}
    return [
        {**common, "split": split, **values, "seconds": taken}
        for split, values, taken in zip(SPLITS, figures, seconds, strict=True)
    ]


def _check_finite(loss: float, split: str, run: Run, epoch: int) -> None:
    if not math.isfinite(loss):
        kept = f"The state after epoch {epoch - 1} is kept." if epoch > 1 else "Nothing is saved yet."
        raise TrainingError(
            f"The {split} loss of {run.variant} became {loss} in epoch {epoch}. {kept} Try a lower --lr, or --clip-norm 1."
        )


def epoch_line(run: Run, rows: list[dict[str, Any]], seconds: float, epochs_left: int, epochs_done: int) -> str:
    """An epoch as one line, with the time left."""
    train_row, val_row = rows
    left = seconds / epochs_done * epochs_left
    return (
        f"{run.variant} seed {run.seed} epoch {train_row['epoch']}/{run.recipe.epochs}  "
        f"train loss {train_row['loss']:.4f} accuracy {train_row['accuracy']:.4f}  "
        f"val loss {val_row['loss']:.4f} accuracy {val_row['accuracy']:.4f} macro F1 {val_row['macro_f1']:.4f}  "
        f"{train_row['seconds'] + val_row['seconds']:.1f} s, {left / 60:.0f} min left"
    )


@contextlib.contextmanager
def first_interrupt_waits() -> Iterator[Callable[[], bool]]:
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
