"""Heat maps of final results: confusion matrices, their difference, F1 of every class."""

from collections.abc import Mapping, Sequence

import numpy as np

from normzoo.formatting import minus
from normzoo.plotting.spec import Heatmap
from normzoo.plotting.style import style_of


def confusion_matrix(counts: np.ndarray, classes: Sequence[str], name: str) -> Heatmap:
    """Return a confusion matrix: rows are the true class, columns the predicted one; the colour is the share of the row.

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
    """Return the difference of two confusion matrices in points: blue where the first predicts so more often, else red.

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
    """Return F1 of every class (row) and variant (column), in per cent, with the numbers in the cells.

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
