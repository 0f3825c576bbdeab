"""Robustness: accuracy of the packaged weights on corrupted validation images, with running or batch statistics."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from normzoo.analysis.results import Table, measured_rows, read_each
from normzoo.pretrained.checkpoint import BATCH_STATISTICS_TABLE, CONTRAST_TABLE, ROBUSTNESS_COLUMNS, TABLES, Checkpoint
from normzoo.pretrained.registry import ModelSet

#: change of the images at the lowest contrast -> heading of its column.
CHANGES = {
    "none": "Clean",
    "stored": "Towards grey",
    "unrounded": "Towards grey, unrounded",
    "about the padding": "Towards the padding",
    "about the padding, bias scaled": "Towards the padding, last bias scaled too",
    "none, replicated border": "Clean, replicated border",
    "unrounded, replicated border": "Towards grey, unrounded, replicated border",
}


def robustness(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Return the accuracy of the packaged weights on corrupted validation images.

    Returns:
        one row per variant, corruption and severity: `variant`, the columns of `ROBUSTNESS_COLUMNS`, `clean` (accuracy of the
        same run on clean images) and `relative` (accuracy as a share of it).
    """
    found, problems = read_each(model_set, variants, _corrupted)
    rows = [{"variant": variant, **row} for variant, rows in found.items() for row in rows]
    return Table(pd.DataFrame(rows, columns=["variant", *ROBUSTNESS_COLUMNS, "clean", "relative"]), problems)


def _corrupted(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    values = dict(zip(checkpoint.metrics["seeds"], checkpoint.metrics["final"]["val"]["accuracy"]["values"], strict=True))
    rows = []
    for row in checkpoint.robustness():
        clean = float(values[row["seed"]])
        rows.append({**row, "clean": clean, "relative": row["accuracy"] / clean if clean else 0})
    return rows


def summarize(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per variant, in fractions: `clean`, `mean` over all corruptions and severities, `relative` (mean / clean),
    and a column for the mean of each corruption.

    Args:
        frame: from `robustness`.
    """
    kinds = frame.pivot_table(index="variant", columns="corruption", values="accuracy", sort=False)
    clean = frame.groupby("variant", sort=False)["clean"].first()
    mean = kinds.mean(axis=1)
    summary = pd.DataFrame({"clean": clean, "mean": mean, "relative": (mean / clean).where(clean > 0, 0.0)})
    return summary.join(kinds).reset_index()


def by_severity(frame: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy against severity (0: clean), as the mean over all corruptions.

    Args:
        frame: from `robustness`.

    Returns:
        one row per variant and severity: `variant`, `severity`, `accuracy`.
    """
    means = frame.groupby(["variant", "severity"], sort=False, as_index=False)["accuracy"].mean()
    clean = frame.groupby("variant", sort=False, as_index=False)["clean"].first().rename(columns={"clean": "accuracy"})
    return pd.concat([clean.assign(severity=0)[["variant", "severity", "accuracy"]], means], ignore_index=True)


def read_contrast(model_set: ModelSet, variants: Iterable[str]) -> dict[tuple[str, str], float]:
    """Return (variant, change) -> accuracy, for the changes in `CHANGES`; empty if not measured."""
    rows = measured_rows(model_set, variants, CONTRAST_TABLE)
    return {(row["variant"], row["change"]): row["accuracy"] for row in rows}


#: Share of images whose prediction changes in other random batches.
CHANGED = "changed"
RANDOM, BY_CLASS = "random", "by class"
#: In the column of the images: every image under every corruption and severity, mixed; severity 0.
CLEAN, MIXED = "clean", "mixed"
BATCHES = ("8", "32", "200", "all")
#: Batch size shown in charts and headlines.
SHOWN_BATCH = "200"
#: Weight of the running statistics in a blend, in images; 0: batch statistics alone.
SOURCE_WEIGHTS = (0, 16)
#: Batch sizes of blends.
BLEND_BATCH = "32"


def read_batch_statistics(model_set: ModelSet, variants: Iterable[str]) -> pd.DataFrame:
    """Return the measurements of these variants of a set; empty if not measured."""
    rows = measured_rows(model_set, variants, BATCH_STATISTICS_TABLE)
    return pd.DataFrame(rows, columns=list(TABLES[BATCH_STATISTICS_TABLE]))


def mean_accuracy_with(
    frame: pd.DataFrame, variant: str, images: str, batch: str = SHOWN_BATCH, order: str = RANDOM, source_weight: int = 0
) -> float:
    """Return the mean accuracy of a variant in one case; "corrupted": over all corruptions and severities, unmixed.

    Args:
        frame: from `read_batch_statistics`.

    Returns:
        NaN if not measured.
    """
    kinds = ~frame["images"].isin([CLEAN, MIXED]) if images == "corrupted" else frame["images"] == images
    chosen = (frame["variant"] == variant) & (frame["batch"] == batch) & (frame["order"] == order)
    return float(frame[chosen & kinds & (frame["source_weight"] == source_weight)]["accuracy"].mean())


def by_severity_with_batches(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the same with statistics of batches of `SHOWN_BATCH`.

    Args:
        frame: from `read_batch_statistics`.

    Returns:
        one row per variant and severity: `variant`, `severity`, `accuracy`.
    """
    shown = frame[(frame["batch"] == SHOWN_BATCH) & (frame["order"] == RANDOM) & (frame["source_weight"] == 0)]
    return shown[shown["images"] != MIXED].groupby(["variant", "severity"], sort=False, as_index=False)["accuracy"].mean()
