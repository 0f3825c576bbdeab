"""Robustness: accuracy of the packaged weights on corrupted validation images."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from normzoo.analysis.results import Table, measured_rows, read_each
from normzoo.pretrained.checkpoint import CONTRAST_TABLE, ROBUSTNESS_COLUMNS, Checkpoint
from normzoo.pretrained.registry import ModelSet
from normzoo.pretrained.serialization import read_table

CONTRAST_COLUMNS = ("recipe", "variant", "factor", "change", "accuracy")
#: change -> the heading of its column; what is done to the images of the strongest severity of less contrast.
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
    """Return the accuracy of the packaged weights under corruption of the validation images.

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
        frame: as `robustness` gives it.
    """
    kinds = frame.pivot_table(index="variant", columns="corruption", values="accuracy", sort=False)
    clean = frame.groupby("variant", sort=False)["clean"].first()
    mean = kinds.mean(axis=1)
    summary = pd.DataFrame({"clean": clean, "mean": mean, "relative": (mean / clean).where(clean > 0, 0.0)})
    return summary.join(kinds).reset_index()


def by_severity(frame: pd.DataFrame, corruption: str | None = None) -> pd.DataFrame:
    """Return accuracy against severity, 0 being the clean images, of one corruption or the mean over all.

    Args:
        frame: as `robustness` gives it.

    Returns:
        one row per variant and severity: `variant`, `severity`, `accuracy`.
    """
    shown = frame if corruption is None else frame[frame["corruption"] == corruption]
    means = shown.groupby(["variant", "severity"], sort=False, as_index=False)["accuracy"].mean()
    clean = shown.groupby("variant", sort=False, as_index=False)["clean"].first().rename(columns={"clean": "accuracy"})
    return pd.concat([clean.assign(severity=0)[["variant", "severity", "accuracy"]], means], ignore_index=True)


def read_contrast(model_set: ModelSet, variants: Iterable[str]) -> dict[tuple[str, str], float]:
    """Return (variant, change) -> accuracy, of the changes in `CHANGES`; empty where it was not measured."""
    rows = measured_rows(model_set, variants, CONTRAST_TABLE, read_contrast_table)
    return {(row["variant"], row["change"]): float(row["accuracy"]) for row in rows}


def read_contrast_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no table."""
    return read_table(path, lambda row: float(row["accuracy"]))
