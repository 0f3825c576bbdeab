"""The explorer of values without a browser: what its events answer to a photo, a layer, a pixel and a norm."""

import base64
import html
import json
import re
import shutil

import gradio as gr
import pytest
from torch import nn

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import DRAWINGS, EXAMPLES
from normzoo.nn.registry import NORM_RECORDS, NormRecord
from tests.support.visitor import words

PHOTO = {"path": str(EXAMPLES[0].path)}
LAYER = "stem, norm 1"


@pytest.fixture(scope="module")
def follow(events):
    def follow(network="bn", layer=LAYER, at=(1, 4, 16, 16), norm="bn", brightness=100, contrast=100, photo=PHOTO):
        return events["follow_value"](photo, "toy/paper", network, layer, brightness, contrast, *at, norm)

    return follow


@pytest.fixture(scope="module")
def maps(events):
    def maps(network="bn", layer=LAYER, at=(1, 4, 16, 16), brightness=100, photo=PHOTO, model_set="toy/paper", norm="bn"):
        return events["value_maps"](photo, model_set, network, layer, brightness, 100, *at, norm)

    return maps


def test_the_maps_are_those_of_four_photos_in_whole_groups(maps):
    for layer, channels in ((LAYER, 8), ("stage 2, block 1, norm 1", 8), ("stage 3, block 1, norm 2", 16)):
        drawn, *position = maps(layer=layer)[:5]
        assert drawn.count('class="map" data-photo=') == 4 * channels
        assert [re.findall(rf'alt="Photo {n}: ([^"]+)"', drawn)[0] for n in (1, 2, 3, 4)] == [e.file for e in EXAMPLES[:4]]
        norms = json.loads(html.unescape(re.search(r'data-norms="([^"]+)"', drawn)[1]))
        assert {key: norm["axes"] for key, norm in norms.items()}["gn"] == [["C/G", "H", "W"]]
        assert set(norms) == set(NORM_LAYERS)
        assert len(position) == 4


def test_an_example_is_not_compared_with_itself(maps):
    drawn = maps(photo={"path": str(EXAMPLES[2].path)})[0]
    assert re.findall(r'alt="Photo \d: ([^"]+)"', drawn) == [EXAMPLES[number].file for number in (2, 0, 1, 3)]


def test_a_place_outside_of_a_deeper_layer_moves_to_its_edge_and_the_maps_bring_what_is_said_of_it(maps, follow):
    _, photo, channel, row, column, *_ = maps(layer="stage 3, block 1, norm 1", at=(2, 5, 16, 3))
    assert (row.value, row.maximum) == (8, 8)
    assert (channel.value, channel.maximum) == (None, 64)  # as it is
    assert (photo.value, column.value) == (None, None)
    layer = "stage 3, block 1, norm 1"
    assert maps(layer=layer, at=(2, 5, 16, 3))[5:] == list(follow(layer=layer, at=(2, 5, 8, 3)))
    for norm, brightness in (("bn", 100), ("gn", 60)):
        assert maps(brightness=brightness, norm=norm)[5:] == list(follow(brightness=brightness, norm=norm))


@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_the_sentence_and_the_line_say_what_the_data_say(follow, norm):
    said, table, _, data = follow(norm=norm)
    value = data[norm]
    assert value["arithmetic"] in words(said)
    assert f"Photo 1 ({EXAMPLES[0].file}), channel 4, row 16, column 16: x = " in words(said)
    for shared in value["sets"]:
        assert f"{shared['count']:,} values" in words(said)
    assert said.count("<svg") == len(value["sets"])
    assert re.findall(r'<th scope="row"[^>]*>(\w+)', table) == [key.upper() for key in NORM_LAYERS]
    assert set(data) == set(NORM_LAYERS)


def test_a_norm_of_somebodys_own_is_explained_as_far_as_it_says(follow, monkeypatch):
    class Own(nn.Module):
        def __init__(self, num_channels):
            super().__init__()

        def forward(self, x):
            return x.abs()

    monkeypatch.setitem(NORM_LAYERS, "own<", Own)
    assert "own< does not say which values share a mean" in words(follow(norm="own<")[0]).replace("Own<", "own<")
    axes = (("H", "W"), ("C", "H", "W"), ("N", "H", "W"))
    monkeypatch.setitem(NORM_RECORDS, "own<", NormRecord("own norm", pooled_axes=axes))
    said, *_, data = follow(norm="own<")
    assert "puts them together in its own way" in words(said)
    assert said.count("<svg") == 3
    assert data["own<"]["result"] == abs(data["own<"]["x"])


def test_without_a_photo_a_network_or_a_number_there_is_nothing_to_follow(follow, maps, events):
    assert follow(photo=None) == ("", "", "", {})
    assert maps(photo=None)[0] == ""
    with pytest.raises(gr.Error, match="There is no photo to save a picture of"):
        events["value_png"](None, "toy/paper", "bn", LAYER, 1, 4, 16, 16, "bn", 100, 100)
    assert "GN is unavailable" in words(maps(network="gn", model_set="toy/extras")[0])
    assert all(part == gr.skip() for part in follow(at=(1, None, 1, 1)))  # while somebody types


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"at": (5, 1, 1, 1)}, "The photo must be a whole number from 1 to 4."),
        ({"at": (1, 17, 1, 1)}, "The channel must be a whole number from 1 to 16."),
        ({"at": (1, 1, 0.5, 1)}, "The row must be a whole number from 1 to 32."),
        ({"at": (1, 1, 1, "1")}, "The column must be a whole number from 1 to 32."),
        ({"norm": "<b>"}, "Unknown norm. Choose one of: nn, bn, in, bin, gn, ln."),
        ({"norm": ["bn"]}, "Unknown norm. Choose one of: nn, bn, in, bin, gn, ln."),
        ({"network": "<b>"}, "Unknown network. Choose one of: nn, bn, in, bin, gn, ln."),
        ({"layer": 3}, "Unknown layer. Choose one of: stem, norm 1; "),
        ({"brightness": 500}, "The brightness must be a number from 20 to 180, in per cent."),
        ({"contrast": None}, "The contrast must be a number from 10 to 180, in per cent."),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(follow, wrong, sentence):
    with pytest.raises(gr.Error, match=re.escape(sentence)):
        follow(**wrong)


@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_the_picture_for_slides_holds_the_maps_and_a_name_is_no_formula(events, norm, tmp_path):
    path = tmp_path / r"$\frac{1}$.jpg"
    shutil.copy(EXAMPLES[0].path, path)
    saved = events["value_svg"]({"path": str(path)}, "toy/paper", "bn", LAYER, 1, 4, 16, 16, norm, 100, 100)
    assert saved["name"] == f"normzoo-toy-paper-value-{norm}.svg"
    assert base64.b64decode(saved["base64"]).count(b"<image") == 4 * 8


@pytest.mark.parametrize(
    "value",
    [
        "bn",
        "bn/attic/1/1/1/1/bn/100/100",
        "<b>/stem, norm 1/1/1/1/1/bn/100/100",
        "bn/stem, norm 1/1/1/1/1/up/100/100",
        "bn/stem, norm 1/-1/1/1/1/bn/100/100",
        "bn/stem, norm 1/1/1/1/1/1/bn/100/100",
        "bn/stem, norm 1/1/1/1/1/bn/0/100",
        "gn/stage 2, block 1, norm 1/2/7/3/5/in/60/90",
    ],
)
def test_a_link_brings_a_photo_and_a_value_that_is_there_alone(events, value):
    asked = {"set": "toy/paper", "photo": DRAWINGS[5].file.removesuffix(".jpg"), "value": value}
    found = events["open_link"]("toy/paper", asked)
    assert str(DRAWINGS[5].path) in found
    assert found[-11:-4] == ([2, 7, 3, 5, "in", 60, 90] if value.startswith("gn") else [gr.skip()] * 7)
