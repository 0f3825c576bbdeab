"""Charts of activations and gates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normzoo.inference.value_trace import LayerActivations, LayerGates
from normzoo.plotting.spec import Axis, Chart, Panel, Series, series, style_of


@dataclass(frozen=True)
class Quantity:
    """Quantity to draw."""

    title: str
    field: str  # of `value_trace.Moments`
    is_log: bool


QUANTITIES = {
    "spread": Quantity("Spread (standard deviation)", "sd", is_log=True),
    "mean": Quantity("Mean", "mean", is_log=False),
}


def around_norms(layers: Mapping[str, Sequence[LayerActivations]], quantity: Quantity) -> tuple[Chart, Chart]:
    """One quantity at every depth, before and after the norm: two charts with the same scale, a line per variant.

    Args:
        layers: variant -> result of `layer_activations`.
    """
    sides = [
        {variant: [getattr(getattr(layer, side), quantity.field) for layer in seen] for variant, seen in layers.items()}
        for side in ("before", "after")
    ]
    limits = _limits([value for lines in sides for line in lines.values() for value in line], quantity.is_log)
    axis = Axis(quantity.title, is_log=quantity.is_log, limits=limits)
    panels = [Panel(tuple(series(variant, range(len(y)), y) for variant, y in lines.items())) for lines in sides]
    before, after = (Chart(quantity.title, _depth(layers), axis, (panel,), digits=3) for panel in panels)
    return before, after


def gates(layers: Mapping[str, Sequence[LayerGates]]) -> Chart:
    """Every gate as a dot at its depth, beside those of the same layer, and the mean of each layer as a line."""
    shown = list[Series]()
    for variant, gated in layers.items():
        places = np.concatenate([place + np.linspace(-0.3, 0.3, len(layer.values)) for place, layer in enumerate(gated)])
        dots = {"name": f"{style_of(variant).name}: each channel", "dash": None, "is_faint": True}
        shown.append(series(variant, places.tolist(), np.concatenate([layer.values for layer in gated]).tolist(), **dots))
        means = [layer.mean for layer in gated]
        shown.append(series(variant, range(len(gated)), means, name=f"{style_of(variant).name}: mean"))
    return Chart("Gates", _depth(layers), Axis("Gate", limits=(-0.03, 1.03)), (Panel(tuple(shown)),), digits=3)


def _depth(layers: Mapping[str, Sequence[LayerActivations | LayerGates]]) -> Axis:
    """The norm layers from first to last: "2.1 norm 1" is in stage 2, block 1."""
    names = next(([layer.layer for layer in seen] for seen in layers.values()), [])
    short = (name.removeprefix("stage ").replace(", block ", ".").replace(", norm", " norm") for name in names)
    return Axis("Norm layer, first to last", names=tuple(short))


def _limits(values: Sequence[float], is_log: bool) -> tuple[float, float]:
    """Ends of an axis with all values and a margin."""
    shown = [math.log10(value) for value in values if value > 0] if is_log else list(values)
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    air = 0.06 * (high - low) or 0.5
    return (10 ** (low - air), 10 ** (high + air)) if is_log else (low - air, high + air)
