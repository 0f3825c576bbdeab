"""The looks: the same for a variant everywhere, different between variants."""

import re

import pytest

from normzoo import NORM_LAYERS
from normzoo.plotting.spec import COLOURS, MARKERS, style_of

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
