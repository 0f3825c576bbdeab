"""Charts of final results, as dictionaries that plotly.js draws; why plotly.js says `curves`."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from normzoo.plotting.curves import CONFIG, Figure, base_layout
from normzoo.plotting.style import style_of

_ROW_PIXELS = 22
_LONGEST_LABEL = 24  # letters
_COLOUR_BAR = {"thickness": 12, "len": 200, "lenmode": "pixels", "yanchor": "top", "y": 1, "outlinewidth": 0}
# Okabe and Ito's blue and vermilion, see-through where there is nothing, so that the theme shows. Never so opaque that
# the numbers on them cannot be read.
_BLUE, _RED = "0,114,178", "213,94,0"
_FROM_NOTHING = [[0, f"rgba({_BLUE},0)"], [0.1, f"rgba({_BLUE},0.2)"], [0.3, f"rgba({_BLUE},0.4)"], [1, f"rgba({_BLUE},0.7)"]]
_EVEN = [[0, f"rgba({_BLUE},0)"], [1, f"rgba({_BLUE},0.75)"]]
_BOTH_WAYS = [[0, f"rgba({_RED},1)"], [0.5, f"rgba({_RED},0)"], [0.5, f"rgba({_BLUE},0)"], [1, f"rgba({_BLUE},1)"]]


def confusion_heat(counts: np.ndarray, classes: Sequence[str], name: str) -> Figure:
    """A confusion matrix: rows are what a photo shows, columns what the network says; the colour is the share of the row.

    Args:
        counts: (true class, predicted class).
        name: of the network.
    """
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals != 0)
    told = [[[int(count), int(total)] for count in row] for row, total in zip(counts, totals[:, 0], strict=True)]
    hover = f"%{{y}} predicted as %{{x}}<br>{name}: %{{customdata[0]}} of %{{customdata[1]}} (%{{z:.1f}} %)<extra></extra>"
    return _class_heat(shares, classes, {"colorscale": _FROM_NOTHING, "zmin": 0, "zmax": 100}, told, hover)


def difference_heat(first: np.ndarray, second: np.ndarray, classes: Sequence[str], names: tuple[str, str]) -> Figure:
    """Two confusion matrices' difference in points: blue where the first network says so more often, red where the second.

    Args:
        first, second: shares of the true class, (true class, predicted class).
        names: of the networks.
    """
    difference = 100 * (first - second)
    end = round(float(np.abs(difference).max()), 3) or 1.0
    told = [
        [[round(float(a), 4), round(float(b), 4)] for a, b in zip(*rows, strict=True)]
        for rows in zip(first, second, strict=True)
    ]
    hover = (
        "%{y} predicted as %{x}<br>"
        f"{names[0]} %{{customdata[0]:.1%}}, {names[1]} %{{customdata[1]:.1%}}: %{{z:+.1f}} points<extra></extra>"
    )
    return _class_heat(difference, classes, {"colorscale": _BOTH_WAYS, "zmin": -end, "zmax": end}, told, hover)


def f1_heat(f1: Mapping[str, Sequence[float]], classes: Sequence[str]) -> Figure:
    """F1 of every class (row) and variant (column), in per cent, with the numbers in the cells.

    Args:
        f1: variant -> fractions in the order of the classes.
    """
    heat = {
        "type": "heatmap",
        "x": [escape(style_of(variant).name, quote=False) for variant in f1],
        "y": [escape(name, quote=False) for name in classes],
        "z": [[round(100 * float(values[row]), 2) for values in f1.values()] for row in range(len(classes))],
        "colorscale": _EVEN,
        "zmin": 0,
        "zmax": 100,
        "colorbar": {**_COLOUR_BAR, "title": {"text": "F1 (%)"}},
        "xgap": 2,
        "ygap": 2,
        "texttemplate": "%{z:.0f}",
        "hovertemplate": "%{y}, %{x}: F1 %{z:.1f} %<extra></extra>",
    }
    layout = base_layout("", "")
    left, side = _label_pixels(classes), 60
    layout |= {
        "autosize": False,
        "width": left + side * len(f1) + 110,
        "height": _ROW_PIXELS * len(classes) + 100,
        "margin": {"l": left, "r": 8, "t": 40, "b": 8},
        "hovermode": "closest",
    }
    layout["xaxis"] |= {"side": "top", "type": "category", "showgrid": False, "automargin": False}
    layout["yaxis"] |= {**_class_axis(classes), "autorange": "reversed", "showgrid": False}
    return {"data": [heat] if f1 else [], "layout": layout, "config": CONFIG}


def _class_heat(values: np.ndarray, classes: Sequence[str], colours: dict[str, Any], told: list[Any], hover: str) -> Figure:
    """A square of classes against classes: cells of the same size whatever their number, with numbers while these fit.

    plotly.js reads tags in labels: they are escaped, and long ones cut; the whole name stands where one points.
    """
    count = len(classes)
    cell = 110 if count < 4 else 30 if count <= 40 else 14
    names = [escape(name, quote=False) for name in classes]
    heat = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": np.round(values, 3).tolist(),
        "customdata": told,
        "colorbar": {**_COLOUR_BAR, "title": {"text": "share (%)"}},
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": hover,
        **colours,
    }
    if cell > 14:
        heat |= {"text": [[_cell_text(one) for one in row] for row in told], "texttemplate": "%{text}"}
        heat |= {"textfont": {"size": 11 if count > 4 else 14}}
    layout = base_layout("Predicted class", "True class")
    labels = _label_pixels(classes)
    layout |= {
        "autosize": False,
        "width": labels + 30 + cell * count + 110,
        "height": labels + 38 + max(cell * count, 200),
        "margin": {"l": labels + 30, "r": 8, "t": 8, "b": labels + 30},
        "hovermode": "closest",
    }
    for axis, angle in (("xaxis", -90), ("yaxis", 0)):
        layout[axis] |= {**_class_axis(classes), "tickangle": angle}
        layout[axis]["title"] |= {"standoff": 4}
    layout["yaxis"]["autorange"] = "reversed"
    return {"data": [heat], "layout": layout, "config": CONFIG}


def _class_axis(classes: Sequence[str]) -> dict[str, Any]:
    cut = [name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…" for name in classes]
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(classes))),
        "ticktext": [escape(name, quote=False) for name in cut],
    }
    size = 12 if len(classes) <= 40 else 10
    return {"type": "category", **ticks, "automargin": False, "tickfont": {"size": size}}


def _label_pixels(classes: Sequence[str]) -> int:
    """Room for the longest label."""
    return 20 + 7 * min(max(map(len, classes), default=0), _LONGEST_LABEL)


def _cell_text(counted: Sequence[float]) -> str:
    """A count, or of two networks the difference in points; nothing where there is nothing."""
    first, second = counted
    text = f"{first}" if isinstance(first, int) else f"{100 * (first - second):+.0f}".replace("-", "−")
    return "" if text in ("0", "+0", "−0") else text
