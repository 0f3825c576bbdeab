"""The stored results as tables, on small made-up checkpoints."""

import json

import pandas as pd
import pytest

from normzoo import NORM_LAYERS
from normzoo.analysis.results import METRICS, final_metrics, history, over_seeds, smoothed, val_accuracy
from normzoo.errors import ConfigError
from normzoo.pretrained.registry import get_model_set, list_model_sets
from tests.support.checkpoints import save_zoo


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return get_model_set("toy/paper", save_zoo(tmp_path_factory.mktemp("zoo")))


def test_final_metrics_are_the_stored_ones(zoo):
    frame = final_metrics(zoo, NORM_LAYERS).frame
    assert list(frame["variant"]) == list(NORM_LAYERS)
    bn = frame.set_index("variant").loc["bn"]
    stored = zoo.checkpoints["bn"].metrics
    for split in ("train", "val"):
        for key in METRICS:
            assert bn[f"{split}_{key}"] == stored["final"][split][key]["mean"]
    assert (bn["parameters"], bn["macs"], bn["n"], bn["seeds"]) == (stored["parameters"], stored["macs"], 1, "0")


def test_what_cannot_be_read_is_reported_and_the_rest_is_there(tmp_path):
    save_zoo(tmp_path)
    folder = tmp_path / "toy" / "paper"
    (folder / "nn" / "history.csv").unlink()
    (folder / "bn" / "metrics.json").write_text("{")
    figures = json.loads((folder / "in" / "metrics.json").read_text())
    del figures["final"]["val"]
    (folder / "in" / "metrics.json").write_text(json.dumps(figures))
    zoo = get_model_set("toy/paper", tmp_path)
    curves, finals = history(zoo, NORM_LAYERS), final_metrics(zoo, NORM_LAYERS)
    assert list(curves.problems) == ["nn", "bn"]
    assert list(curves.frame["variant"].unique()) == ["in", "bin", "gn", "ln"]
    assert list(finals.problems) == ["bn", "in"]
    assert list(finals.frame["variant"]) == ["nn", "bin", "gn", "ln"]
    assert val_accuracy(zoo, "in") is None


@pytest.mark.parametrize("model_set", list_model_sets(), ids=lambda model_set: model_set.name)
def test_every_packaged_result_can_be_shown(model_set):
    variants = list(model_set.checkpoints)
    assert model_set.problems == {}
    finals, curves = final_metrics(model_set, variants), history(model_set, variants)
    assert (finals.problems, curves.problems) == ({}, {})
    last = over_seeds(curves.frame[curves.frame["split"] == "val"], "accuracy").groupby("variant")["mean"].last()
    for row in finals.frame.to_dict("records"):
        assert last[row["variant"]] == pytest.approx(row["val_accuracy"], abs=1e-6)


def tensorboard(values, weight):
    """Its loop: `last` is pulled towards 0, and divided by the weight that it has collected."""
    last, found = 0.0, []
    for step, value in enumerate(values, start=1):
        last = last * weight + (1 - weight) * value
        found.append(last / (1 - weight**step))
    return found


@pytest.mark.parametrize("weight", [0, 0.05, 0.6, 0.95])
def test_every_run_is_smoothed_for_itself_as_tensorboard_does(weight):
    runs = {0: [3.0, 1.0, 2.5, 0.5, 0.75], 1: [5.0, 9.0]}
    frames = [
        pd.DataFrame({"variant": "bn", "seed": seed, "split": "val", "epoch": range(1, len(values) + 1), "loss": values})
        for seed, values in runs.items()
    ]
    expected = [value for values in runs.values() for value in tensorboard(values, weight)]
    assert smoothed(pd.concat(frames, ignore_index=True), "loss", weight)["loss"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("weight", [-0.1, 1, 1.5, float("nan"), None, "0.5", True])
def test_an_amount_of_smoothing_that_is_none_is_refused(zoo, weight):
    with pytest.raises(ConfigError, match="Smoothing must be"):
        smoothed(history(zoo, ["bn"]).frame, "loss", weight)
