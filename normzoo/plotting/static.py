"""Matplotlib figures from stored records, for files and reports; the page has plotly.js draw its own."""

from collections.abc import Collection, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from normzoo.analysis.results import METRICS, SPLITS, Metric, over_seeds, smoothed
from normzoo.plotting.curves import LOG_TICKS, curve_chart
from normzoo.plotting.matplotlib import draw, to_bytes
from normzoo.plotting.style import style_of

__all__ = ["curves", "panels", "to_bytes"]

# `Figure` and never pyplot, whose global state is not safe in the threads of a server.
_MARKERS = dict(
    zip(
        ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagon"),
        ("o", "s", "D", "^", "v", "P", "X", "*", "p", "h"),
        strict=True,
    )
)
_DASHES = {"solid": "-", "dash": "--", "dashdot": "-.", "longdash": (0, (8, 3)), "dot": ":"}


def curves(
    history: pd.DataFrame,
    metric: Metric,
    splits: Sequence[str],
    chance: float | None = None,
    smoothing: float = 0.0,
    log_axes: Collection[str] = (),
) -> Figure:
    """One metric against the epochs: the figure of `curves.curves`, for print."""
    return draw(curve_chart(history, metric, splits, chance, smoothing, log_axes))


def panels(
    history: pd.DataFrame,
    chance: float | None = None,
    smoothing: float = 0.0,
    log_axes: Collection[str] = (),
    splits: Sequence[str] = tuple(SPLITS),
) -> Figure:
    """Every metric in a panel of its own, training and validation in each; the arguments are those of `curves`."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    for axes, (key, metric) in zip(figure.subplots(2, 2).flat, METRICS.items(), strict=True):
        _draw(axes, history, metric, splits, chance if key == "loss" else None, smoothing, log_axes)
    return figure


def _draw(
    axes: Axes,
    history: pd.DataFrame,
    metric: Metric,
    splits: Sequence[str],
    chance: float | None,
    smoothing: float,
    log_axes: Collection[str],
) -> None:
    raw = over_seeds(history, metric.key)
    for variant, rows in over_seeds(smoothed(history, metric.key, smoothing), metric.key).groupby("variant", sort=False):
        for split in splits:
            if smoothing:
                faint = raw[(raw["variant"] == variant) & (raw["split"] == split)]
                means = metric.on_screen(1) * faint["mean"]
                axes.plot(
                    faint["epoch"], means, color=style_of(str(variant)).colour, alpha=0.35, linewidth=0.8, label="_measured"
                )
            _line(axes, str(variant), split, rows[rows["split"] == split], metric, alone=len(splits) == 1)
    if chance is not None:
        label = f"guessing: {metric.text(chance)}"
        axes.axhline(metric.on_screen(chance), color="0.5", linestyle="--", linewidth=1, label=label)
    axes.set(xlabel="epoch", ylabel=f"{metric.title} ({metric.unit})")
    axes.set(**{f"{axis}scale": "log" for axis in log_axes})
    for axis in (getattr(axes, f"{name}axis") for name in log_axes):
        axis.set_major_locator(FixedLocator(LOG_TICKS))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", ncols=2)


def _line(axes: Axes, variant: str, split: str, rows: pd.DataFrame, metric: Metric, alone: bool) -> None:
    if rows.empty:
        return
    style = style_of(variant)
    n = int(rows["n"].max())
    means, spread = metric.on_screen(1) * rows["mean"], metric.on_screen(1) * rows["sd"].fillna(0)
    axes.plot(
        rows["epoch"],
        means,
        color=style.colour,
        linestyle=_DASHES["dot" if split == "train" and not alone else style.dash],
        marker=_MARKERS[style.marker],
        markevery=max(1, len(rows) // 8),
        markersize=5,
        label=(style.name if alone else f"{style.name} {SPLITS[split].lower()}") + (f" (n={n})" if n > 1 else ""),
    )
    if n > 1:
        axes.fill_between(rows["epoch"], means - spread, means + spread, color=style.colour, alpha=0.2, linewidth=0)
