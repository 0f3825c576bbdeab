"""Interactive charts as plain dictionaries that plotly.js draws.

Why plotly.js: people can hover and compare all networks at one epoch, hide a line by its legend, and it has log axes;
Gradio's own LinePlot has neither log axes nor a legend to click. It needs no package and no network: Gradio ships it (4.6 MB,
1.4 MB on the wire) and loads it when the first chart is opened, not with the page. Its Python package would add 0.3 s to the
start only to build these dictionaries.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from normzoo.analysis.results import SPLITS, Metric, over_seeds
from normzoo.analysis.smoothing import smoothed
from normzoo.formatting import capital
from normzoo.plotting.style import Style, style_of

Figure = dict[str, Any]

#: Of plotly.js: nothing to press beside a chart.
CONFIG = {"displayModeBar": False, "displaylogo": False}

#: Numbers on a logarithmic axis; those outside its range are not drawn. Left alone, plotly.js writes 2 for 20.
LOG_TICKS = [digit * 10.0**power for power in range(-4, 4) for digit in (1, 1.5, 2, 3, 5, 7)]

# Readable on white and on black; the page's style sheet replaces it by the text colour of the theme.
_GREY = "#7f7f7f"


def curves(
    history: pd.DataFrame,
    metric: Metric,
    splits: Sequence[str],
    chance: float | None = None,
    smoothing: float = 0.0,
    log_axes: Collection[str] = (),
) -> Figure:
    """One metric against the epochs: a line per variant and split, the mean over its seeds, with a band of ± one sd.

    Args:
        history: as `results.history` gives it.
        splits: of `SPLITS`; training is dotted where validation is there as well.
        chance: a horizontal line, where guessing would be.
        smoothing: as `smoothing.smoothed` takes it; the line that was measured stays, faint, behind the smooth one.
        log_axes: "x" and "y", those that are logarithmic.
    """
    smooth = over_seeds(smoothed(history, metric.key, smoothing), metric.key)
    raw = over_seeds(history, metric.key)
    # A logarithmic axis has no place for a band that reaches to zero.
    floor = metric.on_screen(raw["mean"][raw["mean"] > 0].min()) / 2 if "y" in log_axes and not raw.empty else None
    faint, data = [], []
    for variant, rows in smooth.groupby("variant", sort=False):
        for split in splits:
            alone = len(splits) == 1
            data += _lines(str(variant), split, rows[rows["split"] == split], metric, alone, floor)
            if smoothing:
                faint += _faint(str(variant), raw[(raw["variant"] == variant) & (raw["split"] == split)], metric)
    layout = base_layout("Epoch", f"{capital(metric.title)} ({metric.unit})")
    for axis in log_axes:
        layout[f"{axis}axis"] |= {"type": "log", "tickvals": LOG_TICKS, "ticktext": [f"{tick:g}" for tick in LOG_TICKS]}
    if chance is not None:
        layout |= _horizontal_line(metric.on_screen(chance), f"guessing: {metric.text(chance)}", is_log="y" in log_axes)
    return {"data": faint + data, "layout": layout, "config": CONFIG}


def _lines(
    variant: str, split: str, rows: pd.DataFrame, metric: Metric, alone: bool, floor: float | None
) -> list[dict[str, Any]]:
    if rows.empty:
        return []
    style = style_of(variant)
    epochs = rows["epoch"].tolist()
    means = [round(metric.on_screen(mean), 6) for mean in rows["mean"]]
    name = style.name if alone else f"{style.name} {SPLITS[split].lower()}"
    n = int(rows["n"].max())
    digits = 2 if metric.is_fraction else 4
    dash = "dot" if split == "train" and not alone else style.dash
    line = {
        "type": "scatter",
        "x": epochs,
        "y": means,
        "name": name if n == 1 else f"{name} (n={n})",
        "legendgroup": variant,
        "mode": "lines+markers",
        "line": {"color": style.colour, "dash": dash, "width": 2},
        "marker": {"symbol": style.marker, "size": 7, "maxdisplayed": 9},
        "hovertemplate": f"{name} %{{y:.{digits}f}}<extra></extra>",
    }
    return [line] if n == 1 else [_band(style, epochs, rows, metric, variant, floor), line]


def _faint(variant: str, rows: pd.DataFrame, metric: Metric) -> list[dict[str, Any]]:
    """Return the measured line, faint, behind its smooth one."""
    line = {
        "type": "scatter",
        "x": rows["epoch"].tolist(),
        "y": [round(metric.on_screen(mean), 6) for mean in rows["mean"]],
        "line": {"color": style_of(variant).colour, "width": 1},
        "mode": "lines",
        "opacity": 0.35,
        "hoverinfo": "skip",
        "legendgroup": variant,
        "showlegend": False,
    }
    return [] if rows.empty else [line]


def _band(
    style: Style, epochs: list[int], rows: pd.DataFrame, metric: Metric, variant: str, floor: float | None
) -> dict[str, Any]:
    spread = rows["sd"].fillna(0)
    upper = [metric.on_screen(value) for value in rows["mean"] + spread]
    lower = [metric.on_screen(value) for value in rows["mean"] - spread]
    if floor is not None:
        lower = [max(value, floor) for value in lower]
    return {
        "type": "scatter",
        "x": epochs + epochs[::-1],
        "y": [round(value, 6) for value in upper + lower[::-1]],
        "fill": "toself",
        "fillcolor": f"{style.colour}33",
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "legendgroup": variant,
        "showlegend": False,
    }


def base_layout(x_title: str, y_title: str) -> dict[str, Any]:
    """Return the layout that all charts of the page share: size, letters, grid, hover; see-through, so that the theme shows."""
    axis = {"gridcolor": "rgba(127,127,127,0.25)", "zeroline": False, "automargin": True}
    return {
        "autosize": True,
        "height": 460,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 13, "family": "IBM Plex Sans, system-ui, sans-serif"},
        "hovermode": "x unified",
        "hoverdistance": -1,  # the nearest point, however far: some charts have six
        "hoverlabel": {"bgcolor": "rgba(24,24,27,0.94)", "bordercolor": _GREY, "font": {"color": "#ffffff"}},
        "dragmode": False,  # a finger on the chart scrolls the page
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        "xaxis": {**axis, "title": {"text": x_title}, "unifiedhovertitle": {"text": f"{x_title} %{{x}}"}},
        "yaxis": {**axis, "title": {"text": y_title}},
    }


def _horizontal_line(height: float, text: str, is_log: bool) -> dict[str, Any]:
    ends = {"xref": "paper", "x0": 0, "x1": 1, "y0": height, "y1": height}
    line = {"type": "line", **ends, "line": {"color": _GREY, "dash": "dash"}}
    place = math.log10(height) if is_log else height  # plotly.js takes a note's place, but not a line's, as the exponent
    note = {"xref": "paper", "x": 1, "y": place, "text": text, "showarrow": False, "xanchor": "right", "yanchor": "bottom"}
    return {"shapes": [line], "annotations": [note]}
