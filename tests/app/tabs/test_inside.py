"""Inside without a browser: cubes, charts, gates, feature maps, and what its events answer."""

import json
import re

import numpy as np
import pytest

from normzoo import NORM_LAYERS, load_image
from normzoo.app.components import cubes
from normzoo.app.components.html import tiles
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.tabs import inside
from normzoo.inference.value_trace import LayerActivations, LayerGates, Moments
from normzoo.nn.registry import describe_norm
from normzoo.plotting import plotly
from normzoo.plotting.spec import style_of
from tests.support.visitor import words

PHOTO = {"path": str(EXAMPLES[0].path)}


@pytest.mark.parametrize(
    ("axes", "photos", "channels"),
    [
        (("N", "H", "W"), 4, 1),
        (("H", "W"), 1, 1),
        (("C/G", "H", "W"), 1, 3),
        (("C", "H", "W"), 1, 6),
        (("N", "C", "H", "W"), 4, 6),
    ],
)
def test_a_cube_colours_what_shares_a_mean(axes, photos, channels):
    shared = [(n, c) for n in range(cubes.PHOTOS) for c in range(cubes.CHANNELS) if cubes.shares(axes, n, c)]
    assert len(shared) == photos * channels
    assert (0, cubes.CHANNELS - 1) in shared


def test_every_norm_of_the_zoo_is_drawn_from_what_it_says_of_itself(catalog):
    drawn = cubes.draw(catalog.get("toy/paper"), NORM_LAYERS)
    for key in NORM_LAYERS:
        norm = describe_norm(key)
        figure = cubes.figure(key, norm)
        assert figure in drawn
        assert figure.count("<svg") == max(1, len(norm.pooled_axes))
        assert ('class="pooled"' in figure) == bool(norm.pooled_axes)
        assert key.upper() in words(figure)


def test_a_norm_is_drawn_once_however_often_it_was_trained(catalog):
    drawn = cubes.draw(catalog.get("toy/extras"), ["bn", "bn-bs8", "torch-bn", "gn"])
    assert [name.split()[0] for name in re.findall(r'class="chip"[^>]*>([^<]+)', drawn)] == ["BN", "GN"]


def test_maps_lie_side_by_side_and_it_is_see_through_between():
    maps = np.zeros((10, 2, 3), np.uint8)
    maps[9, 1, 2], maps[0, 0, 0] = 255, 128
    pixels = tiles(maps, 8)
    assert pixels.shape == (2 * 3 - 1, 8 * 4 - 1, 4)
    assert pixels[0, 0].tolist() == [128, 128, 128, 255]
    assert pixels[4, 6].tolist() == [255, 255, 255, 255]
    assert pixels[2, :, 3].max() == pixels[:, 3, 3].max() == pixels[3:, 8:, 3].max() == 0


def test_a_broken_network_is_named_beside_the_other(catalog):
    picture = load_image(EXAMPLES[0].path)
    text = inside.draw_features(catalog, catalog.get("toy/extras"), picture, "stage 1, block 1", "bn", "gn")
    assert text.count("<img") == 1
    assert "GN is unavailable" in words(text)


@pytest.mark.parametrize("quantity", ["spread", "mean"])
def test_inside_tells_of_every_network_and_layer(events, quantity):
    before, after, text, gates_words, gates, data = events["layers"](PHOTO, "toy/paper", None, quantity)
    assert [len(json.loads(plot.plot)["data"]) for plot in (before, after)] == [6, 6]
    assert set(data) == set(NORM_LAYERS)
    assert all(len(network["layers"]) == 7 for network in data.values())
    assert {variant for variant, network in data.items() if network["gates"]} == {"bin"}
    field = "sd_before" if quantity == "spread" else "mean_before"
    first, last = (data["gn"]["layers"][place][field] for place in (0, -1))
    assert f"GN {first:.2f} → {last:.2f}" in words(text)
    assert "BIN" in gates_words
    assert gates.visible


def test_without_a_photo_or_a_network_the_tab_says_what_to_do(events):
    assert events["layers"](None, "toy/paper", None, "mean")[2] == inside.NO_PHOTO
    assert "Choose at least one network" in events["layers"](PHOTO, "toy/paper", [], "mean")[2]
    assert events["feature_maps"](None, "toy/paper", "stage 1, block 1", "bn", "gn") == ""
    assert events["turn"](None, "toy/paper") == ("", {})
    assert "Choose at least one network" in events["turn"](PHOTO, "toy/paper", [])[0]


def test_another_set_brings_its_blocks_and_networks(events):
    block, left, right = events["list_variants"]("toy/extras")[-3:]
    assert [value for _, value in block.choices] == ["stage 1, block 1", "stage 2, block 1", "stage 3, block 1"]
    assert [value for _, value in left.choices] == ["bn", "gn", "bn-bs8", "torch-bn"]
    assert (left.value, right.value) == ("bn", "gn")


def test_as_trained_the_answers_are_those_of_classify(events):
    shown, answers = events["turn"](PHOTO, "toy/paper")
    assert "as trained" in words(shown)
    assert list(answers) == list(NORM_LAYERS)
    classified = events["classify"](PHOTO, "toy/paper", None)[1]["networks"]
    for variant, answer in answers.items():
        label, probability = answer["as_trained"]
        assert label == classified[variant]["answer"]
        assert probability == pytest.approx(max(classified[variant]["probabilities"].values()), abs=1e-5)
        assert answer["turned"] == answer["as_trained"] == answer["as_trained_faded"]


@pytest.mark.parametrize("border", ["first", "all"])
def test_a_border_concerns_all(events, border):
    shown, answers = events["turn"](PHOTO, "toy/paper", None, 0, border, 4)
    assert all(answer["turned"] != answer["as_trained"] for answer in answers.values())
    assert all(answer["turned_faded"] != answer["turned"] for answer in answers.values())
    assert "Changed, less contrast" in words(shown)


NAMES = ("stem, norm 1", "stage 1, block 1, norm 1", "stage 1, block 1, norm 2")


def layers(scale):
    return [LayerActivations(name, Moments(-k, scale * 10.0**k), Moments(0.0, 1.0)) for k, name in enumerate(NAMES)]


@pytest.mark.parametrize(("key", "least", "most"), [("spread", 1, 200), ("mean", -2, 0)])
def test_each_network_has_its_line_before_and_after_and_both_charts_share_a_scale(key, least, most):
    before, after = inside.chart_moments({"bn": layers(1), "gn": layers(2)}, key)
    assert before.y.limits == after.y.limits
    assert before.y.limits[0] < least < most < before.y.limits[1]
    assert before.x.names == ("stem norm 1", "1.1 norm 1", "1.1 norm 2")
    bn, gn = before.panels[0].series
    assert (bn.name, bn.colour, gn.name) == ("BN", style_of("bn").colour, "GN")
    assert gn.y == ([2, 20, 200] if key == "spread" else [0, -1, -2])
    assert after.panels[0].series[1].y == ([1, 1, 1] if key == "spread" else [0, 0, 0])


@pytest.mark.parametrize("quantity", inside.QUANTITIES)
def test_values_that_are_all_the_same_or_zero_still_give_a_chart(quantity):
    flat = [LayerActivations(name, Moments(0.0, 0.0), Moments(0.0, 0.0)) for name in NAMES]
    for chart in inside.chart_moments({"bn": flat}, quantity):
        assert chart.y.limits[0] < chart.y.limits[1]
        assert json.dumps(plotly.draw(chart), allow_nan=False)


def test_every_gate_is_a_dot_and_each_layer_has_its_mean():
    gated = [LayerGates(NAMES[0], np.array([0.0, 0.5, 1.0, 1.0], np.float32)), LayerGates(NAMES[1], np.array([0.25]))]
    dots, means = inside.chart_gates({"bin": gated}).panels[0].series
    assert dots.y == [0, 0.5, 1, 1, 0.25]
    assert [round(place) for place in dots.x] == [0, 0, 0, 0, 1]
    assert len(set(dots.x)) == 5, "equal gates lie side by side"
    assert means.y == [0.625, 0.25]
