"""Charts of what goes on inside: the right lines through the right points, on one scale."""

import json
import math

import numpy as np
import pytest

from normzoo.inference.value_trace import LayerActivations, LayerGates, Moments
from normzoo.plotting.activations import QUANTITIES, around_norms, gates
from normzoo.plotting.spec import style_of

NAMES = ("stem, norm 1", "stage 1, block 1, norm 1", "stage 1, block 1, norm 2")


def layers(scale):
    return [LayerActivations(name, Moments(-k, scale * 10.0**k), Moments(0.0, 1.0)) for k, name in enumerate(NAMES)]


def test_each_network_has_its_line_before_and_after():
    before, after = around_norms({"bn": layers(1), "gn": layers(2)}, QUANTITIES["spread"])
    assert [line["name"] for line in before["data"]] == ["BN", "GN"]
    assert before["data"][1]["y"] == [2, 20, 200]
    assert after["data"][1]["y"] == [1, 1, 1]
    assert before["data"][0]["x"] == list(NAMES)
    assert before["data"][0]["line"]["color"] == style_of("bn").colour


def test_both_charts_share_a_scale_that_holds_every_value():
    for key, ends in {"spread": (math.log10(1), math.log10(200)), "mean": (-2, 0)}.items():
        before, after = around_norms({"bn": layers(1), "gn": layers(2)}, QUANTITIES[key])
        low, high = before["layout"]["yaxis"]["range"]
        assert [low, high] == after["layout"]["yaxis"]["range"]
        assert low < ends[0]
        assert high > ends[1]


@pytest.mark.parametrize("quantity", QUANTITIES.values())
def test_values_that_are_all_the_same_or_zero_still_give_a_chart(quantity):
    flat = [LayerActivations(name, Moments(0.0, 0.0), Moments(0.0, 0.0)) for name in NAMES]
    for chart in around_norms({"bn": flat}, quantity):
        low, high = chart["layout"]["yaxis"]["range"]
        assert low < high
        assert json.loads(json.dumps(chart, allow_nan=False)) == chart


def test_every_gate_is_a_dot_and_each_layer_has_its_mean():
    gated = [LayerGates(NAMES[0], np.array([0.0, 0.5, 1.0, 1.0], np.float32)), LayerGates(NAMES[1], np.array([0.25]))]
    chart = gates({"bin": gated})
    dots, means = chart["data"]
    assert dots["y"] == [0, 0.5, 1, 1, 0.25]
    assert [round(place) for place in dots["x"]] == [0, 0, 0, 0, 1]
    assert len(set(dots["x"])) == 5, "equal gates lie side by side"
    assert means["y"] == [0.625, 0.25]
    assert "at 0: 25%, at 1: 50%" in means["text"][0]
    assert json.loads(json.dumps(chart, allow_nan=False)) == chart
