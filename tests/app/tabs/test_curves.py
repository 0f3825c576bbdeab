"""Curves & metrics without a browser: what it draws, tabulates, says and saves."""

import base64
import csv
import io
import json
import re

import numpy as np
import pytest

from normzoo import NORM_LAYERS
from normzoo.analysis.results import METRICS, confusions
from normzoo.app.core.catalog import Catalog
from normzoo.app.tabs import curves
from normzoo.errors import ConfigError
from tests.support.checkpoints import CLASSES, save_variant, save_zoo, write_answers
from tests.support.visitor import words

OTHER = "toy/seeds/bn"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    save_variant(root, "bn", "toy/seeds", seeds=(0, 1, 2), epochs=5)
    (save_variant(root, "gn", "toy/seeds") / "metrics.json").write_text("{")
    save_variant(root, "bn", "else/paper")
    return root


def chart(plot) -> dict:
    return json.loads(plot.plot)


def draw(catalog, name, variants, *rest):
    return curves.draw(catalog, curves.view_of(catalog, name, variants, *rest))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("splits", curves.SPLIT_CHOICES)
def test_every_metric_and_split_is_drawn_and_its_last_values_told(catalog, metric, splits):
    plot, text, *_ = draw(catalog, "toy/paper", list(NORM_LAYERS), metric, splits)
    assert len(chart(plot)["data"]) == 6 * len(curves.SPLIT_CHOICES[splits])
    assert ("shapes" in chart(plot)["layout"]) == (metric == "loss")  # chance
    last = {"loss": "0.5000", "accuracy": "60.00", "macro_f1": "57.00", "micro_f1": "60.00"}[metric]
    assert words(text).count(f" {last}") == 6 * len(curves.SPLIT_CHOICES[splits])


def test_networks_of_other_sets_of_the_same_data_stand_beside_in_chart_table_and_files(catalog):
    plot, _, table, rows = draw(catalog, "toy/paper", ["bn"], "accuracy", "Validation", 0, None, [OTHER])
    names = [line["name"] for line in chart(plot)["data"] if line.get("name")]
    assert names[0] == "BN"
    assert names[1].startswith("BN · ")
    assert [row["n"] for row in rows] == [1, 3]
    assert table.count('<th scope="row"') == 2
    view = curves.view_of(catalog, "toy/paper", ["bn"], others=[OTHER])
    found = curves.as_file(catalog, view, "csv")[1].decode()
    assert len({row["variant"] for row in csv.DictReader(io.StringIO(found))}) == 2
    for wrong in (["else/paper/bn"], ["toy/seeds/ln"], "toy/seeds/bn", [["bn"]]):
        with pytest.raises(ConfigError, match="Unknown networks"):
            draw(catalog, "toy/paper", ["bn"], "accuracy", "Validation", 0, None, wrong)


def test_logarithmic_axes_have_plain_numbers_and_bands_stay_above_zero(catalog):
    drawn = chart(draw(catalog, "toy/seeds", ["bn"], "loss", "Both", 0.5, ["x", "y"])[0])
    assert drawn["layout"]["xaxis"]["type"] == drawn["layout"]["yaxis"]["type"] == "log"
    assert {"2", "20"} <= set(drawn["layout"]["xaxis"]["ticktext"])
    assert min(min(line["y"]) for line in drawn["data"]) > 0


def test_the_csv_holds_what_is_drawn(catalog):
    _, content = curves.as_file(catalog, curves.view_of(catalog, "toy/seeds", ["bn"], "loss", "Training", 0.5), "csv")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["split"] for row in rows] == ["train"] * 5
    assert [float(row["loss_mean"]) for row in rows] == pytest.approx([1.5 / epoch + 1 for epoch in range(1, 6)])
    assert {(row["n"], row["loss_sd"]) for row in rows} == {("3", "1")}
    plot, *_ = draw(catalog, "toy/seeds", ["bn"], "loss", "Training", 0.5)
    assert [float(row["loss_smoothed_0.5"]) for row in rows] == pytest.approx(chart(plot)["data"][-1]["y"], abs=1e-6)


@pytest.mark.parametrize(
    "wrong", [("speed", "Both"), ("loss", "both"), *(("loss", "Both", 0, axes) for axes in ("xy", ["z"], [["x"]], {"x": 1}, 3))]
)
def test_what_is_unknown_is_refused(catalog, wrong):
    with pytest.raises(ConfigError, match=r"Choose one of|list of x and y"):
        draw(catalog, "toy/paper", ["bn"], *wrong)


def test_the_best_final_figure_is_the_highest_accuracy_and_the_lowest_loss_and_the_csv_has_all(tmp_path):
    for variant, (loss, accuracy) in {"bn": (2.0, 0.6), "gn": (1.0, 0.5)}.items():
        both = {key: {"mean": accuracy, "sd": None, "values": [accuracy]} for key in ("accuracy", "macro_f1", "micro_f1")}
        one = {"loss": {"mean": loss, "sd": None, "values": [loss]}, **both}
        save_variant(tmp_path, variant, final={"val": one, "train": one})
    catalog = Catalog(tmp_path)
    table, _ = curves.tabulate(catalog, curves.view_of(catalog, "toy/paper", ["bn", "gn"]))
    _, bn, gn = re.findall(r"<tr>(?:(?!</tr>).)*</tr>", table)
    assert re.findall(r'class="best" data-value="([^"]+)"', bn) == ["60.0"] * 4
    assert re.findall(r'class="best" data-value="([^"]+)"', gn) == ["1.0"] * 2
    full = base64.b64decode(re.search(r"text/csv[^,]*,([^\"]+)", table)[1]).decode()
    assert {f"{split}_{key}" for split in ("val", "train") for key in METRICS} <= set(full.splitlines()[0].split(","))


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Of 100 photos BN gets all right, GN none, LN all but one; the other norms were never trained."""
    root = tmp_path_factory.mktemp("unequal")
    labels = [0, 1, 2, 3] * 25
    write_answers(save_variant(root, "bn"), labels, labels)
    write_answers(save_variant(root, "gn"), labels, [1, 2, 3, 0] * 25)
    write_answers(save_variant(root, "ln"), labels, [1, *labels[1:]])
    return Catalog(root)


def test_confusion_counts_every_seed_and_agrees_with_scikit_learn(tmp_path):
    from sklearn.metrics import precision_recall_fscore_support

    labels, answers = [0, 0, 1, 1, 2, 3], ([0, 1, 1, 1, 2, 0], [0, 0, 2, 1, 2, 2])
    write_answers(save_variant(tmp_path, "bn", seeds=(0, 1)), labels, *answers)
    found = confusions(Catalog(tmp_path).get("toy/paper"), ["bn"])[0]["bn"]
    assert found.counts[0].tolist() == [3, 1, 0, 0]
    expected = np.mean([precision_recall_fscore_support(labels, said, zero_division=0)[:3] for said in answers], axis=0)
    np.testing.assert_allclose([found.precision, found.recall, found.f1], expected)


def test_one_network_is_a_matrix_and_two_are_a_difference(unequal):
    model_set = unequal.get("toy/paper")
    _, plot, data = curves.tell_confusion(model_set, "gn", "", "")
    heat = chart(plot)["data"][0]
    assert (heat["z"][0], heat["text"][0]) == ([0, 100, 0, 0], ["", "25", "", ""])
    assert data["counts"]["gn"][0] == [0, 25, 0, 0]
    text, plot, data = curves.tell_confusion(model_set, "bn", "gn", "ant")
    assert chart(plot)["data"][0]["z"][0] == [100, -100, 0, 0]
    assert words(text).count("images of ant") == 2
    assert list(data["counts"]) == ["bn", "gn"]


def test_classes_are_ordered_by_how_well_they_are_known(unequal):
    _, plot, table, data = curves.tell_classes(unequal.get("toy/paper"), ["bn", "ln"])
    heat = chart(plot)["data"][0]
    assert heat["x"] == ["BN", "LN"]
    assert heat["z"][0] == [100, 100]
    assert data["ln"]["ant"] == pytest.approx(48 / 49)
    assert "bee &lt;b&gt;" in table


def test_a_clicked_cell_is_told_with_its_class_and_nonsense_refused(unequal):
    model_set = unequal.get("toy/paper")
    text = words(curves.tell(model_set, ["ln", "bn"], *CLASSES[:2]))
    assert "1 of 25 images" in text
    assert "0 of 25 images" in text
    assert "24 of 25" in text
    for networks, *classes in (
        (["xx"], *CLASSES[:2]),
        ([None], CLASSES[0]),
        (["bn"], "", CLASSES[1]),
        (["bn"], CLASSES[0], "x"),
    ):
        with pytest.raises(ConfigError, match=r"Unknown (network|class)"):
            curves.tell(model_set, networks, *classes)
    assert "0 of 25" in words(curves.tell(model_set, ["gn"], CLASSES[0]))
