"""Learning curves: how fast each norm learns."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.statistics import epochs_to
from normzoo.findings.finding import Evidence, Finding, training_commands, where
from normzoo.formatting import listed, percent
from normzoo.plotting.curves import curve_chart
from normzoo.variants import short_name


def learning_curves_finding(evidence: Evidence) -> Finding | None:
    """Return the epochs that the shown set's norms take to reach an accuracy."""
    history = results.history(evidence.shown, evidence.shown.main_variants).frame
    if history.empty:
        return None
    means = results.over_seeds(history, "accuracy")
    val = means[means["split"] == "val"]
    ends = val.groupby("variant", sort=False)["mean"].max()
    levels = [level for level in (round(float(each), 1) for each in np.arange(0.2, 1.0, 0.1)) if level <= ends.max()]
    reached = epochs_to_levels(val, levels)
    common = [level for level in levels if reached[level].notna().all()]
    phrases = ""
    if common:
        epochs = reached.set_index("variant")[common[-1]].sort_values(kind="stable")
        each = listed([f"{short_name(str(variant))} {int(epoch)}" for variant, epoch in epochs.items()])
        phrases = (
            f"Epochs until {percent(common[-1], 0)}% validation accuracy: {each} ({where(evidence.shown)}, means over runs)."
        )
    return Finding(
        key="learning-curves",
        title="Learning curves",
        headline=phrases or f"No level of accuracy is reached by all networks ({where(evidence.shown)}).",
        chart=curve_chart(history, results.METRICS["accuracy"], ("val",)),
        method=[
            "Mean over the runs, ± one standard deviation. Training figures are collected during the epoch, on augmented "
            "images if the recipe augments, so they lag behind its end."
        ],
        commands=training_commands(evidence.shown.main_variants, evidence.shown),
    )


def epochs_to_levels(val: pd.DataFrame, levels: Iterable[float]) -> pd.DataFrame:
    """Return the epochs that each variant took to reach accuracies (fractions).

    Args:
        val: validation rows of `results.over_seeds`.

    Returns:
        one row per variant: `variant`, and a column for each level; NaN if not reached.
    """
    rows = []
    for variant, rows_of in val.groupby("variant", sort=False):
        curve = rows_of.sort_values("epoch")["mean"].tolist()
        row: dict[str | float, object] = {"variant": variant}
        for level in levels:
            epoch = epochs_to(curve, level)
            row[level] = np.nan if epoch is None else epoch
        rows.append(row)
    return pd.DataFrame(rows)
