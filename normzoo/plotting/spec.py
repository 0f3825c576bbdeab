"""Chart specifications as data, and the style of each variant; `plotly` draws them on the page, `matplotlib` in files."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from normzoo.nn.own_norm import OWN_NORMS
from normzoo.nn.registry import NORM_LAYERS
from normzoo.variants import Variant

#: Okabe and Ito's colours, distinguishable for colour-blind people, with grey for black, for dark pages.
COLOURS = ("#7f7f7f", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
#: Names translated by each renderer.
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
#: For custom norms: other colours, from Paul Tol's muted scheme.
OTHER_COLOURS = ("#56b4e9", "#f0e442", "#aa4499", "#44aa99", "#999933")
OTHER_MARKERS = ("x", "star", "pentagon", "hexagon")


@dataclass(frozen=True)
class Style:
    """Style of a line; lines differ in marker or dash, not only in colour."""

    name: str  # "BN"
    colour: str  # "#rrggbb"
    marker: str  # one of MARKERS or OTHER_MARKERS
    dash: str  # solid for the zoo's norms as the recipe trains them, else dash, dashdot or longdash


#: In the key of a network of another model set, before the set's name.
ELSEWHERE = " @ "


def style_of(variant: str) -> Style:
    """Return the style of a variant, by its name alone, so that it is the same everywhere.

    A built-in norm has colour and marker by its position in `NORM_LAYERS`, a custom one by its name. A variant such as `bn-bs8`
    or `torch-bn` has the marker of its norm and a lighter or darker shade of its colour, dashed.
    """
    variant, _, title = variant.partition(ELSEWHERE)
    if title:
        style, dashes = style_of(variant), ("dash", "dashdot", "longdash")
        return Style(f"{style.name} · {title}", style.colour, style.marker, dashes[zlib.crc32(title.encode()) % len(dashes)])
    parsed = Variant.parse(variant)
    keys = [key for key in NORM_LAYERS if key not in OWN_NORMS]
    if parsed.norm in keys:
        place = keys.index(parsed.norm)
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    else:
        number = zlib.crc32(parsed.norm.encode())
        colour, marker = OTHER_COLOURS[number % len(OTHER_COLOURS)], OTHER_MARKERS[number // 7 % len(OTHER_MARKERS)]
    if parsed.is_reference:
        return Style(parsed.short_name, _mix(colour, "#ffffff", 0.2), marker, "longdash")
    if parsed.batch_size is None:
        return Style(parsed.short_name, colour, marker, "solid")
    if parsed.batch_size > 32:
        return Style(parsed.short_name, _mix(colour, "#000000", 0.3), marker, "dashdot")
    return Style(parsed.short_name, _mix(colour, "#ffffff", 0.35), marker, "dash")


def _mix(colour: str, other: str, share: float) -> str:
    """Blend two colours."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round((1 - share) * own + share * foreign) for own, foreign in pairs).hex()


@dataclass(frozen=True)
class Axis:
    """One axis.

    Args:
        title: what it shows, with its unit.
        names: of categories at 0, 1, …; on a vertical axis the first is at the top.
        ticks: the only labelled values.
        is_log: logarithmic.
        limits: ends of the axis; None: from the data.
    """

    title: str = ""
    names: tuple[str, ...] = ()
    ticks: tuple[float, ...] = ()
    is_log: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Series:
    """Points of one variant, joined or not.

    Args:
        low, high: interval of each point, along the vertical axis, or the horizontal one if the chart `is_sideways`.
        is_band: draw the interval as a band, not as a bar at each point.
        dash: "solid", "dash", "dashdot", "longdash" or "dot"; None: no line.
        marker: a name of `MARKERS`; None: no markers.
        is_listed: show it in the legend.
        is_faint: draw it faintly.
        group: series of one group are shown and hidden together.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    marker: str | None = None
    dash: str | None = "solid"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    is_band: bool = False
    is_listed: bool = True
    is_faint: bool = False
    group: str = ""


def series(variant: str, x: Sequence[float], y: Sequence[float], **changes: Any) -> Series:
    """Return a series in the style of a variant; `changes` replace fields of `Series`."""
    style = style_of(variant)
    usual = {"name": style.name, "colour": style.colour, "marker": style.marker, "dash": style.dash, "group": variant}
    return Series(**{**usual, "x": list(x), "y": list(y), **changes})


@dataclass(frozen=True)
class Panel:
    """One of the panels of a chart, which share their axes."""

    series: tuple[Series, ...]
    title: str = ""


@dataclass(frozen=True)
class Rule:
    """A thin grey line across a panel at a value of one axis, or along the diagonal."""

    value: float = 0.0
    label: str = ""
    axis: str = "y"  # "x", "y" or "diagonal"


@dataclass(frozen=True)
class Chart:
    """Points and lines in one panel or several.

    Args:
        title: of the chart.
        is_sideways: intervals lie along the horizontal axis, as in a forest plot.
        digits: of numbers in the hover text.
    """

    title: str
    x: Axis
    y: Axis
    panels: tuple[Panel, ...]
    rules: tuple[Rule, ...] = ()
    is_sideways: bool = False
    digits: int = 2

    def frame(self) -> pd.DataFrame:
        """Return the points as rows: `panel`, `series`, `x`, `y`, `low`, `high`, with names for categories."""
        return pd.DataFrame(self._rows(), columns=["panel", "series", "x", "y", "low", "high"])

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for panel in self.panels:
            for each in panel.series:
                for place, (x, y) in enumerate(zip(each.x, each.y, strict=True)):
                    ends = (each.low[place], each.high[place]) if each.low else (None, None)
                    yield panel.title, each.name, _named(x, self.x), _named(y, self.y), *ends


def _named(value: float, axis: Axis) -> float | str:
    return axis.names[int(value)] if axis.names and float(value).is_integer() else value


@dataclass(frozen=True)
class Heatmap:
    """A table of numbers as colours.

    Args:
        values: (rows, columns).
        rows, columns: their names; the first row is at the top.
        row_title, column_title, value_title: the last one, with its unit, labels the colour bar.
        limits: numbers of the first and last colour.
        is_diverging: 0 is neutral, and the two sides have different colours.
        texts: text of each cell, if any.
        hover: hover text of each cell; default: from the rest.
    """

    title: str
    values: Sequence[Sequence[float]]
    rows: Sequence[str]
    columns: Sequence[str]
    row_title: str = ""
    column_title: str = ""
    value_title: str = ""
    limits: tuple[float, float] = (0.0, 100.0)
    is_diverging: bool = False
    texts: Sequence[Sequence[str]] = field(default_factory=list)
    hover: Sequence[Sequence[str]] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """Return the numbers as a table, under the names of the columns."""
        return pd.DataFrame(self.values, columns=list(self.columns), index=pd.Index(self.rows, name=self.row_title or "row"))
