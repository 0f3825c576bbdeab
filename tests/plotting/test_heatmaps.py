"""Heat maps of final results: the right numbers in the right cells, and what a hover says of them."""

import json

import numpy as np
import pytest

from normzoo.plotting import matplotlib, plotly
from normzoo.plotting.curves import confusion_difference, confusion_matrix

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
