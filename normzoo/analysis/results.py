"""The stored results of a model set as tables: how it was learned, how well it ended."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from normzoo.analysis.statistics import Runs
from normzoo.errors import CheckpointError
from normzoo.pretrained.checkpoint import HISTORY_COLUMNS, Checkpoint
from normzoo.pretrained.registry import ModelSet

Read = TypeVar("Read")

#: split -> its name on the screen, in the order of every table
SPLITS = {"val": "Validation", "train": "Training"}


@dataclass(frozen=True)
class Metric:
    """A figure that is measured after every epoch and at the end."""

    key: str
    title: str
    is_fraction: bool
    higher_is_better: bool

    @property
    def unit(self) -> str:
        return "%" if self.is_fraction else "nats"

    def on_screen(self, value: float) -> float:
        """The number that is shown for a stored one: per cent for a fraction."""
        return 100 * value if self.is_fraction else value

    def text(self, value: float | None) -> str:
        """The stored number as it is shown, without its unit: "51.28" or "1.6474"; a dash where there is none."""
        if value is None or not math.isfinite(value):
            return "–"
        return f"{100 * value:.2f}" if self.is_fraction else f"{value:.4f}"

    def with_sd(self, mean: float, sd: float | None) -> str:
        """A mean over runs with its standard deviation, as it is shown: "79.1 ± 0.6"; the mean alone of one run."""
        scale, digits = (100, 1) if self.is_fraction else (1, 3)
        told = f"{scale * mean:.{digits}f}"
        return told if sd is None or math.isnan(sd) else f"{told} ± {scale * sd:.{digits}f}"


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
    """A table, and for the variants that it had to leave out the reason."""

    frame: pd.DataFrame
    problems: dict[str, str]


def chance_loss(num_classes: int) -> float:
    """The cross entropy of guessing: every class as probable as any other."""
    return math.log(num_classes)


def read_each(
    model_set: ModelSet, variants: Iterable[str], read: Callable[[Checkpoint], Read]
) -> tuple[dict[str, Read], dict[str, str]]:
    """Read from the checkpoint of each variant that the set has; return the results, and for those that cannot be read the
    reason.
    """
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
                problems[variant] = "metrics.json does not hold the figures it should. Package the run again."
    return found, problems


def measured_rows(
    model_set: ModelSet, variants: Iterable[str], table: str, read: Callable[[Path], list[dict[str, str]]]
) -> list[dict[str, str]]:
    """Return the rows for these variants of a set in a table of its data set; none where these weights were not measured.

    A row says in `covers` which weights it is of. Where an older table does not, it is taken for a single variant's alone.

    Args:
        table: the name of the file.
        read: gives the rows of a file.
    """
    wanted, checkpoint = set(variants), next(iter(model_set.checkpoints.values()), None)
    rows = read(checkpoint.folder.parents[1] / table) if checkpoint else []
    own = [row for row in rows if row["recipe"] == model_set.recipe and row["variant"] in wanted]
    covered = {variant: model_set.covers(variant) for variant in {row["variant"] for row in own}}
    return [
        row
        for row in own
        if row.get("covers") == covered[row["variant"]] or (not row.get("covers") and row["variant"] in model_set.checkpoints)
    ]


def history(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Return what was measured while the networks learned.

    Returns:
        one row per variant, seed, epoch and split: `variant` and the columns of `HISTORY_COLUMNS`.
    """
    found, problems = read_each(model_set, variants, Checkpoint.history)
    rows = [{"variant": variant, **row} for variant, history in found.items() for row in history]
    return Table(pd.DataFrame(rows, columns=["variant", *HISTORY_COLUMNS]), problems)


def over_seeds(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric of a history, averaged over the seeds.

    Returns:
        one row per variant, split and epoch, in the order of the history: `mean`, `sd` (of the sample; NaN for one seed), `n`.
    """
    grouped = frame.groupby(["variant", "split", "epoch"], sort=False)[metric]
    return grouped.agg(mean="mean", sd="std", n="count").reset_index()


def final_metrics(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Return what the networks reached after the last epoch, measured anew in evaluation mode, without augmentation.

    Returns:
        one row per variant: for each split and metric the mean over the seeds, such as `val_accuracy`, and its standard
        deviation, `val_accuracy_sd` (None for one seed); `parameters`, `macs`, `n` and `seeds`.
    """
    found, problems = read_each(model_set, variants, lambda checkpoint: _final_row(checkpoint.metrics))
    rows = [{"variant": variant, **row} for variant, row in found.items()]
    return Table(pd.DataFrame(rows), problems)


def val_accuracy(model_set: ModelSet, variant: str) -> tuple[float, int] | None:
    """A variant's mean validation accuracy and over how many seeds, where it is known."""
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
    """For every variant and seed which validation images it gets right, (N,); and for what cannot be read the reason."""
    return read_each(model_set, variants, _correct)


def _correct(checkpoint: Checkpoint) -> Runs:
    logits, labels = checkpoint.val_logits()
    return {seed: (each.argmax(1) == labels).numpy() for seed, each in logits.items()}
