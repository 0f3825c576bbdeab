"""Charts of activations and gates, as dictionaries for plotly.js (see `plotly`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normzoo.inference.value_trace import LayerActivations, LayerGates
from normzoo.plotting.plotly import CONFIG, Figure, base_layout
from normzoo.plotting.spec import style_of

_X_TITLE = "Norm layer, first to last"


@dataclass(frozen=True)
class Quantity:
    """Quantity to draw."""

    title: str
    field: str  # of `activations.Moments`
    is_log: bool


QUANTITIES = {
    "spread": Quantity("Spread (standard deviation)", "sd", is_log=True),
    "mean": Quantity("Mean", "mean", is_log=False),
}


def around_norms(layers: Mapping[str, Sequence[LayerActivations]], quantity: Quantity) -> tuple[Figure, Figure]:
    """One quantity at every depth, before and after the norm: two charts with the same scale, a line per variant.

    Args:
        layers: variant -> result of `layer_activations`.
    """
    sides = {side: _values(layers, side, quantity) for side in ("before", "after")}
    scale = _range([value for lines in sides.values() for line in lines.values() for value in line], quantity.is_log)
    before, after = (_around_norm(layers, lines, quantity, scale) for lines in sides.values())
    return before, after


def gates(layers: Mapping[str, Sequence[LayerGates]]) -> Figure:
    """Every gate as a dot at its depth, the mean of each layer as a line."""
    data: list[dict[str, Any]] = []
    for variant, gated in layers.items():
        style = style_of(variant)
        places = [
            place + _spread_out(k, len(layer.values)) for place, layer in enumerate(gated) for k in range(len(layer.values))
        ]
        values = [round(float(value), 4) for layer in gated for value in layer.values]
        dots = {"mode": "markers", "hoverinfo": "skip", "marker": {"color": style.colour, "size": 5, "opacity": 0.45}}
        data.append({"type": "scatter", "x": places, "y": values, "name": f"{style.name}: each channel", **dots})
        means = {"mode": "lines+markers", "line": {"color": style.colour, "dash": style.dash, "width": 2}}
        phrases = [
            f"{layer.layer}<br>{style.name} mean {layer.mean:.3f}; at 0: {100 * layer.share_at_0:.0f}%, "
            f"at 1: {100 * layer.share_at_1:.0f}%"
            for layer in gated
        ]
        hover = {"text": phrases, "hovertemplate": "%{text}<extra></extra>", "marker": {"symbol": style.marker, "size": 9}}
        line = {"x": list(range(len(gated))), "y": [round(layer.mean, 6) for layer in gated], "name": f"{style.name}: mean"}
        data.append({"type": "scatter", **line, **means, **hover})
    names = next(([layer.layer for layer in gated] for gated in layers.values()), [])
    layout = base_layout(_X_TITLE, "Gate")
    layout |= {"height": 380, "hovermode": "closest"}
    layout["xaxis"] |= _layer_axis(names)
    layout["yaxis"] |= {"range": [-0.03, 1.03]}
    return {"data": data, "layout": layout, "config": CONFIG}


def _around_norm(
    layers: Mapping[str, Sequence[LayerActivations]], lines: Mapping[str, list[float]], quantity: Quantity, scale: list[float]
) -> Figure:
    names = next(([layer.layer for layer in seen] for seen in layers.values()), [])
    data = [_line(variant, names, lines[variant]) for variant in layers]
    layout = base_layout(_X_TITLE, quantity.title)
    layout |= {"height": 380}
    layout["xaxis"] |= _layer_axis(names) | {"type": "category"}
    layout["yaxis"] |= {"range": scale}
    if quantity.is_log:
        layout["yaxis"] |= {"type": "log", "dtick": "D2" if scale[1] - scale[0] < 3 else 1}
    return {"data": data, "layout": layout, "config": CONFIG}


def _line(variant: str, names: Sequence[str], values: Sequence[float]) -> dict[str, Any]:
    style = style_of(variant)
    return {
        "type": "scatter",
        "x": list(names),
        "y": list(values),
        "name": style.name,
        "mode": "lines+markers",
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"symbol": style.marker, "size": 8},
        "hovertemplate": f"{style.name} %{{y:.3f}}<extra></extra>",
    }


def _values(layers: Mapping[str, Sequence[LayerActivations]], side: str, quantity: Quantity) -> dict[str, list[float]]:
    return {
        variant: [round(getattr(getattr(layer, side), quantity.field), 6) for layer in seen] for variant, seen in layers.items()
    }


def _range(values: Sequence[float], is_log: bool) -> list[float]:
    """Ends of an axis with all values and a margin; powers of ten for a logarithmic one."""
    shown = [math.log10(value) for value in values if value > 0] if is_log else list(values)
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    air = 0.06 * (high - low) or 0.5
    return [low - air, high + air]


def _layer_axis(names: Sequence[str]) -> dict[str, Any]:
    """A tick at the first norm of each block, "1.2" for stage 1, block 2; the hover text has the full name."""
    places = [place for place, name in enumerate(names) if name.endswith("norm 1")]
    texts = [names[place].removesuffix(", norm 1").removeprefix("stage ").replace(", block ", ".") for place in places]
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": texts, "range": [-0.5, len(names) - 0.5]}
    return {**ticks, "unifiedhovertitle": {"text": "%{x}"}}


def _spread_out(number: int, count: int) -> float:
    """Offset between -0.3 and 0.3 of one of several dots, so that equal ones are visible."""
    return 0.0 if count < 2 else round(0.6 * (number / (count - 1) - 0.5), 3)
