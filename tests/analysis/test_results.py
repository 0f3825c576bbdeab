"""The stored results as tables, on small made-up checkpoints."""

import json
import math

import pytest

from normzoo import NORM_LAYERS
from normzoo.analysis.results import METRICS, chance_loss, final_metrics, history, over_seeds, val_accuracy
from normzoo.pretrained.registry import get_model_set, list_model_sets
from tests.support.checkpoints import save_variant, save_zoo


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    save_variant(root, "bn", "toy/three-seeds", seeds=(0, 1, 2), epochs=4)
    return root


@pytest.fixture
def zoo(root):
    return get_model_set("toy/paper", root)


def test_history_has_a_row_for_every_variant_seed_epoch_and_split(zoo):
    table = history(zoo, ["bn", "ln"])
    assert table.problems == {}
    assert len(table.frame) == 2 * 1 * 3 * 2
    assert list(table.frame["variant"].unique()) == ["bn", "ln"]
    row = table.frame[(table.frame["variant"] == "bn") & (table.frame["epoch"] == 2) & (table.frame["split"] == "val")]
    assert row[["seed", "loss", "accuracy"]].to_numpy().tolist() == [[0, 0.75, 0.4]]


def test_over_seeds_gives_mean_sample_deviation_and_n(root):
    frame = history(get_model_set("toy/three-seeds", root), ["bn"]).frame
    averaged = over_seeds(frame, "loss")
    assert len(averaged) == 4 * 2
    last = averaged[(averaged["epoch"] == 4) & (averaged["split"] == "val")].iloc[0]
    assert last["n"] == 3
    assert last["mean"] == pytest.approx(1.5 / 4 + 1)
    assert last["sd"] == pytest.approx(1.0)


def test_over_seeds_of_one_seed_has_no_deviation(zoo):
    averaged = over_seeds(history(zoo, ["bn"]).frame, "accuracy")
    assert averaged["sd"].isna().all()
    assert (averaged["n"] == 1).all()


def test_final_metrics_are_the_stored_ones(zoo):
    frame = final_metrics(zoo, NORM_LAYERS).frame
    assert list(frame["variant"]) == list(NORM_LAYERS)
    bn = frame.set_index("variant").loc["bn"]
    stored = zoo.checkpoints["bn"].metrics
    for split in ("train", "val"):
        for key in METRICS:
            assert bn[f"{split}_{key}"] == stored["final"][split][key]["mean"]
    assert (bn["parameters"], bn["macs"], bn["n"], bn["seeds"]) == (stored["parameters"], stored["macs"], 1, "0")


def test_validation_accuracy_comes_with_its_number_of_seeds(root):
    accuracy, n = val_accuracy(get_model_set("toy/three-seeds", root), "bn")
    assert (accuracy, n) == (pytest.approx(0.511), 3)


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


def test_variants_that_a_set_does_not_have_are_left_out(zoo):
    assert history(zoo, ["nothing"]).frame.empty
    assert final_metrics(zoo, ["nothing", "bn"]).problems == {}


def test_a_missing_figure_is_shown_as_a_dash():
    assert METRICS["accuracy"].text(None) == "–"
    assert METRICS["loss"].text(math.nan) == "–"


def test_guessing_among_25_classes_costs_ln_25():
    assert chance_loss(25) == pytest.approx(3.2189, abs=1e-4)


@pytest.mark.parametrize("model_set", list_model_sets(), ids=lambda model_set: model_set.name)
def test_every_packaged_result_can_be_shown(model_set):
    variants = list(model_set.checkpoints)
    assert model_set.problems == {}
    finals, curves = final_metrics(model_set, variants), history(model_set, variants)
    assert (finals.problems, curves.problems) == ({}, {})
    last = over_seeds(curves.frame[curves.frame["split"] == "val"], "accuracy").groupby("variant")["mean"].last()
    for row in finals.frame.to_dict("records"):
        assert last[row["variant"]] == pytest.approx(row["val_accuracy"], abs=1e-6)
