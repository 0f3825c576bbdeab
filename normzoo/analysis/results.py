"""Stored results of a model set as tables: histories, final figures, confusion matrices, batch sizes."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normzoo.analysis.statistics import Runs
from normzoo.errors import CheckpointError, ConfigError
from normzoo.pretrained.checkpoint import HISTORY_COLUMNS, Checkpoint
from normzoo.pretrained.registry import ModelSet

Read = TypeVar("Read")
Shares = NDArray[np.float64]

#: split -> displayed name, in the order of every table
SPLITS = {"val": "Validation", "train": "Training"}


@dataclass(frozen=True)
class Metric:
    """A metric of every epoch and of the final network."""

    key: str
    title: str
    is_fraction: bool
    higher_is_better: bool

    @property
    def unit(self) -> str:
        return "%" if self.is_fraction else "nats"

    def on_screen(self, value: float) -> float:
        """The displayed number: per cent for a fraction."""
        return 100 * value if self.is_fraction else value

    def text(self, value: float | None) -> str:
        """The displayed number without unit: "51.28" or "1.6474"; a dash if missing."""
        if value is None or not math.isfinite(value):
            return "–"
        return f"{100 * value:.2f}" if self.is_fraction else f"{value:.4f}"

    def with_sd(self, mean: float, sd: float | None) -> str:
        """A mean over runs with its standard deviation: "79.1 ± 0.6"; the mean alone for one run."""
        scale, digits = (100, 1) if self.is_fraction else (1, 3)
        text = f"{scale * mean:.{digits}f}"
        return text if sd is None or math.isnan(sd) else f"{text} ± {scale * sd:.{digits}f}"


METRICS = {
    metric.key: metric
    for metric in (
        Metric("loss", "loss", is_fraction=False, higher_is_better=False),
        Metric("accuracy", "accuracy", is_fraction=True, higher_is_better=True),
        Metric("macro_f1", "macro F1", is_fraction=True, higher_is_better=True),
        Metric("micro_f1", "micro F1", is_fraction=True, higher_is_better=True),
    )
}


@dataclass(frozen=True)
class Table:
    """A table, and the reason for each variant that could not be read."""

    frame: pd.DataFrame
    problems: dict[str, str]


def chance_loss(num_classes: int) -> float:
    """Cross entropy of uniform predictions."""
    return math.log(num_classes)


def read_each(
    model_set: ModelSet, variants: Iterable[str], read: Callable[[Checkpoint], Read]
) -> tuple[dict[str, Read], dict[str, str]]:
    """Return the results of each variant of the set, and the reason for each that cannot be read."""
    found, problems = dict[str, Read](), dict[str, str]()
    for variant in variants:
        if variant in model_set.problems:
            problems[variant] = model_set.problems[variant]
        elif variant in model_set.checkpoints:
            try:
                found[variant] = read(model_set.checkpoints[variant])
            except CheckpointError as error:
                problems[variant] = str(error)
            except (LookupError, TypeError, ValueError):
                problems[variant] = "metrics.json has invalid figures. Package the run again."
    return found, problems


def measured_rows(model_set: ModelSet, variants: Iterable[str], table: str) -> list[dict[str, Any]]:
    """Return the rows of these variants in one of `TABLES` of the data set, if they were measured with these weights."""
    wanted, checkpoint = set(variants), next(iter(model_set.checkpoints.values()), None)
    rows = checkpoint.measured(table) if checkpoint else []
    own = [row for row in rows if row["recipe"] == model_set.recipe and row["variant"] in wanted]
    covered = {variant: model_set.covers(variant) for variant in {row["variant"] for row in own}}
    return [row for row in own if row["covers"] == covered[row["variant"]]]


def history(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Return the history of training.

    Returns:
        one row per variant, seed, epoch and split: `variant` and the columns of `HISTORY_COLUMNS`.
    """
    found, problems = read_each(model_set, variants, Checkpoint.history)
    rows = [{"variant": variant, **row} for variant, history in found.items() for row in history]
    return Table(pd.DataFrame(rows, columns=["variant", *HISTORY_COLUMNS]), problems)


def over_seeds(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Average one metric of a history over the seeds.

    Returns:
        one row per variant, split and epoch, in the order of the history: `mean`, `sd` (of the sample; NaN for one seed), `n`.
    """
    grouped = frame.groupby(["variant", "split", "epoch"], sort=False)[metric]
    return grouped.agg(mean="mean", sd="std", n="count").reset_index()


def final_metrics(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Return the metrics after the last epoch, in evaluation mode, without augmentation.

    Returns:
        one row per variant: for each split and metric the mean over the seeds, such as `val_accuracy`, and its standard
        deviation, `val_accuracy_sd` (None for one seed); `parameters`, `macs`, `n` and `seeds`.
    """
    found, problems = read_each(model_set, variants, lambda checkpoint: _final_row(checkpoint.metrics))
    rows = [{"variant": variant, **row} for variant, row in found.items()]
    return Table(pd.DataFrame(rows), problems)


def val_accuracy(model_set: ModelSet, variant: str) -> tuple[float, int] | None:
    """Return a variant's mean validation accuracy and number of seeds, if known."""
    found, _ = read_each(model_set, [variant], lambda checkpoint: _final_row(checkpoint.metrics))
    return (found[variant]["val_accuracy"], found[variant]["n"]) if found else None


def _final_row(metrics: dict[str, Any]) -> dict[str, Any]:
    seeds = list(metrics["seeds"])
    row: dict[str, Any] = {"n": len(seeds), "seeds": ", ".join(map(str, seeds))}
    row |= {"parameters": int(metrics["parameters"]), "macs": int(metrics["macs"])}
    for split in SPLITS:
        for key in METRICS:
            figure = metrics["final"][split][key]
            row[f"{split}_{key}"] = float(figure["mean"])
            row[f"{split}_{key}_sd"] = None if figure["sd"] is None else float(figure["sd"])
    return row


def correct_images(model_set: ModelSet, variants: Iterable[str]) -> tuple[dict[str, Runs], dict[str, str]]:
    """Return which validation images each variant and seed gets right, (N,), and the reason for each unreadable one."""

    def correct(checkpoint: Checkpoint) -> Runs:
        logits, labels = checkpoint.val_logits()
        return {seed: (each.argmax(1) == labels).numpy() for seed, each in logits.items()}

    return read_each(model_set, variants, correct)


def smoothed(history: pd.DataFrame, metric: str, weight: float) -> pd.DataFrame:
    """Return the history with one metric smoothed along the epochs, for each run.

    s_t = (1 - w) * sum over i of w^i x_(t-i), divided by 1 - w^t: a bias-corrected moving average.

    Args:
        history: from `history`, each run in order of epochs.
        weight: w; 0: no smoothing.
    """
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1:
        raise ConfigError("Smoothing must be at least 0 (none) and less than 1.")
    if weight == 0 or history.empty:
        return history
    runs = history.groupby(["variant", "seed", "split"], sort=False)[metric]
    return history.assign(**{metric: runs.transform(lambda run: run.ewm(alpha=1 - weight, adjust=True).mean())})


@dataclass(frozen=True)
class Confusion:
    """Confusion matrices; the metrics are means over the seeds, as fractions, (classes,)."""

    by_seed: NDArray[np.int64]  # (seeds, true class, predicted class)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Predictions of all seeds, (true class, predicted class)."""
        total: NDArray[np.int64] = self.by_seed.sum(0)
        return total

    @property
    def support(self) -> NDArray[np.int64]:
        """Number of validation images per class, (classes,)."""
        support: NDArray[np.int64] = self.by_seed[0].sum(1)
        return support

    @property
    def shares(self) -> Shares:
        """Share of each true class (row) predicted as each class (column)."""
        return _divide(self.counts, self.counts.sum(1, keepdims=True))

    @property
    def recall(self) -> Shares:
        return _divide(self._right, self.by_seed.sum(2)).mean(0)

    @property
    def precision(self) -> Shares:
        """Precision of each class; 0 if never predicted."""
        return _divide(self._right, self.by_seed.sum(1)).mean(0)

    @property
    def f1(self) -> Shares:
        """F1 of each class, by seed; 0 if precision and recall are 0."""
        return _divide(2 * self._right, self.by_seed.sum(1) + self.by_seed.sum(2)).mean(0)

    @property
    def _right(self) -> NDArray[np.int64]:
        return self.by_seed.diagonal(axis1=1, axis2=2)


def confusions(model_set: ModelSet, variants: Iterable[str]) -> tuple[dict[str, Confusion], dict[str, str]]:
    """Return the confusion of each variant on the validation images, and the reason for each unreadable one."""
    return read_each(model_set, variants, _count)


def _count(checkpoint: Checkpoint) -> Confusion:
    logits, labels = checkpoint.val_logits()
    size = len(checkpoint.config.classes)
    places = (labels.numpy() * size + each.argmax(1).numpy() for each in logits.values())
    matrices = [np.bincount(place, minlength=size * size).reshape(size, size) for place in places]
    return Confusion(np.stack(matrices).astype(np.int64))


def _divide(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> Shares:
    """parts / wholes; 0 if the whole is 0."""
    return np.divide(parts, wholes, out=np.zeros(np.broadcast_shapes(parts.shape, wholes.shape)), where=wholes != 0)


def steps_of(metrics: dict[str, Any]) -> int | None:
    """Return the number of steps of a run, if known."""
    provenance = metrics["provenance"]
    recipe, data = provenance.get("recipe"), provenance.get("data")
    if not isinstance(recipe, dict) or not isinstance(data, dict) or not {"epochs", "batch_size"} <= recipe.keys():
        return None
    return math.ceil(data["num_train"] / recipe["batch_size"]) * int(recipe["epochs"]) if "num_train" in data else None
