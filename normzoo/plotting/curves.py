"""Curves of a metric over the epochs."""

from collections.abc import Collection, Sequence

import pandas as pd

from normzoo.analysis.results import SPLITS, Metric, over_seeds, smoothed
from normzoo.formatting import capital
from normzoo.plotting.spec import Axis, Chart, Panel, Rule, Series, series
from normzoo.plotting.style import style_of


def curve_chart(
    history: pd.DataFrame,
    metric: Metric,
    splits: Sequence[str],
    chance: float | None = None,
    smoothing: float = 0.0,
    log_axes: Collection[str] = (),
) -> Chart:
    """Return one metric against the epochs: a line per variant and split, the mean over its runs, with a band of ± one sd.

    Args:
        history: as `results.history` gives it.
        splits: of `SPLITS`; training is dotted where validation is there as well.
        chance: a horizontal line at chance level.
        smoothing: as `smoothing.smoothed` takes it; the line that was measured stays, faint, behind the smooth one.
        log_axes: "x" and "y", those that are logarithmic.
    """
    smooth = over_seeds(smoothed(history, metric.key, smoothing), metric.key)
    raw = over_seeds(history, metric.key)
    # A logarithmic axis has no place for a band that reaches to zero.
    floor = metric.on_screen(raw["mean"][raw["mean"] > 0].min()) / 2 if "y" in log_axes and not raw.empty else None
    faint, lines = list[Series](), list[Series]()
    for variant, rows in smooth.groupby("variant", sort=False):
        for split in splits:
            lines += _line(str(variant), split, rows[rows["split"] == split], metric, len(splits) == 1, floor)
            if smoothing:
                measured = raw[(raw["variant"] == variant) & (raw["split"] == split)]
                values = measured["epoch"].tolist(), [metric.on_screen(mean) for mean in measured["mean"]]
                faint.append(series(str(variant), *values, dash="solid", marker=None, is_listed=False, is_faint=True))
    title = f"{capital(metric.title)} ({metric.unit})"
    return Chart(
        f"{title} over the epochs",
        Axis("Epoch", is_log="x" in log_axes),
        Axis(title, is_log="y" in log_axes),
        (Panel((*faint, *lines)),),
        () if chance is None else (Rule(metric.on_screen(chance), f"chance: {metric.text(chance)}"),),
        digits=2 if metric.is_fraction else 4,
    )


def _line(variant: str, split: str, rows: pd.DataFrame, metric: Metric, alone: bool, floor: float | None) -> list[Series]:
    if rows.empty:
        return []
    style, n = style_of(variant), int(rows["n"].max())
    name = style.name if alone else f"{style.name} {SPLITS[split].lower()}"
    found = {"name": name if n == 1 else f"{name} (n={n})", "dash": "dot" if split == "train" and not alone else style.dash}
    means = [metric.on_screen(mean) for mean in rows["mean"]]
    if n == 1:
        return [series(variant, rows["epoch"].tolist(), means, **found)]
    sd = rows["sd"].fillna(0)
    low, high = ([metric.on_screen(value) for value in each] for each in (rows["mean"] - sd, rows["mean"] + sd))
    low = low if floor is None else [max(value, floor) for value in low]
    return [series(variant, rows["epoch"].tolist(), means, **found, low=low, high=high, is_band=True)]
