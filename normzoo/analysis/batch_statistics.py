"""Batch statistics at test time: accuracy with the statistics of the images that go through together."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from normzoo.analysis.results import measured_rows
from normzoo.pretrained.checkpoint import BATCH_STATISTICS_TABLE
from normzoo.pretrained.registry import ModelSet
from normzoo.pretrained.serialization import read_table

#: Share of the images whose prediction changes in batches of other images, drawn at random.
CHANGED = "changed"
BATCH_STATISTICS_COLUMNS = (
    *("recipe", "variant", "seed", "images", "severity", "order", "batch", "source_weight", "accuracy", CHANGED),
)
RANDOM, BY_CLASS = "random", "by class"
#: In the column of the images: every image under every corruption and severity, all mixed. Its severity is 0.
CLEAN, MIXED = "clean", "mixed"
BATCHES = ("8", "32", "200", "all")
#: The batch whose accuracy stands beside that with running statistics in charts and sentences.
SHOWN_BATCH = "200"
#: Weight of the running statistics in a blend, in images; 0: batch statistics alone.
SOURCE_WEIGHTS = (0, 16)
#: The batches that blends are measured in.
BLEND_BATCH = "32"


def read_batch_statistics(model_set: ModelSet, variants: Iterable[str]) -> pd.DataFrame:
    """Return what was measured of these variants of a set: the columns of the table; no rows where it was not."""
    rows = measured_rows(model_set, variants, BATCH_STATISTICS_TABLE, read_batch_statistics_table)
    frame = pd.DataFrame(rows, columns=list(BATCH_STATISTICS_COLUMNS))
    whole = {"severity": int, "source_weight": int, "accuracy": float}
    return frame.assign(**{name: frame[name].astype(kind) for name, kind in whole.items()})


def read_batch_statistics_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no table."""

    def check(row: Mapping[str, str]) -> None:
        int(row["severity"]), int(row["source_weight"]), float(row["accuracy"]), float(row[CHANGED] or 0)
        [row[name] for name in BATCH_STATISTICS_COLUMNS]

    return read_table(path, check)


def mean_accuracy_with(
    frame: pd.DataFrame, variant: str, images: str, batch: str = SHOWN_BATCH, order: str = RANDOM, source_weight: int = 0
) -> float:
    """Return the mean accuracy of a variant in one case; of all corruptions and severities, each unmixed, for "corrupted".

    Args:
        frame: as `read_batch_statistics` gives it.

    Returns:
        not a number where it was not measured.
    """
    kinds = ~frame["images"].isin([CLEAN, MIXED]) if images == "corrupted" else frame["images"] == images
    chosen = (frame["variant"] == variant) & (frame["batch"] == batch) & (frame["order"] == order)
    return float(frame[chosen & kinds & (frame["source_weight"] == source_weight)]["accuracy"].mean())


def by_severity(frame: pd.DataFrame, corruption: str | None = None) -> pd.DataFrame:
    """Return accuracy against severity, 0 being clean images, with the statistics of batches of `SHOWN_BATCH`.

    Args:
        frame: as `read_batch_statistics` gives it.
        corruption: one of them, or None for the mean over all.

    Returns:
        one row per variant and severity: `variant`, `severity`, `accuracy`.
    """
    shown = frame[(frame["batch"] == SHOWN_BATCH) & (frame["order"] == RANDOM) & (frame["source_weight"] == 0)]
    kinds = shown["images"] != MIXED if corruption is None else shown["images"].isin([CLEAN, corruption])
    return shown[kinds].groupby(["variant", "severity"], sort=False, as_index=False)["accuracy"].mean()
