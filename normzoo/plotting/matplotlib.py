"""Charts as matplotlib figures, for files and reports; one value among the maps of its batch, for slides."""

import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from normzoo.inference.value_trace import NormalizedValue, Position
from normzoo.plotting.plotly import LOG_TICKS
from normzoo.plotting.spec import Axis, Chart, Heatmap, Rule, Series, style_of

# `Figure` and never pyplot, whose global state is not safe in the threads of a server.
_MARKERS = dict(
    zip(
        ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagon"),
        ("o", "s", "D", "^", "v", "P", "X", "*", "p", "h"),
        strict=True,
    )
)
_DASHES = {"solid": "-", "dash": "--", "dashdot": "-.", "longdash": (0, (8, 3)), "dot": ":"}
_COLUMNS = 3
#: Redundant parts of matplotlib's SVG: defaults, no rotation, repeated styles of ticks.
_NEEDLESS = (
    "; stroke-linejoin: miter",
    r' transform="rotate\(-0 [^"]*\)"',
    ' style="stroke: #000000; stroke-width: 0.8"(?=/>\n</g>)',
)


def draw(chart: Chart | Heatmap) -> Figure:
    """Return a chart as a figure."""
    return _draw_heatmap(chart) if isinstance(chart, Heatmap) else _draw_chart(chart)


def to_bytes(figure: Figure, file_format: str) -> bytes:
    """Return a figure as a file: "png" or "svg"."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=150)
    return buffer.getvalue()


def to_svg(figure: Figure, description: str) -> str:
    """Return a figure as compact SVG: the same text for the same figure and version of matplotlib."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "normzoo", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Description": description})
    text = "\n".join(line.strip() for line in buffer.getvalue().splitlines()).replace("\nL ", "L")
    for needless in _NEEDLESS:
        text = re.sub(needless, "", text)
    return re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d)\d{2,}", r"\1", tag[0]), text) + "\n"


def _draw_chart(chart: Chart) -> Figure:
    columns = min(_COLUMNS, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    if chart.is_sideways:
        size = (8.0, 1.0 + 0.32 * max(3, len(chart.y.names)))
    else:
        size = (8.0, 5.0) if len(chart.panels) == 1 else (3.7 * columns, 3.0 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, chart.panels, strict=False):
        for rule in chart.rules:
            _rule(axes, rule, chart)
        for each in panel.series:
            _series(axes, each, chart)
        axes.set_title(panel.title, fontsize="medium", parse_math=False)
        axes.grid(alpha=0.3, axis="x" if chart.is_sideways else "both")
        _axis(axes, "x", chart.x)
        _axis(axes, "y", chart.y)
    for axes in grid.flat[len(chart.panels) :]:
        axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel(chart.x.title)
    for axes in grid[:, 0]:
        axes.set_ylabel(chart.y.title)
    handles = dict[str, Artist]()
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles and len(chart.panels) == 1:
        grid.flat[0].legend(list(handles.values()), list(handles), fontsize="small", ncols=2)
    elif handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=8, fontsize="small")
    return figure


def _axis(axes: Axes, which: str, axis: Axis) -> None:
    drawn = axes.xaxis if which == "x" else axes.yaxis
    if axis.is_log:
        axes.set(**{f"{which}scale": "log"})
    if axis.names:
        drawn.set_ticks(range(len(axis.names)), axis.names, parse_math=False)
        ends = (-0.5, len(axis.names) - 0.5)
        axes.set(**{f"{which}lim": ends if which == "x" else ends[::-1]})
    elif axis.is_log or axis.ticks:
        drawn.set_major_locator(FixedLocator(list(axis.ticks) or LOG_TICKS))
        drawn.set_major_formatter("{x:g}")
        drawn.set_minor_locator(NullLocator())
    if axis.limits:
        axes.set(**{f"{which}lim": axis.limits})


def _series(axes: Axes, each: Series, chart: Chart) -> None:
    if not len(each.x):
        return
    axes.plot(
        each.x,
        each.y,
        color=each.colour,
        linestyle=_DASHES[each.dash] if each.dash else "none",
        marker=_MARKERS[each.marker.removesuffix("-open")] if each.marker else "none",
        markerfacecolor="none" if each.marker and each.marker.endswith("-open") else each.colour,
        markevery=max(1, len(each.x) // 8) if each.dash else 1,
        markersize=5,
        alpha=0.35 if each.is_faint else 1.0,
        linewidth=0.8 if each.is_faint else 1.5,
        label=each.name if each.is_listed and not each.is_faint else f"_{each.name}",
    )
    if not each.low:
        return
    if each.is_band:
        axes.fill_between(each.x, each.low, each.high, color=each.colour, alpha=0.2, linewidth=0)
        return
    values = each.x if chart.is_sideways else each.y
    ends = np.abs(np.array([np.subtract(values, each.low), np.subtract(each.high, values)]))
    axes.errorbar(
        each.x,
        each.y,
        **{"xerr" if chart.is_sideways else "yerr": ends},
        fmt="none",
        ecolor=each.colour,
        elinewidth=1.2,
        capsize=2,
    )


def _rule(axes: Axes, rule: Rule, chart: Chart) -> None:
    style: dict[str, Any] = {"color": "0.5", "linestyle": "--", "linewidth": 1, "label": rule.label or None}
    if rule.axis == "diagonal":
        ends = chart.x.limits or (0.0, 100.0)
        axes.plot(ends, ends, **style)
    else:
        (axes.axvline if rule.axis == "x" else axes.axhline)(rule.value, **style)


def _draw_heatmap(chart: Heatmap) -> Figure:
    rows, columns = len(chart.rows), len(chart.columns)
    figure = Figure(figsize=(3.0 + 0.28 * columns, 1.6 + 0.28 * rows), layout="constrained")
    axes = figure.subplots()
    colours = ["#d55e00", "#ffffff", "#0072b2"] if chart.is_diverging else ["#ffffff", "#0072b2"]
    colour_map = LinearSegmentedColormap.from_list("normzoo", colours)
    image = axes.imshow(np.asarray(chart.values), cmap=colour_map, vmin=chart.limits[0], vmax=chart.limits[1], aspect="auto")
    axes.set_xticks(range(columns), chart.columns, rotation=90 if columns > 8 else 0, parse_math=False)
    axes.set_yticks(range(rows), chart.rows, parse_math=False)
    axes.set(xlabel=chart.column_title, ylabel=chart.row_title)
    _cell_texts(axes, chart.texts)
    if chart.value_title:
        figure.colorbar(image, label=chart.value_title)
    return figure


def _cell_texts(axes: Axes, texts: Sequence[Sequence[str]]) -> None:
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            axes.text(column, row, text, ha="center", va="center", fontsize=7, parse_math=False)


MARK = "#dd0000"
_LETTERS_PER_LINE = 112


def draw_value(
    maps: np.ndarray,
    channels: range,
    limits: tuple[float, float],
    position: Position,
    value: NormalizedValue,
    title: str,
    photos: Sequence[str],
    sentence: str,
) -> Figure:
    """Return the maps, with the values highlighted that share a mean with the marked one, above the arithmetic.

    Args:
        maps: input of a norm layer, (N, C, H, W).
        channels: positions of these channels in the layer.
        limits: values shown black and white.
        value: from `normalized_values`, for that position.
        photos: names, (N,).
    """
    count, shown = maps.shape[:2]
    figure = Figure(figsize=(12, 6.75))  # 16:9
    figure.suptitle(title, x=0.02, y=0.985, ha="left", va="top", fontsize=15, fontweight="bold", parse_math=False)
    grid = figure.add_gridspec(count, shown, left=0.13, right=0.98, top=0.885, bottom=0.27, wspace=0.06, hspace=0.06)
    for n in range(count):
        for place, c in enumerate(channels):
            axes = figure.add_subplot(grid[n, place])
            lit = sum(n in shared.photos and c in shared.channels for shared in value.sets)
            axes.imshow(
                maps[n, place], cmap="gray", vmin=limits[0], vmax=limits[1], alpha=1 if lit else 0.3, interpolation="nearest"
            )
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(color=style_of(value.norm).colour if lit else "none", linewidth=3 * lit)
            if n == 0:
                axes.set_title(f"{c + 1}", fontsize=9, pad=3)
            if place == 0:
                words = textwrap.shorten(photos[n], 18, placeholder="…")
                axes.set_ylabel(
                    f"{n + 1} {words}", rotation=0, ha="right", va="center", fontsize=9, labelpad=8, parse_math=False
                )
            if (n, c) == (position.photo, position.channel):
                mark = Rectangle((position.column - 0.5, position.row - 0.5), 1, 1, fill=False, edgecolor=MARK, linewidth=2)
                axes.add_patch(mark)
    wrapped = "\n".join(textwrap.fill(line, _LETTERS_PER_LINE) for line in sentence.splitlines())
    figure.text(0.02, 0.22, wrapped, va="top", fontsize=11, parse_math=False)
    size = 15 if len(value.arithmetic) < 90 else 10
    figure.text(0.02, 0.03, value.arithmetic, va="bottom", fontsize=size, fontweight="bold")
    return figure
