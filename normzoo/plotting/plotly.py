"""Charts as dictionaries for plotly.js on the page.

plotly.js has hover over all networks, a clickable legend and log axes, which Gradio's LinePlot lacks. Gradio ships it (4.6 MB,
1.4 MB compressed) and loads it with the first chart. Its Python package would add 0.3 s to the start.
"""

import html
import math
from collections.abc import Sequence
from typing import Any

from normzoo.plotting.spec import Axis, Chart, Heatmap, Panel, Rule, Series

Figure = dict[str, Any]

#: Configuration of plotly.js, without buttons.
CONFIG = {"displayModeBar": False, "displaylogo": False}

#: Labels of a logarithmic axis; by default plotly.js writes 2 for 20.
LOG_TICKS = [digit * 10.0**power for power in range(-5, 4) for digit in (1, 1.5, 2, 3, 5, 7)]

# Readable on white and on black; the page's style sheet replaces it by the text colour of the theme.
_GREY = "#7f7f7f"
_COLUMNS = 3
_ROW_PIXELS = 22
#: Cells below this size in pixels have no text.
_SMALLEST = 14
_LONGEST_LABEL = 24  # letters
_COLOUR_BAR = {"thickness": 12, "len": 200, "lenmode": "pixels", "yanchor": "top", "y": 1, "outlinewidth": 0}
# Okabe and Ito's blue and vermilion, see-through where there is nothing, so that the theme shows. Never so opaque that
# the numbers on them cannot be read.
_BLUE, _RED = "0,114,178", "213,94,0"
_FROM_NOTHING = [[0, f"rgba({_BLUE},0)"], [0.1, f"rgba({_BLUE},0.2)"], [0.3, f"rgba({_BLUE},0.4)"], [1, f"rgba({_BLUE},0.7)"]]
_EVEN = [[0, f"rgba({_BLUE},0)"], [1, f"rgba({_BLUE},0.75)"]]
_BOTH_WAYS = [[0, f"rgba({_RED},1)"], [0.5, f"rgba({_RED},0)"], [0.5, f"rgba({_BLUE},0)"], [1, f"rgba({_BLUE},1)"]]


def draw(chart: Chart | Heatmap) -> Figure:
    """Return the dictionary of a chart: data, layout and config."""
    return _draw_heatmap(chart) if isinstance(chart, Heatmap) else _draw_chart(chart)


def base_layout(x_title: str, y_title: str) -> dict[str, Any]:
    """Return the layout shared by all charts of the page: size, font, grid, hover; transparent for the theme."""
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


def _draw_chart(chart: Chart) -> Figure:
    layout = base_layout(chart.x.title, chart.y.title)
    for name, axis in (("xaxis", chart.x), ("yaxis", chart.y)):
        layout[name] |= _axis(axis, is_vertical=name == "yaxis")
    if chart.is_sideways:
        layout |= {"hovermode": "closest", "height": 90 + 26 * max(4, len(chart.y.names))}
    data, seen = list[dict[str, Any]](), set[str]()
    count, columns = len(chart.panels), min(_COLUMNS, len(chart.panels))
    for place, panel in enumerate(chart.panels):
        number = "" if place == 0 else str(place + 1)
        if count > 1:
            _place(layout, panel, place, columns, -(-count // columns), number)
        for each in panel.series:
            data += [{**trace, "xaxis": f"x{number}", "yaxis": f"y{number}"} for trace in _traces(each, chart, seen)]
            seen.add(each.name)
        for rule in chart.rules:
            _rule(layout, rule, chart, number)
    if count > 1:
        layout |= {"height": 60 + 230 * -(-count // columns), "hovermode": "closest"}
    return {"data": data, "layout": layout, "config": CONFIG}


def _axis(axis: Axis, is_vertical: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if axis.names:
        found |= {"tickmode": "array", "tickvals": list(range(len(axis.names))), "ticktext": [*map(html.escape, axis.names)]}
        ends = [-0.5, len(axis.names) - 0.5]
        found |= {"range": ends[::-1] if is_vertical else ends, "showgrid": False, "unifiedhovertitle": {}}
    elif axis.is_log or axis.ticks:
        ticks = list(axis.ticks) or LOG_TICKS
        found |= {"tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
        found |= {"type": "log"} if axis.is_log else {}
    if axis.limits:
        found |= {"range": [math.log10(end) for end in axis.limits] if axis.is_log else list(axis.limits)}
    return found


def _place(layout: dict[str, Any], panel: Panel, place: int, columns: int, rows: int, number: str) -> None:
    """Give a panel its part of the drawing, and its title."""
    row, column = divmod(place, columns)
    wide, high = 1 / columns, 1 / rows
    across = [column * wide + (0.02 if column else 0), (column + 1) * wide - 0.02]
    up = [1 - (row + 1) * high + 0.07, 1 - row * high - 0.05]
    first = column == 0
    x_title = layout["xaxis"]["title"]["text"] if row == rows - 1 or place + columns >= columns * rows else ""
    layout[f"xaxis{number}"] = {**layout["xaxis"], "domain": across, "anchor": f"y{number}", "title": {"text": x_title}}
    layout[f"yaxis{number}"] = {**layout["yaxis"], "domain": up, "anchor": f"x{number}", "showticklabels": first}
    if number:
        layout[f"xaxis{number}"]["matches"], layout[f"yaxis{number}"]["matches"] = "x", "y"
    if not first:
        layout[f"yaxis{number}"]["title"] = {"text": ""}
    title = {"text": html.escape(panel.title), "x": sum(across) / 2, "y": up[1], "xref": "paper", "yref": "paper"}
    layout.setdefault("annotations", []).append({**title, "showarrow": False, "yanchor": "bottom", "xanchor": "center"})


def _traces(each: Series, chart: Chart, seen: set[str]) -> list[dict[str, Any]]:
    if not len(each.x):
        return []
    name = html.escape(each.name)
    line: dict[str, Any] = {
        "type": "scatter",
        "x": _rounded(each.x),
        "y": _rounded(each.y),
        "name": name,
        "legendgroup": each.group or name,
        "showlegend": each.is_listed and each.name not in seen,
        "mode": "+".join([*(["lines"] if each.dash else []), *(["markers"] if each.marker else [])]) or "markers",
    }
    if each.dash:
        line["line"] = {"color": each.colour, "dash": each.dash, "width": 1 if each.is_faint else 2}
    if each.marker:
        line["marker"] = {"symbol": each.marker, "size": 7, "color": each.colour, "maxdisplayed": 9 if each.dash else 0}
    if each.is_faint:
        return [{**line, "opacity": 0.35, "hoverinfo": "skip"}]
    along = "x" if chart.is_sideways else "y"
    line["hovertemplate"] = f"{name} %{{{along}:.{chart.digits}f}}<extra></extra>"
    if not each.low:
        return [line]
    if each.is_band:
        return [_band(each, line), line]
    values = each.x if chart.is_sideways else each.y
    bars = {"type": "data", "symmetric": False, "color": each.colour, "thickness": 1.5, "width": 4}
    bars["array"] = _rounded([high - value for high, value in zip(each.high, values, strict=True)])
    bars["arrayminus"] = _rounded([value - low for low, value in zip(each.low, values, strict=True)])
    line["customdata"] = [[round(low, 4), round(high, 4)] for low, high in zip(each.low, each.high, strict=True)]
    ends = f"%{{customdata[0]:.{chart.digits}f}} to %{{customdata[1]:.{chart.digits}f}}"
    return [{**line, f"error_{along}": bars, "hovertemplate": f"{name} %{{{along}:.{chart.digits}f}} ({ends})<extra></extra>"}]


def _band(each: Series, line: dict[str, Any]) -> dict[str, Any]:
    return {
        **{"type": "scatter", "x": [*line["x"], *line["x"][::-1]], "y": _rounded([*each.high, *list(each.low)[::-1]])},
        **{"fill": "toself", "fillcolor": f"{each.colour}33", "line": {"width": 0}, "mode": "lines", "hoverinfo": "skip"},
        **{"legendgroup": line["legendgroup"], "showlegend": False},
    }


def _rule(layout: dict[str, Any], rule: Rule, chart: Chart, number: str) -> None:
    line = {"type": "line", "line": {"color": _GREY, "dash": "dash", "width": 1}, "layer": "below"}
    if rule.axis == "diagonal":
        ends = chart.x.limits or (0.0, 100.0)
        shape = {"xref": f"x{number}", "yref": f"y{number}", "x0": ends[0], "x1": ends[1], "y0": ends[0], "y1": ends[1]}
    elif rule.axis == "x":
        shape = {"xref": f"x{number}", "yref": f"y{number} domain", "x0": rule.value, "x1": rule.value, "y0": 0, "y1": 1}
    else:
        shape = {"xref": f"x{number} domain", "yref": f"y{number}", "x0": 0, "x1": 1, "y0": rule.value, "y1": rule.value}
    layout.setdefault("shapes", []).append({**line, **shape})
    if rule.label and rule.axis == "y":
        # plotly.js takes a note's place, but not a line's, as the exponent
        place = math.log10(rule.value) if chart.y.is_log else rule.value
        note = {"xref": f"x{number} domain", "yref": f"y{number}", "x": 1, "y": place, "text": html.escape(rule.label)}
        layout.setdefault("annotations", []).append({**note, "showarrow": False, "xanchor": "right", "yanchor": "bottom"})


def _rounded(values: Any) -> list[Any]:
    return [None if value is None or value != value else round(float(value), 6) for value in values]


def _draw_heatmap(chart: Heatmap) -> Figure:
    """Cells of a fixed size, with texts if they fit.

    plotly.js interprets tags in labels, so they are escaped; long ones are cut, and full in the hover text.
    """
    low, high = chart.limits
    is_square = list(chart.rows) == list(chart.columns)
    count = len(chart.rows)
    wide, high_cell = (60, _ROW_PIXELS) if not is_square else (_side(count), _side(count))
    heat: dict[str, Any] = {
        "type": "heatmap",
        "x": [html.escape(name, quote=False) for name in chart.columns],
        "y": [html.escape(name, quote=False) for name in chart.rows],
        "z": [[round(float(value), 3) for value in row] for row in chart.values],
        "colorscale": _BOTH_WAYS if chart.is_diverging else _FROM_NOTHING if is_square else _EVEN,
        "zmin": low,
        "zmax": high,
        "colorbar": {**_COLOUR_BAR, "title": {"text": chart.value_title}},
        "xgap": 1,
        "ygap": 1,
        "customdata": [[html.escape(cell, quote=False).replace("\n", "<br>") for cell in row] for row in chart.hover],
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    if chart.texts and wide > _SMALLEST:
        heat |= {"text": [list(row) for row in chart.texts], "texttemplate": "%{text}"}
        heat |= {"textfont": {"size": 11 if count > 4 else 14}}
    left, below = (_label_pixels(names) + 30 * is_square for names in (chart.rows, chart.columns))
    layout = base_layout(chart.column_title, chart.row_title) | {
        "autosize": False,
        "width": left + wide * len(chart.columns) + 110,
        "height": (below if is_square else 40) + 60 + max(high_cell * count, 200 if is_square else 0),
        "margin": {"l": left, "r": 8, "t": 8 if is_square else 40, "b": below if is_square else 8},
        "hovermode": "closest",
    }
    layout["xaxis"] |= {**_names_axis(chart.columns), "tickangle": -90 if is_square else 0, "showgrid": False}
    layout["xaxis"] |= {} if is_square else {"side": "top"}
    layout["yaxis"] |= {**_names_axis(chart.rows), "tickangle": 0, "autorange": "reversed", "showgrid": False}
    for axis in ("xaxis", "yaxis"):
        layout[axis]["title"] |= {"standoff": 4}
    return {"data": [heat] if count and len(chart.columns) else [], "layout": layout, "config": CONFIG}


def _side(count: int) -> int:
    """Pixels of a cell of a square of so many classes."""
    return 110 if count < 4 else 30 if count <= 40 else _SMALLEST


def _names_axis(names: Sequence[str]) -> dict[str, Any]:
    cut = [name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…" for name in names]
    ticks = {"tickmode": "array", "tickvals": list(range(len(names)))}
    ticks |= {"ticktext": [html.escape(name, quote=False) for name in cut]}
    return {"type": "category", **ticks, "automargin": False, "tickfont": {"size": 12 if len(names) <= 40 else 10}}


def _label_pixels(names: Sequence[str]) -> int:
    """Room for the longest label."""
    return 20 + 7 * min(max(map(len, names), default=0), _LONGEST_LABEL)
