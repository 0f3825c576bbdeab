"""Charts: the look of each variant, curves, heat maps; the right numbers in the right places."""

import json
import re

import numpy as np
import pytest

from normzoo import NORM_LAYERS
from normzoo.analysis.results import METRICS, chance_loss, history
from normzoo.plotting import matplotlib, plotly
from normzoo.plotting.curves import confusion_difference, confusion_matrix, curve_chart
from normzoo.plotting.spec import COLOURS, MARKERS, style_of
from normzoo.pretrained.registry import get_model_set
from tests.support.checkpoints import save_variant, save_zoo

EXTRAS = ["torch-bn", "bn-bs8", "bn-bs128", "gn-bs8", "gn-bs128"]


def test_every_norm_has_its_own_colour_and_marker():
    looks = [style_of(key) for key in NORM_LAYERS]
    assert [each.colour for each in looks] == list(COLOURS[: len(looks)])
    assert [each.marker for each in looks] == list(MARKERS[: len(looks)])
    assert {each.dash for each in looks} == {"solid"}


def test_a_seventh_norm_gets_a_look_by_its_place_alone(monkeypatch):
    monkeypatch.setitem(NORM_LAYERS, "seventh", NORM_LAYERS["bn"])
    assert style_of("seventh").colour not in [style_of(key).colour for key in NORM_LAYERS if key != "seventh"]


@pytest.mark.parametrize("variant", EXTRAS)
def test_another_training_of_a_norm_looks_different_from_all_others(variant):
    mine = style_of(variant)
    assert re.fullmatch("#[0-9a-f]{6}", mine.colour)
    assert mine.dash != "solid"
    for other in (style_of(other) for other in [*NORM_LAYERS, *EXTRAS] if other != variant):
        assert mine.colour != other.colour
        assert (mine.marker, mine.dash) != (other.marker, other.dash)


def to_chart(*arguments):
    return plotly.draw(curve_chart(*arguments))


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    return history(get_model_set("toy/paper", root), NORM_LAYERS).frame


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    save_variant(root, "bn", seeds=(0, 1, 2))
    return history(get_model_set("toy/paper", root), ["bn"]).frame


def test_a_chart_has_a_line_for_every_variant(frame):
    chart = to_chart(frame, METRICS["accuracy"], ("val",))
    assert [line["name"] for line in chart["data"]] == [style_of(key).name for key in NORM_LAYERS]
    bn = chart["data"][1]
    assert bn["x"] == [1, 2, 3]
    assert bn["y"] == pytest.approx([20, 40, 60])
    assert (bn["line"]["color"], bn["marker"]["symbol"]) == (style_of("bn").colour, style_of("bn").marker)
    assert chart["layout"]["yaxis"]["title"]["text"] == "Accuracy (%)"


def test_training_is_dotted_beside_validation_and_alone_it_is_not(frame):
    both = to_chart(frame, METRICS["loss"], ("val", "train"))["data"]
    assert [line["name"] for line in both[:2]] == ["NN validation", "NN training"]
    assert [line["line"]["dash"] for line in both[:2]] == ["solid", "dot"]
    alone = to_chart(frame, METRICS["loss"], ("train",))["data"]
    assert alone[0]["line"]["dash"] == "solid"


def test_several_seeds_make_a_band_and_their_number_is_told(three_seeds):
    band, line = to_chart(three_seeds, METRICS["loss"], ("val",))["data"]
    assert line["name"] == "BN (n=3)"
    assert line["y"] == pytest.approx([2.5, 1.75, 1.5])
    assert band["y"] == pytest.approx([3.5, 2.75, 2.5, 0.5, 0.75, 1.5])
    assert band["legendgroup"] == line["legendgroup"]


def test_a_chart_is_strict_json_and_lets_the_page_show_through(frame, three_seeds):
    for data in (frame, three_seeds, frame[:0]):
        chart = to_chart(data, METRICS["loss"], ("val", "train"), 1.0)
        assert json.loads(json.dumps(chart, allow_nan=False)) == chart
        assert chart["layout"]["paper_bgcolor"] == chart["layout"]["plot_bgcolor"] == "rgba(0,0,0,0)"


def test_a_figure_draws_the_same_lines_as_the_chart(frame):
    axes = matplotlib.draw(curve_chart(frame, METRICS["accuracy"], ("val", "train"))).axes[0]
    lines = to_chart(frame, METRICS["accuracy"], ("val", "train"))["data"]
    assert [line.get_label() for line in axes.lines] == [line["name"] for line in lines]
    for drawn, line in zip(axes.lines, lines, strict=True):
        assert drawn.get_xydata().tolist() == [pytest.approx(pair) for pair in zip(line["x"], line["y"], strict=True)]
        assert drawn.get_color() == line["line"]["color"]


def test_a_figure_of_several_seeds_has_a_band(three_seeds):
    axes = matplotlib.draw(curve_chart(three_seeds, METRICS["loss"], ("val",), chance_loss(4))).axes[0]
    assert [line.get_label() for line in axes.lines] == ["chance: 1.3863", "BN (n=3)"]
    assert len(axes.collections) == 1


CLASSES = ("ant", "bee <b>")
COUNTS = np.array([[8, 2], [5, 5]])


def test_a_cell_is_the_share_of_its_row_and_tells_the_counts():
    chart = confusion_matrix(COUNTS, CLASSES, "BN")
    assert chart.values == [[80, 20], [50, 50]]
    assert chart.texts[0] == ["8", "2"]
    assert "2 of 10 (20.0%)" in chart.hover[0][1]
    assert confusion_matrix(np.array([[0, 0], [1, 3]]), CLASSES, "BN").values == [[0, 0], [25, 75]], "a class without photos"


def test_a_difference_is_in_points_and_its_colours_reach_as_far_both_ways():
    chart = confusion_difference(np.array([[0.8, 0.2], [0.5, 0.5]]), np.array([[0.5, 0.5], [0.5, 0.5]]), CLASSES, ("BN", "GN"))
    assert chart.values[0] == pytest.approx([30, -30])
    assert chart.limits == pytest.approx((-30, 30))
    assert "BN 80.0%, GN 50.0%: +30.0 points" in chart.hover[0][0]
    shares = np.eye(2)
    low, high = confusion_difference(shares, shares, CLASSES, ("BN", "GN")).limits
    assert low < 0 < high, "equal matrices have a scale, too"


@pytest.mark.parametrize("count", [2, 25, 200])
def test_both_renderers_draw_every_class_and_long_names_whole_where_one_points(count):
    classes = [f"{number} {'x' * 75}" for number in range(count)]
    chart = confusion_matrix(np.eye(count, dtype=int), classes, "BN")
    figure = plotly.draw(chart)
    axis = figure["layout"]["yaxis"]
    assert (axis["autorange"], len(axis["ticktext"])) == ("reversed", count)
    assert max(map(len, axis["ticktext"])) < 30
    assert classes[0] in figure["data"][0]["customdata"][0][0]
    assert figure["layout"]["width"] > 14 * count
    json.dumps(figure, allow_nan=False)
    assert len(matplotlib.draw(chart).axes[0].get_yticks()) == count
