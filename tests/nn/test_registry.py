"""The zoo's table: every norm has its words, and one without is called by its key."""

import dataclasses

import pytest

from normzoo.nn.registry import NORM_LAYERS, NormRecord, describe_norm
from normzoo.variants import describe_variant


@pytest.mark.parametrize("key", NORM_LAYERS)
def test_every_norm_says_everything(key):
    said = dataclasses.asdict(describe_norm(key))
    missing = [name for name, words in said.items() if not words and name != "remark"]  # not every norm has one
    assert missing == (["pooled_axes"] if key == "nn" else [])
    assert describe_variant(key) == said["title"]
    assert all(axis in said["axes"] for axes in said["pooled_axes"] for axis in axes)  # in words as drawn


def test_norm_that_was_only_added_is_called_by_its_key(monkeypatch):
    monkeypatch.setitem(NORM_LAYERS, "scale", NORM_LAYERS["bn"])
    for key in ("scale", "unknown"):
        assert describe_norm(key) == NormRecord(title=key)
        assert describe_variant(key) == key
