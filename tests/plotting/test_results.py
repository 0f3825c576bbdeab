"""Charts of final results: the right numbers in the right cells, and what a hover says of them."""

import json

import numpy as np

from normzoo.plotting.results import confusion_heat, difference_heat, f1_heat

CLASSES = ("ant", "bee")
COUNTS = np.array([[8, 2], [5, 5]])


def test_a_cell_is_the_share_of_its_row_and_tells_the_counts():
    heat = confusion_heat(COUNTS, CLASSES, "BN")["data"][0]
    assert heat["z"] == [[80, 20], [50, 50]]
    assert heat["customdata"][0][1] == [2, 10]
    assert (heat["zmin"], heat["zmax"]) == (0, 100)


def test_a_class_without_photos_is_an_empty_row():
    assert confusion_heat(np.array([[0, 0], [1, 3]]), CLASSES, "BN")["data"][0]["z"] == [[0, 0], [25, 75]]


def test_a_difference_is_in_points_and_its_colours_reach_as_far_both_ways():
    heat = difference_heat(np.array([[0.8, 0.2], [0.5, 0.5]]), np.array([[0.5, 0.5], [0.5, 0.5]]), CLASSES, ("BN", "GN"))[
        "data"
    ][0]
    assert heat["z"] == [[30, -30], [0, 0]]
    assert (heat["zmin"], heat["zmax"]) == (-30, 30)
    assert heat["customdata"][0][0] == [0.8, 0.5]
    assert "BN %{customdata[0]" in heat["hovertemplate"]


def test_equal_matrices_still_have_a_scale():
    shares = np.array([[1.0, 0.0], [0.0, 1.0]])
    heat = difference_heat(shares, shares, CLASSES, ("BN", "GN"))["data"][0]
    assert heat["zmin"] < 0 < heat["zmax"]


def test_f1_has_a_row_for_each_class_and_a_column_for_each_variant():
    heat = f1_heat({"bn": [0.5, 1.0], "gn": [0.25, 0.0]}, CLASSES)["data"][0]
    assert heat["z"] == [[50, 25], [100, 0]]
    assert (heat["x"], heat["y"]) == (["BN", "GN"], ["ant", "bee"])


def test_the_first_row_is_on_top_and_every_class_has_its_label():
    for figure in (confusion_heat(COUNTS, CLASSES, "BN"), f1_heat({"bn": [0.5, 1.0]}, CLASSES)):
        axis = figure["layout"]["yaxis"]
        assert (axis["autorange"], len(axis["ticktext"])) == ("reversed", len(CLASSES))
        json.dumps(figure, allow_nan=False)
