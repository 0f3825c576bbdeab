"""Learning curves: how fast each norm learns."""

import numpy as np

from normzoo.analysis import results
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
    first = {level: val[val["mean"] >= level].groupby("variant", sort=False)["epoch"].min() for level in levels}
    common = [level for level in levels if len(first[level]) == len(ends)]
    phrases = ""
    if common:
        epochs = first[common[-1]].sort_values(kind="stable")
        each = listed([f"{short_name(str(variant))} {epoch}" for variant, epoch in epochs.items()])
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
