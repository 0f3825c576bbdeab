"""Matplotlib figures from stored records, for files and reports; the page has plotly.js draw its own."""

import io
import re
from collections.abc import Collection, Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from normzoo.analysis.results import METRICS, SPLITS, Metric, over_seeds
from normzoo.analysis.smoothing import smoothed
from normzoo.plotting.curves import LOG_TICKS
from normzoo.plotting.style import style_of

# `Figure` and never pyplot, whose global state is not safe in the threads of a server.
_MARKERS = dict(
    zip(
        ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagon"),
        ("o", "s", "D", "^", "v", "P", "X", "*", "p", "h"),
        strict=True,
    )
)
#: What matplotlib writes into an SVG that is so without it: defaults, no rotation, the tick's own style at each of its uses.
_NEEDLESS = (
    "; stroke-linejoin: miter",
    r' transform="rotate\(-0 [^"]*\)"',
    ' style="stroke: #000000; stroke-width: 0.8"(?=/>\n</g>)',
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
    figure = Figure(figsize=(8, 5), layout="constrained")
    _draw(figure.subplots(), history, metric, splits, chance, smoothing, log_axes)
    return figure


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


def accuracies(rows: pd.DataFrame) -> Figure:
    """Validation accuracy of every variant: each seed, their mean and its 95% interval; rows of `comparisons.accuracies`."""
    figure = Figure(figsize=(8, 0.8 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [style_of(str(variant)).name for variant in rows["variant"]]
    for height, row in enumerate(rows.to_dict("records")):
        style = style_of(row["variant"])
        axes.plot([100 * row["low"], 100 * row["high"]], [height, height], color=style.colour, linewidth=2)
        axes.plot(100 * row["mean"], height, color=style.colour, marker=_MARKERS[style.marker], markersize=8)
        if row["n"] > 1:
            values = [100 * value for value in row["values"]]
            axes.plot(values, [height] * row["n"], color="0.2", marker="|", markersize=9, linestyle="none")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("validation accuracy (%)")
    axes.grid(axis="x", alpha=0.3)
    return figure


def reliability(rows: pd.DataFrame) -> Figure:
    """Return accuracy against confidence, a panel for each variant; rows: `variant`, `confidence`, `accuracy` of each bin."""
    variants = list(dict.fromkeys(rows["variant"]))
    columns = min(3, len(variants))
    figure = Figure(figsize=(3 * columns, 3 * -(-len(variants) // columns)), layout="constrained")
    grid = figure.subplots(-(-len(variants) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for axes, variant in zip(grid.flat, variants, strict=False):
        of_variant, style = rows[rows["variant"] == variant], style_of(str(variant))
        axes.plot([0, 100], [0, 100], color="0.6", linewidth=1)
        axes.plot(
            100 * of_variant["confidence"], 100 * of_variant["accuracy"], color=style.colour, marker=_MARKERS[style.marker]
        )
        axes.set_title(style.name, fontsize="medium")
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("how sure (%)")
    for axes in grid[:, 0]:
        axes.set_ylabel("how often right (%)")
    return figure


def robustness(rows: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Accuracy against severity, a panel for each corruption (key -> title); rows of `comparisons.robustness`."""
    figure = Figure(figsize=(12, 3 * -(-len(titles) // 4)), layout="constrained")
    grid = figure.subplots(-(-len(titles) // 4), 4, sharex=True, sharey=True, squeeze=False)
    for axes, (key, title) in zip(grid.flat, titles.items(), strict=False):
        for variant, of_variant in rows[rows["corruption"] == key].groupby("variant", sort=False):
            style, ordered = style_of(str(variant)), of_variant.sort_values("severity")
            axes.plot(
                [0, *ordered["severity"]],
                [100 * ordered["clean"].iloc[0], *(100 * ordered["accuracy"])],
                color=style.colour,
                linestyle=_DASHES[style.dash],
                marker=_MARKERS[style.marker],
                markersize=5,
                label=style.name,
            )
        axes.set_title(title, fontsize="medium")
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("severity (0: clean)")
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize="small")
    return figure


def batch_losses(rows: pd.DataFrame, title: str, other: str) -> Figure:
    """Training loss against batch size under two conventions, ours (solid) and another study's (dashed).

    Args:
        rows: `variant` (of batch size 32), `batch_size`, `loss` (mean cross entropy, nats), `divided` (by the batch size) and
            the other study's two, `other_loss` and `other_divided` (None where it has none).
        title: whose losses the solid lines are.
        other: whose the dashed ones are.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    labels = {"loss": "mean cross entropy (nats)", "divided": "mean cross entropy / batch size"}
    for axes, (column, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        for variant, of_variant in rows.groupby("variant", sort=False):
            style, ordered = style_of(str(variant)), of_variant.sort_values("batch_size")
            for kind, dash, whose in ((column, "-", title), (f"other_{column}", "--", other)):
                known = ordered.dropna(subset=[kind])
                if not known.empty:
                    marker, name = _MARKERS[style.marker], f"{style.name}, {whose}"
                    axes.plot(known["batch_size"], known[kind], dash, color=style.colour, marker=marker, label=name)
        axes.set_xscale("log")
        axes.set_xticks(sorted(set(rows["batch_size"])), [str(size) for size in sorted(set(rows["batch_size"]))])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="batch size", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure


def to_bytes(figure: Figure, file_format: str) -> bytes:
    """A figure as a file: "png" or "svg"."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=150)
    return buffer.getvalue()


def to_svg(figure: Figure, description: str) -> str:
    """A figure as small SVG that says what it was drawn from: the same text for the same figure and matplotlib."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "normzoo", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Description": description})
    text = "\n".join(line.strip() for line in buffer.getvalue().splitlines()).replace("\nL ", "L")
    for needless in _NEEDLESS:
        text = re.sub(needless, "", text)
    return re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d)\d{2,}", r"\1", tag[0]), text) + "\n"


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
