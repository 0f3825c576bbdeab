"""One training run: epochs over the images, resumable to the same result, bit for bit on a CPU."""

import contextlib
import dataclasses
import importlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from normzoo.errors import ConfigError, TrainingError
from normzoo.inference.predict import compute_logits
from normzoo.nn.own_norm import COPY, own_source
from normzoo.nn.sync import count_replicas
from training.config import Execution, Run
from training.data.dataset import FILES, SPLITS, ImageData
from training.engine import metrics
from training.engine.augment import Augmentation, epoch_order
from training.engine.distributed import ReplicaStep, is_writer, on_cpu, synchronize_norms
from training.engine.metrics import METRICS
from training.engine.speed import choose_compile
from training.engine.step import TrainStep, choose_device, class_weights, learning_rates, make_network, start_of
from training.runs import DOING, State, lock, provenance, set_aside, tell_doing

#: Seconds between progress reports.
WATCH_SECONDS = 2.0
USUAL = Execution()


class Interrupted(Exception):
    """The run stopped after an epoch at the user's request; it can be resumed."""


class DivergedError(TrainingError):
    """A loss became infinite or NaN."""


def train(
    run: Run,
    data: ImageData,
    root: Path,
    execution: Execution = USUAL,
    say: Callable[[str], None] = print,
    stopping: tuple[int, ...] = (signal.SIGINT,),
    on_epoch: Callable[[list[dict[str, Any]]], None] = lambda _: None,
) -> State:
    """Train or resume one run; in a process group with the others, of which the first writes.

    Args:
        root: the folder of all raw runs.
        execution: device, compilation and other settings.
        say: prints one line.
        stopping: signals that stop it after the epoch.
        on_epoch: receives the rows of each saved epoch; an exception ends the run.

    Returns:
        the state after the last epoch.
    """
    if data.image_size != run.recipe.image_size:
        raise ConfigError(f"The recipe needs images of {run.recipe.image_size} px, {data.name} has {data.image_size} px.")
    if data.holdout != run.holdout:
        raise ConfigError(f"The run needs a holdout of {run.holdout}, {data.name} has {data.holdout}.")
    if execution.threads:
        torch.set_num_threads(execution.threads)
    device = choose_device(execution.device)
    torch.manual_seed(run.seed)
    model = make_network(run, len(data.classes)).to(device)
    images = to_device(data, device)
    folder = run.folder(root)
    replicas, writes = count_replicas(), is_writer()
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    with (
        lock(folder) if writes else contextlib.nullcontext(),
        open_log(execution.log_to if writes else None, run, folder) as log,
        first_interrupt_waits(stopping) as interrupted,
        contextlib.ExitStack() as closing,
    ):
        state = open_state(run, data, folder, execution.retrain)
        last = min(run.recipe.epochs, execution.stop_after or run.recipe.epochs)
        mean, std = torch.tensor(data.mean, device=device), torch.tensor(data.std, device=device)
        weights = class_weights(run.recipe, images.labels["train"], len(data.classes))
        if replicas > 1:
            if run.recipe.statistics_batch:
                raise ConfigError("statistics_batch works in one process only.")
            compiled = False
            if execution.sync_norms:
                synchronize_norms(model, device)
            step: TrainStep = ReplicaStep(model, run.recipe, mean, std, run.precision, execution.sync_norms, weights)
        else:
            compiled = choose_compile(execution.compile, run, data, device, last - state.epoch, say)
            compiled_batch = run.recipe.batch_size if compiled else None
            step = TrainStep(model, run.recipe, mean, std, run.precision, compiled_batch, weights)
        step.check_start(state.epoch)
        if state.epoch:
            model.load_state_dict(state.model)
            # A finished run may have come back from another machine without it.
            if state.epoch < run.recipe.epochs:
                step.optimizer.load_state_dict(state.optimizer)
        session = {**provenance(run.command()), "compiled": compiled, "first_epoch": state.epoch + 1, "seconds": 0.0}
        if start_from := start_of(run):
            session["start_sha256"] = start_from.metrics["provenance"].get("weights_sha256")
        if replicas > 1:
            session |= {"replicas": replicas, "sync_norms": execution.sync_norms}
        state.sessions.append(session)
        start = time.perf_counter()
        watch = closing.enter_context(Watch(run, folder if writes else None, compiled))
        for epoch in range(state.epoch + 1, last + 1):
            rows = _train_epoch(step, run, images, epoch, watch)
            state.history += rows
            state.epoch = epoch
            state.model, state.optimizer = model.state_dict(), step.optimizer.state_dict()
            if device.type != "cpu":
                state.model, state.optimizer = on_cpu(state.model), on_cpu(state.optimizer)
            session["seconds"] = time.perf_counter() - start
            if writes:
                state.save(folder)
            log(rows)
            on_epoch(rows)
            if writes and not sys.stderr.isatty():
                say(epoch_line(run, rows, session["seconds"], last - epoch, epoch - session["first_epoch"] + 1))
            if step.agree(interrupted()) and epoch < last:
                raise Interrupted(f"Stopped after epoch {epoch} of {run.recipe.epochs}. The same command resumes.")
    return state


class Watch:
    """Reports what a run is doing: on the terminal, and in its folder for a study."""

    def __init__(self, run: Run, folder: Path | None, compiled: bool) -> None:
        self.run, self.folder, self.compiling = run, folder, compiled
        self.last_report = 0.0

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *error: object) -> None:
        if self.folder:
            (self.folder / DOING).unlink(missing_ok=True)

    def steps(self, batches: tuple[Tensor, ...], epoch: int) -> Iterator[Tensor]:
        """The batches of an epoch; in the first one of a compiled run it compiles."""
        hidden = None if self.folder else True  # None: on a terminal only
        total = self.run.recipe.epochs
        with tqdm(batches, desc=f"{self.run.variant} {epoch}/{total}", unit="step", disable=hidden, leave=False) as bar:
            for number, positions in enumerate(bar):
                if self.compiling or time.monotonic() - self.last_report > WATCH_SECONDS:
                    bar.set_postfix_str("compiling" if self.compiling else "")
                    self._tell("compiling" if self.compiling else f"epoch {epoch}/{total}, {number / len(batches):.0%}")
                yield positions
                if self.compiling:
                    self.compiling, self.last_report = False, 0.0

    def _tell(self, what: str) -> None:
        self.last_report = time.monotonic()
        if self.folder:
            tell_doing(self.folder, what)


def to_device(data: ImageData, device: torch.device) -> ImageData:
    """Return the images with pixels and labels on the device."""
    pixels, labels = ({split: part[split].to(device) for split in SPLITS} for part in (data.pixels, data.labels))
    return dataclasses.replace(data, pixels=pixels, labels=labels)


def open_state(run: Run, data: ImageData, folder: Path, retrain: bool = False) -> State:
    """Return the saved state of a run, or the state of a new one.

    Args:
        retrain: set aside a run with other settings or images, and start again.
    """
    try:
        state = State.load(folder)
        fits = state is None or (state.run == run and state.data_digest == data.digest)
    except TrainingError:
        if not retrain:
            raise
        fits = False
    if retrain and not fits:
        set_aside(folder)
        state = None
    if state is None:
        if is_writer():
            (folder / "run.json").write_text(json.dumps(run.to_dict(), indent=1))
            source = own_source(run.norm)
            if source is not None:
                (folder / COPY).write_text(source, encoding="utf-8", newline="")
            if data.files:
                shutil.copyfile(data.files, folder / FILES)
        return State(run, data.digest, 0, {}, {}, [], [])
    if not fits:
        raise TrainingError(
            f"{folder} holds a run with other settings ({_difference(state.run.to_dict(), run.to_dict()) or 'other images'}). "
            "Use the same settings, another --runs folder, or --retrain to set it aside and train again."
        )
    return state


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    old, new = {**old, **old["recipe"]}, {**new, **new["recipe"]}
    changed = [key for key in new if key != "recipe" and old.get(key) != new[key]]
    return ", ".join(f"{key} {old.get(key)!r}, now {new[key]!r}" for key in changed)


def _train_epoch(step: TrainStep, run: Run, data: ImageData, epoch: int, watch: Watch) -> list[dict[str, Any]]:
    """Train for one epoch, then validate; return one history row per split.

    Training metrics are those of the batches during training; `package` measures the final ones.
    """
    pixels, labels = data.pixels["train"], data.labels["train"]
    count, batch_size = len(labels), run.recipe.batch_size
    # Drawn on the CPU, so that every device trains on the same.
    order = epoch_order(count, run.seed, epoch).to(labels.device)
    augment = Augmentation(run.recipe, count, run.seed, epoch).to(labels.device)
    rates = learning_rates(run.recipe, -(-count // batch_size))
    first_step = (epoch - 1) * -(-count // batch_size)
    # Read once, at the end of the epoch: until then nothing waits for the device.
    wide = torch.float32 if labels.device.type == "mps" else torch.float64  # which Apple's GPUs lack
    total_loss, predicted = torch.zeros((), dtype=wide, device=labels.device), torch.zeros_like(labels)
    start = time.perf_counter()
    step.model.train()
    for number, positions in enumerate(watch.steps(order.split(batch_size), epoch), start=first_step):
        own = step.share(positions)
        try:
            loss, classes = step(augment(pixels[own], own), labels[own], rates[number])
        except ValueError as error:  # a norm that would have a single value for its statistics
            raise TrainingError(
                f"{run.variant} cannot be trained on {len(positions)} images of {data.image_size} px in a batch ({error}) "
                "Use a larger --image-size, or a --batch-size that leaves no batch of one image."
            ) from error
        total_loss += loss.to(wide) * len(own)
        predicted[own] = classes
    total_loss, predicted = step.combine(total_loss, predicted)
    mean_loss = total_loss.item() / count
    _check_finite(mean_loss, "training", run, epoch)
    trained = metrics.summary(mean_loss, predicted.cpu(), labels.cpu())
    middle = time.perf_counter()
    # At the precision that is stored, so that the last epoch has exactly the figures of the stored logits.
    logits = compute_logits(step.model, data.pixels["val"], step.mean, step.std).half()
    validated = metrics.from_logits(logits, data.labels["val"].cpu())
    # The last step may have broken the weights after its own loss was measured.
    _check_finite(validated["loss"], "validation", run, epoch)
    common, ends = {"seed": run.seed, "epoch": epoch, "lr": rates[first_step]}, (start, middle, time.perf_counter())
    return [
        {**common, "split": split, **figures, "seconds": ends[place + 1] - ends[place]}
        for place, (split, figures) in enumerate(zip(SPLITS, (trained, validated), strict=True))
    ]


def _check_finite(loss: float, split: str, run: Run, epoch: int) -> None:
    if not math.isfinite(loss):
        kept = f"The state after epoch {epoch - 1} is kept." if epoch > 1 else "Nothing is saved yet."
        raise DivergedError(
            f"The {split} loss of {run.variant} became {loss} in epoch {epoch}. {kept} Use a lower --lr, or --clip-norm 1."
        )


def epoch_line(run: Run, rows: list[dict[str, Any]], seconds: float, epochs_left: int, epochs_done: int) -> str:
    """One line about an epoch, with the remaining time."""
    train_row, val_row = rows
    left = seconds / epochs_done * epochs_left
    return (
        f"{run.variant} seed {run.seed} epoch {train_row['epoch']}/{run.recipe.epochs}  train loss {train_row['loss']:.4f} "
        f"accuracy {train_row['accuracy']:.4f}  val loss {val_row['loss']:.4f} accuracy {val_row['accuracy']:.4f} macro F1 "
        f"{val_row['macro_f1']:.4f}  {train_row['seconds'] + val_row['seconds']:.1f} s, {left / 60:.0f} min left"
    )


@contextlib.contextmanager
def first_interrupt_waits(signals: tuple[int, ...] = (signal.SIGINT,)) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C is recorded, the second interrupts; other signals are only recorded.

    Yields a function: was there one?
    """
    came: list[int] = []

    def remember(number: int, frame: object) -> None:
        if not came:
            print("Finishing and saving this epoch. Press Ctrl-C again to stop at once.", file=sys.stderr)
        came.append(number)
        if came.count(signal.SIGINT) > 1:
            raise KeyboardInterrupt

    with handling(signals, remember):
        yield lambda: bool(came)


@contextlib.contextmanager
def handling(signals: tuple[int, ...], handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle signals in this way, except those that are ignored, as under nohup."""
    previous: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # not the main thread, which handles signals
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


#: Value of the option, the same as the package -> module.
LOGS = {"tensorboard": "torch.utils.tensorboard", "trackio": "trackio", "wandb": "wandb"}
#: Commands to view the logs.
LOOK = {
    "tensorboard": "tensorboard --logdir {runs}",
    "trackio": "trackio show",
    "wandb": "wandb sync {runs}/*/*/*/*/wandb/offline-run-*",
}

#: Receives the new rows of the history.
Log = Callable[[list[dict[str, Any]]], None]


@contextlib.contextmanager
def open_log(kind: str | None, run: Run, folder: Path) -> Iterator[Log]:
    """Also send the metrics of a run to one of `LOGS`, if given.

    Args:
        folder: of the run, for `tensorboard` and `wandb` files. W&B is offline unless $WANDB_MODE is online.
    """
    if kind is None:
        yield lambda rows: None
        return
    module = import_log(kind)
    if kind == "tensorboard":
        writer = module.SummaryWriter(str(folder / "tensorboard"))
        settings = {"norm": run.norm, "seed": run.seed, "precision": run.precision, **run.recipe.to_dict()}

        def add(rows: list[dict[str, Any]]) -> None:
            for name, value in _figures(rows).items():
                writer.add_scalar(name, value, rows[0]["epoch"])
            if rows[0]["epoch"] == run.recipe.epochs:
                final = {f"final/{name}": value for name, value in _figures(rows).items() if name != "lr"}
                writer.add_hparams(settings, final, run_name=".")

        try:
            yield add
        finally:
            writer.close()
    else:
        group = f"{run.recipe.name}/{run.variant}"
        about = {"project": f"normzoo-{run.data}", "name": f"{group}/seed-{run.seed}", "config": run.to_dict()}
        if kind == "wandb":
            os.environ.setdefault("WANDB_MODE", "offline")
            about |= {"group": group, "dir": str(folder)}
        module.init(**about, resume="allow")
        try:
            yield lambda rows: module.log(_figures(rows), step=rows[0]["epoch"])
        finally:
            module.finish()


def import_log(kind: str) -> ModuleType:
    try:
        return importlib.import_module(LOGS[kind])
    except ImportError as error:
        raise ConfigError(f"--log-to {kind} needs a package that is not installed: pip install {kind}") from error


def _figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {f"{row['split']}/{name}": row[name] for row in rows for name in METRICS} | {"lr": rows[0]["lr"]}
