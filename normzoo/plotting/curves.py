"""Charts of results: curves over epochs, confusion matrices and their difference, F1 per class."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from normzoo.analysis.results import SPLITS, Metric, over_seeds, smoothed
from normzoo.formatting import capital, minus
from normzoo.plotting.spec import Axis, Chart, Heatmap, Panel, Rule, Series, series, style_of


def curve_chart(
    history: pd.DataFrame,
    metric: Metric,
    splits: Sequence[str],
    chance: float | None = None,
    smoothing: float = 0.0,
    log_axes: Collection[str] = (),
) -> Chart:
    """Return one metric against epochs: a line per variant and split, the mean over runs ± one sd.

    Args:
        history: from `results.history`.
        splits: of `SPLITS`; training is dotted if validation is shown as well.
        chance: a horizontal line at chance level.
        smoothing: weight of `results.smoothed`; the measured line is shown faintly behind.
        log_axes: logarithmic axes, "x" and "y".
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


def confusion_matrix(counts: np.ndarray, classes: Sequence[str], name: str) -> Heatmap:
    """Return a confusion matrix: rows are true classes, columns predicted ones; the colour is the share of the row.

    Args:
        counts: (true class, predicted class).
        name: of the network.
    """
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals != 0)
    hover = [
        [
            f"{true} predicted as {predicted}\n{name}: {counts[i, j]} of {totals[i, 0]} ({shares[i, j]:.1f}%)"
            for j, predicted in enumerate(classes)
        ]
        for i, true in enumerate(classes)
    ]
    texts = [[str(count) if count else "" for count in row] for row in counts]
    return _of_classes(f"Confusion matrix, {name}", shares, classes, texts, hover)


def confusion_difference(first: np.ndarray, second: np.ndarray, classes: Sequence[str], names: tuple[str, str]) -> Heatmap:
    """Return the difference of two confusion matrices in points: blue where the first predicts the class more often, else red.

    Args:
        first, second: shares of the true class, (true class, predicted class).
        names: of the networks.
    """
    difference = 100 * (first - second)
    end = round(float(np.abs(difference).max(initial=0.0)), 3) or 1.0
    hover = [
        [
            f"{true} predicted as {predicted}\n{names[0]} {100 * first[i, j]:.1f}%, {names[1]} {100 * second[i, j]:.1f}%: "
            + minus(f"{difference[i, j]:+.1f} points")
            for j, predicted in enumerate(classes)
        ]
        for i, true in enumerate(classes)
    ]
    texts = [["" if abs(value) < 0.5 else minus(f"{value:+.0f}") for value in row] for row in difference]
    title = f"Confusion matrix, {names[0]} minus {names[1]}"
    return _of_classes(title, difference, classes, texts, hover, limits=(-end, end), is_diverging=True)


def class_f1(f1: Mapping[str, Sequence[float]], classes: Sequence[str]) -> Heatmap:
    """Return F1 of every class (row) and variant (column), in per cent.

    Args:
        f1: variant -> fractions in the order of the classes.
    """
    values = [[100 * float(each[row]) for each in f1.values()] for row in range(len(classes))]
    names = [style_of(variant).name for variant in f1]
    return Heatmap(
        "F1 of every class",
        values,
        classes,
        names,
        value_title="F1 (%)",
        texts=[[f"{value:.0f}" for value in row] for row in values],
        hover=[
            [f"{label}, {name}: F1 {value:.1f}%" for name, value in zip(names, row, strict=True)]
            for label, row in zip(classes, values, strict=True)
        ],
    )


def _of_classes(
    title: str,
    values: np.ndarray,
    classes: Sequence[str],
    texts: list[list[str]],
    hover: list[list[str]],
    limits: tuple[float, float] = (0.0, 100.0),
    is_diverging: bool = False,
) -> Heatmap:
    rows: Sequence[Sequence[float]] = values.tolist()
    names = {"row_title": "True class", "column_title": "Predicted class", "value_title": "share (%)"}
    return Heatmap(title, rows, classes, classes, **names, limits=limits, is_diverging=is_diverging, texts=texts, hover=hover)
