"""Batch size without a browser: both losses, what the original concluded, what is missing."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from normzoo.app.core.catalog import Catalog
from normzoo.app.tabs.batch_size import tab as batch_size
from tests.support.checkpoints import save_variant
from tests.support.html_words import words


def sized(root: Path, variant: str, batch_size: int, train_loss: float, model_set: str = "toy/paper") -> None:
    def figure(value: float) -> dict[str, Any]:
        return {"mean": value, "sd": None, "values": [value]}

    one = {"loss": figure(train_loss), **{key: figure(0.5) for key in ("accuracy", "macro_f1", "micro_f1")}}
    provenance = {"commit": None, "recipe": {"batch_size": batch_size}}
    save_variant(root, variant, model_set, final={"val": one, "train": one}, provenance=provenance)


def test_both_conventions_of_the_loss_are_shown_and_judged(tmp_path):
    for variant, size, loss in (("bn-bs8", 8, 1.6), ("bn", 32, 1.6), ("bn-bs128", 128, 1.92)):
        sized(tmp_path, variant, size, loss)
    for variant, size, loss in (("gn-bs8", 8, 1.6), ("gn", 32, 1.0), ("gn-bs128", 128, 0.8)):
        sized(tmp_path, variant, size, loss)
    model_set = Catalog(tmp_path).get("toy/paper")
    plot, text, table, rows = batch_size.tell(model_set, ["bn", "gn"], "loss_divided", "Validation")
    lines = json.loads(plot.plot)["data"]
    assert [line["name"] for line in lines] == ["BN batch 8", "BN", "BN batch 128", "GN batch 8", "GN", "GN batch 128"]
    assert lines[0]["y"][0] == pytest.approx(1.5 / 8)
    assert [row["train_loss_divided"] for row in rows[:3]] == pytest.approx([0.2, 0.05, 0.015])
    told = words(text)
    assert "The original's BN: as printed 0.12700 to 0.00674 from batch size 8 to 128; per image 1.0160 to 0.8632 nats" in told
    assert "BN here: the training loss per image rises, 1.6000 to 1.9200 nats (× 1.20), from batch size 8 to 128" in told
    assert "it goes from 0.20000 to 0.01500, of which the division alone makes × 0.0625" in told
    assert "GN here: the training loss per image falls" in told
    assert "digit for digit, those of BN: a slip" in told
    assert "does not fit its own convention" in told
    assert "Not here yet" not in told
    assert "Original training accuracy" in table


def test_runs_that_are_missing_are_named_with_the_command_that_makes_them(tmp_path):
    sized(tmp_path, "bn", 32, 1.0)
    told = words(batch_size.tell(Catalog(tmp_path).get("toy/paper"), ["bn"], "loss", "Both")[1])
    assert "Not here yet: BN batch 8, BN batch 128." in told
    assert "python -m training study --recipe paper --norm bn --data toy --batch-size 8" in told
    assert "no other batch size" in told


def test_batch_sizes_are_those_of_the_data_set_where_the_recipe_has_none(tmp_path):
    sized(tmp_path, "bn", 32, 1.0, "toy/strong")
    sized(tmp_path, "bn", 32, 1.0, "other/paper")
    sized(tmp_path, "bn-bs8", 8, 1.0, "other/paper")
    catalog = Catalog(tmp_path)
    assert batch_size.studied_set(catalog, catalog.get("toy/strong")).name == "toy/strong"
    sized(tmp_path, "bn-bs8", 8, 1.0, "toy/paper")
    catalog = Catalog(tmp_path)
    assert batch_size.studied_set(catalog, catalog.get("toy/strong")).name == "toy/paper"


def test_batch_size_events_say_what_to_choose(events):
    plot, text, table, rows = events["batch_sizes"]("toy/paper", ["ln"], "loss", "Validation")
    assert "Choose BN or GN" in words(text)
    assert (json.loads(plot.plot)["data"], table, rows) == ([], "", [])
    for metric, splits in (("fog", "Validation"), ("loss", "fog"), (["loss"], "Validation")):
        with pytest.raises(gr.Error, match="Choose one of"):
            events["batch_sizes"]("toy/paper", None, metric, splits)
