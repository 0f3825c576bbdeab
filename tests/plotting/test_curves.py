"""Charts and figures of learning curves: the right lines, through the right points."""

import json

import pytest

from normzoo import NORM_LAYERS
from normzoo.analysis.results import METRICS, chance_loss, history
from normzoo.plotting import matplotlib, plotly
from normzoo.plotting.curves import curve_chart
from normzoo.plotting.spec import style_of
from normzoo.pretrained.registry import get_model_set
from tests.support.checkpoints import save_variant, save_zoo


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
