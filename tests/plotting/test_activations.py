"""Charts of what goes on inside: the right lines through the right points, on one scale."""

import json

import numpy as np
import pytest

from normzoo.inference.value_trace import LayerActivations, LayerGates, Moments
from normzoo.plotting import plotly
from normzoo.plotting.activations import QUANTITIES, around_norms, gates
from normzoo.plotting.spec import style_of

NAMES = ("stem, norm 1", "stage 1, block 1, norm 1", "stage 1, block 1, norm 2")


def layers(scale):
    return [LayerActivations(name, Moments(-k, scale * 10.0**k), Moments(0.0, 1.0)) for k, name in enumerate(NAMES)]


@pytest.mark.parametrize(("key", "least", "most"), [("spread", 1, 200), ("mean", -2, 0)])
def test_each_network_has_its_line_before_and_after_and_both_charts_share_a_scale(key, least, most):
    before, after = around_norms({"bn": layers(1), "gn": layers(2)}, QUANTITIES[key])
    assert before.y.limits == after.y.limits
    assert before.y.limits[0] < least < most < before.y.limits[1]
    assert before.x.names == ("stem norm 1", "1.1 norm 1", "1.1 norm 2")
    bn, gn = before.panels[0].series
    assert (bn.name, bn.colour, gn.name) == ("BN", style_of("bn").colour, "GN")
    assert gn.y == ([2, 20, 200] if key == "spread" else [0, -1, -2])
    assert after.panels[0].series[1].y == ([1, 1, 1] if key == "spread" else [0, 0, 0])


@pytest.mark.parametrize("quantity", QUANTITIES.values())
def test_values_that_are_all_the_same_or_zero_still_give_a_chart(quantity):
    flat = [LayerActivations(name, Moments(0.0, 0.0), Moments(0.0, 0.0)) for name in NAMES]
    for chart in around_norms({"bn": flat}, quantity):
        assert chart.y.limits[0] < chart.y.limits[1]
        assert json.dumps(plotly.draw(chart), allow_nan=False)


def test_every_gate_is_a_dot_and_each_layer_has_its_mean():
    gated = [LayerGates(NAMES[0], np.array([0.0, 0.5, 1.0, 1.0], np.float32)), LayerGates(NAMES[1], np.array([0.25]))]
    dots, means = gates({"bin": gated}).panels[0].series
    assert dots.y == [0, 0.5, 1, 1, 0.25]
    assert [round(place) for place in dots.x] == [0, 0, 0, 0, 1]
    assert len(set(dots.x)) == 5, "equal gates lie side by side"
    assert means.y == [0.625, 0.25]
