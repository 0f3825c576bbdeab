"""Several runs at a time on one device, from one thread: each on a stream of its own, a piece of an epoch in turn."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from normzoo.errors import ConfigError, NormZooError, TrainingError
from normzoo.nn.resnet import ResNet
from training.data.dataset import HOLDOUT, ImageData, hold_out
from training.data.dataset import load as load_data
from training.engine.budget import Budget
from training.engine.replay import Mark, Replay, make_replay
from training.engine.static_step import ResidentData, StaticStep
from training.engine.trainer import (
    Interrupted,
    epoch_line,
    first_interrupt_waits,
    history_rows,
    open_state,
    training_figures,
    validation_figures,
)
from training.experiment.provenance import provenance
from training.experiment.runs import Run, lock
from training.launch.study import finished

#: Steps that a run gives the device in its turn. Two such pieces lie before the device at any time.
STEPS_PER_PIECE = 25
POLL_SECONDS = 2e-5
#: A run is saved at most this often, besides at its end.
SAVE_SECONDS = 15.0
#: A line about a run at most this often, besides at its end.
SAY_SECONDS = 10.0
#: Compiled steps of different networks that torch keeps, before it stops compiling.
KEEP_COMPILED = 256


@dataclass(frozen=True)
class Hardware:
    """What the runs are trained on, and how; none of it decides what a run is."""

    device: torch.device
    graph: bool = True  # replay each step as a CUDA graph; on a CPU nothing changes
    compiled: bool = False
    streams: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.streams <= 32:  # torch hands out 32 streams, then the first one again
            raise ConfigError(f"streams must be between 1 and 32, got {self.streams}.")


@dataclass
class _Lane:
    """A place for one run at a time, with the steps that were recorded on its stream."""

    replay: Replay
    steps: dict[Any, StaticStep] = field(default_factory=dict)


@dataclass
class _Going:
    """A run on its way: what it does next, and the mark that it waits for."""

    run: Run
    lane: _Lane
    work: Iterator[Mark]
    mark: Mark


class Together:
    """Trains a list of runs on one device; see `train_together`."""

    def __init__(self, root: Path, hardware: Hardware, budget: Budget, stop_after: int | None, say: Callable[[str], None]):
        self.root = root
        self.hardware = hardware
        self.budget = budget
        self.stop_after = stop_after
        self.say = say
        self.interrupted: Callable[[], bool] = lambda: False
        self.provenance = provenance()
        self.failed: dict[Run, NormZooError] = {}
        self._data: dict[tuple[str, int], tuple[ImageData, ResidentData]] = {}

    def train(self, waiting: deque[Run]) -> None:
        """Go round the runs until all are done, or the time is."""
        idle = [_Lane(make_replay(self.hardware.device, self.hardware.graph)) for _ in range(self.hardware.streams)]
        active: list[_Going] = []
        while waiting or active:
            while waiting and idle and self.budget.allows_run() and not self.interrupted():
                run, lane = waiting.popleft(), idle.pop(0)
                active.append(_Going(run, lane, self._epochs(run, lane), lambda: True))
            if not active:
                return
            moved = [self._advance(going, active, idle) for going in list(active)]
            if not any(moved):
                time.sleep(POLL_SECONDS)

    def _advance(self, going: _Going, active: list[_Going], idle: list[_Lane]) -> bool:
        """Give the device the next piece of a run, unless two lie before it already."""
        if not going.mark():
            return False
        try:
            going.mark = next(going.work)
        except (StopIteration, NormZooError) as end:
            active.remove(going)
            idle.append(going.lane)
            if isinstance(end, NormZooError):
                self.failed[going.run] = end
        return True

    def _epochs(self, run: Run, lane: _Lane) -> Iterator[Mark]:
        """All that is left of a run; gives a mark to wait for after every piece."""
        data, resident = self._images(run)
        folder = run.folder(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder):
            started = self.budget.now()
            state = open_state(run, data, folder)
            step = self._step(run, lane, resident)
            torch.manual_seed(run.seed)
            fresh = ResNet(run.recipe.depth, run.norm, len(data.classes)).state_dict()
            step.load(state.model or fresh, state.optimizer or None)
            self.budget.longest_start = max(self.budget.longest_start, self.budget.now() - started)
            how = {"compiled": self.hardware.compiled, "graph": self.hardware.graph, "streams": self.hardware.streams}
            session = {**self.provenance, **how, "first_epoch": state.epoch + 1, "seconds": 0.0}
            state.sessions.append(session)
            last = min(run.recipe.epochs, self.stop_after or run.recipe.epochs)
            start = said = saved = self.budget.now()
            unsaved = False
            try:
                for epoch in range(state.epoch + 1, last + 1):
                    if self.interrupted() or not self.budget.allows_epoch():
                        break
                    began = self.budget.now()
                    step.begin_epoch(run.seed, epoch)
                    yield from _pieces(step)
                    middle = self.budget.now()
                    yield step.mark()
                    end = self.budget.now()
                    figures = (
                        training_figures(run, epoch, *step.training_results(), len(data.classes)),
                        validation_figures(run, epoch, step.val_logits(), data),
                    )
                    rows = history_rows(run, epoch, step.epoch_lr(epoch), figures, (middle - began, end - middle))
                    state.history += rows
                    state.epoch = epoch
                    state.model, state.optimizer = step.model_state(), step.optimizer_state(epoch)
                    now = self.budget.now()
                    session["seconds"] = now - start
                    self.budget.longest_epoch = max(self.budget.longest_epoch, now - began)
                    unsaved = True
                    if now - saved > SAVE_SECONDS:
                        state.save(folder)
                        saved, unsaved = now, False
                    if now - said > SAY_SECONDS or epoch == last:
                        said = now
                        self.say(epoch_line(run, rows, now - start, last - epoch, epoch - session["first_epoch"] + 1))
            finally:
                if unsaved:
                    state.save(folder)

    def _images(self, run: Run) -> tuple[ImageData, ResidentData]:
        key = (run.data, run.recipe.image_size)
        if key not in self._data:
            name, _, share = run.data.partition(HOLDOUT)
            data = load_data(name, run.recipe.image_size)
            data = hold_out(data, float(share)) if share else data
            self._data[key] = data, ResidentData(data, self.hardware.device)
        return self._data[key]

    def _step(self, run: Run, lane: _Lane, data: ResidentData) -> StaticStep:
        """The recorded step for this kind of run: only its weights and what is drawn differ from one seed to the next."""
        kind = (run.data, run.recipe, run.norm, run.precision)
        if kind not in lane.steps:
            if self.hardware.compiled:
                torch._dynamo.config.recompile_limit = KEEP_COMPILED
            lane.steps[kind] = StaticStep(
                run.norm, run.recipe, data, lane.replay, precision=run.precision, compiled=self.hardware.compiled
            )
        return lane.steps[kind]


def _pieces(step: StaticStep) -> Iterator[Mark]:
    """An epoch's steps and the validation behind them; done with the steps when it ends."""
    before: Mark | None = None
    for first in range(0, step.steps_per_epoch, STEPS_PER_PIECE):
        step.train(first, min(first + STEPS_PER_PIECE, step.steps_per_epoch))
        mark = step.mark()
        if before:
            yield before
        before = mark
    step.validate()
    if before:
        yield before


def train_together(
    runs: list[Run],
    root: Path,
    hardware: Hardware,
    *,
    budget: Budget | None = None,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
) -> list[Run]:
    """Train all runs that are not finished, in their order, as many at a time as there are streams; call again to go on.

    Args:
        root: the folder of all raw runs.
        budget: when it is used up, every run ends its epoch and is saved; None: none.
        stop_after: end every run after this epoch.
        say: prints one line.

    Returns:
        the runs that are finished now.

    Raises:
        TrainingError: some runs failed; the others went on.
        Interrupted: Ctrl-C; every run has ended its epoch and is saved.
    """
    runs = list(dict.fromkeys(runs))
    waiting = deque(run for run in runs if not finished(run, root))
    say(f"{len(runs)} runs, {len(runs) - len(waiting)} finished before, {hardware.streams} at a time.")
    together = Together(root, hardware, budget or Budget(), stop_after, say)
    with first_interrupt_waits() as together.interrupted:
        together.train(waiting)
        if together.interrupted():
            raise Interrupted("Stopped after whole epochs. The same command goes on from here.")
    if together.failed:
        raise TrainingError("\n".join(f"{run.folder(root)}: {error}" for run, error in together.failed.items()))
    return [run for run in runs if finished(run, root)]
