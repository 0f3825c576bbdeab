"""Results without a browser: who beats whom, the original study, confusions and classes."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from normzoo.analysis.comparisons import pairs
from normzoo.analysis.confusion import Confusion, confusions
from normzoo.analysis.findings.pairs import pairs_finding
from normzoo.analysis.findings.reference import reference_finding
from normzoo.analysis.reference_study import final_figures
from normzoo.app import build_demo
from normzoo.app.components.findings import finding_html, tables_html
from normzoo.app.components.html import NO_NETWORKS
from normzoo.app.core.catalog import Catalog
from normzoo.app.tabs.results import comparisons as versus
from normzoo.app.tabs.results import confusion, per_class
from normzoo.app.tabs.results import tab as results
from normzoo.errors import ConfigError
from tests.support.checkpoints import CLASSES, save_variant, save_zoo, write_answers
from tests.support.html_words import words


def test_the_best_final_figure_is_the_highest_accuracy_and_the_lowest_loss(tmp_path):
    figures = {"bn": (2.0, 0.6), "gn": (1.0, 0.5)}
    for variant, (loss, accuracy) in figures.items():
        both = {key: {"mean": accuracy, "sd": None, "values": [accuracy]} for key in ("accuracy", "macro_f1", "micro_f1")}
        one = {"loss": {"mean": loss, "sd": None, "values": [loss]}, **both}
        save_variant(tmp_path, variant, final={"val": one, "train": one})
    table, _ = results.tabulate(Catalog(tmp_path).get("toy/paper"), ["bn", "gn"])
    _, bn, gn = re.findall(r"<tr>(?:(?!</tr>).)*</tr>", table)
    assert re.findall(r'class="best" data-value="([^"]+)"', bn) == ["60.0"] * 6
    assert re.findall(r'class="best" data-value="([^"]+)"', gn) == ["1.0"] * 2


@pytest.mark.parametrize(("labels", "said"), [([0, 1, 2, 3] * 2, ""), ([0] * 5 + [1, 2, 2, 3], "from 1 validation photos of")])
def test_what_unequal_classes_do_to_f1_is_said_where_they_are_unequal(tmp_path, labels, said):
    write_answers(save_variant(tmp_path, "bn"), labels, labels)
    table, _ = results.tabulate(Catalog(tmp_path).get("toy/paper"), ["bn"])
    assert ("The classes are not equally frequent" in table) == bool(said)
    if said:
        told = words(table)
        assert f"{said} {CLASSES[1]} to 5 of {CLASSES[0]}." in told
        assert "For BN micro F1 is 51.00%, macro F1 49.00%." in told


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Of 100 photos BN gets all right, GN none, LN all but one; the other norms were never trained."""
    root = tmp_path_factory.mktemp("unequal")
    labels = [0, 1, 2, 3] * 25
    write_answers(save_variant(root, "bn"), labels, labels)
    write_answers(save_variant(root, "gn"), labels, [1, 2, 3, 0] * 25)
    write_answers(save_variant(root, "ln"), labels, [1, *labels[1:]])
    return Catalog(root)


def test_who_beats_whom_is_in_the_matrix_and_in_words(unequal):
    frame = pairs(unequal.get("toy/paper"), ["bn", "gn", "ln"]).frame
    text = words(versus.draw(frame) + finding_html(pairs_finding(frame, ["bn", "gn", "ln"])))
    assert "BN beats GN; is not told apart from LN." in text
    assert "GN is beaten by BN and LN." in text
    assert "over 3 pairs" in text
    assert "▲ better, +100.00" in text
    assert "▼ worse, -100.00" in text
    assert "≈ not told apart, +1.00" in text


def test_the_pairs_tested_do_not_depend_on_the_networks_shown(unequal):
    functions = {event.api_name: event.fn for event in build_demo(_root_of(unequal)).fns.values()}
    matrix, table, _, rows = functions["compare_networks"]("toy/paper", ["bn", "ln"])
    assert "over 3 pairs" in words(matrix)
    assert [(row["first"], row["second"]) for row in rows] == [("bn", "ln")]
    assert "BN − LN" in words(table)
    assert functions["compare_networks"]("toy/paper", ["bn"])[0] == versus.TOO_FEW


@pytest.fixture
def comparable(monkeypatch):
    """Toys have four classes, the original study 25."""
    monkeypatch.setattr("normzoo.analysis.findings.reference.is_comparable", lambda model_set: True)


def test_a_set_of_other_classes_is_not_held_against_the_original(unequal):
    finding = reference_finding(unequal.get("toy/paper"), ["bn", "gn"], pd.DataFrame())
    assert (finding.tables, finding.points) == ([], [])
    assert "other classes: nothing here can be held against it" in finding.paragraphs[0]


@pytest.mark.usefixtures("comparable")
def test_the_original_is_beside_ours_with_caveats(unequal):
    model_set = unequal.get("toy/paper")
    finding = reference_finding(model_set, ["bn", "gn", "ln"], pairs(model_set, ["bn", "gn", "ln"]).frame)
    text = words(tables_html(finding, "both.csv") + finding_html(finding))
    theirs = final_figures("bn")["val"]["accuracy"]
    ours = model_set.checkpoints["bn"].metrics["final"]["val"]["accuracy"]["mean"]
    assert f"BN {100 * ours:.2f} {100 * theirs:.2f} " in text
    assert "Of the original's 3 orders of two networks, 2 hold here by more than chance; 1 is not decided (LN over BN)" in text
    assert "256×256" in text
    assert "divided by the batch size" in text


@pytest.mark.usefixtures("comparable")
def test_the_first_recipe_is_compared_with_the_original_first_recipe(tmp_path):
    for variant in ("bn", "gn"):
        save_variant(tmp_path, variant, "toy/paper-sgd")
    finding = reference_finding(Catalog(tmp_path).get("toy/paper-sgd"), ["bn", "gn"], pd.DataFrame())
    assert "30.14" in words(tables_html(finding, "both.csv"))
    assert "GN" not in words(tables_html(finding, "both.csv"))


@pytest.mark.usefixtures("comparable")
def test_another_recipe_is_said_to_differ(tmp_path):
    save_variant(tmp_path, "bn", "toy/strong", provenance={"recipe": {"batch_size": 64, "lr": 0.1, "optimizer": "sgd"}})
    finding = reference_finding(Catalog(tmp_path).get("toy/strong"), ["bn"], pd.DataFrame())
    assert any("optimizer sgd (original adam), learning rate 0.1 (original 0.0001)" in point for point in finding.points)


def test_confusion_counts_every_seed_and_agrees_with_scikit_learn(tmp_path):
    from sklearn.metrics import precision_recall_fscore_support

    labels, answers = [0, 0, 1, 1, 2, 3], ([0, 1, 1, 1, 2, 0], [0, 0, 2, 1, 2, 2])
    write_answers(save_variant(tmp_path, "bn", seeds=(0, 1)), labels, *answers)
    found = confusions(Catalog(tmp_path).get("toy/paper"), ["bn"])[0]["bn"]
    assert found.counts[0].tolist() == [3, 1, 0, 0]
    expected = np.mean([precision_recall_fscore_support(labels, said, zero_division=0)[:3] for said in answers], axis=0)
    np.testing.assert_allclose([found.precision, found.recall, found.f1], expected)


def test_what_a_class_is_taken_for_is_told(tmp_path):
    counts = np.array([[[6, 3, 1, 0], [2, 8, 0, 0], [0, 0, 10, 0], [0, 0, 10, 0]]])
    found = Confusion(counts)
    text = confusion.about("BN", found, CLASSES, 0)
    assert text.startswith(
        f"BN recognizes 6 of 10 photos of ant: recall 60.0%. It takes the others most often for {CLASSES[1]} (3)"
    )
    assert (
        f"Of the 8 times that it says ant, 6 are right: precision 75.0%. Otherwise it was most often {CLASSES[1]} (2)." in text
    )
    assert "It never says dune." in confusion.about("BN", found, CLASSES, 3)
    assert "It takes none of them for anything else." in confusion.about("BN", found, CLASSES, 2)
    assert confusion.mistakes("BN", found, CLASSES).startswith(f"BN most often takes dune for {CLASSES[2]} (10 of 10), ant for")


def test_one_network_is_a_matrix_and_two_are_a_difference(unequal):
    model_set = unequal.get("toy/paper")
    _, plot, data = confusion.tell(model_set, "gn", "", "")
    assert json.loads(plot.plot)["data"][0]["z"][0] == [0, 100, 0, 0]
    assert data["counts"]["gn"][0] == [0, 25, 0, 0]
    text, plot, data = confusion.tell(model_set, "bn", "gn", "ant")
    assert json.loads(plot.plot)["data"][0]["z"][0] == [100, -100, 0, 0]
    assert words(text).count("photos of ant") == 2
    assert list(data["counts"]) == ["bn", "gn"]


@pytest.mark.parametrize("choice", [("fog", "", ""), ("bn", "fog", ""), ("bn", "", "fog"), (None, "", ""), (["bn"], "", "")])
def test_an_unknown_network_or_class_is_refused(unequal, choice):
    with pytest.raises(ConfigError, match="Choose one of"):
        confusion.tell(unequal.get("toy/paper"), *choice)


def test_classes_are_ordered_by_how_well_they_are_known(unequal):
    text, plot, table, data = per_class.tell(unequal.get("toy/paper"), ["bn", "ln"])
    heat = json.loads(plot.plot)["data"][0]
    assert heat["x"] == ["BN", "LN"]
    assert heat["z"][0] == [100, 100]
    assert data["ln"]["ant"] == pytest.approx(48 / 49)
    assert "Best, alone or with others, of 4 classes: BN in 4, LN in 2." in words(text)
    assert "bee &lt;b&gt;" in table


def _root_of(catalog: Catalog) -> Path:
    return next(iter(catalog.get("toy/paper").checkpoints.values())).folder.parents[2]


def test_a_clicked_cell_is_told_with_its_class(unequal):
    model_set = unequal.get("toy/paper")
    text = words(confusion.tell_cell(model_set, "ln", "bn", CLASSES[0], CLASSES[1]))
    assert f"LN takes 1 of 25 photos of {CLASSES[0]} for {CLASSES[1]}." in text
    assert f"BN takes 0 of 25 photos of {CLASSES[0]} for {CLASSES[1]}." in text
    assert "LN recognizes 24 of 25" in text
    assert " for " not in words(confusion.tell_cell(model_set, "bn", "", CLASSES[0], CLASSES[0])).partition(":")[0]
    for wrong in (("xx", "", CLASSES[0], CLASSES[1]), ("bn", "", "", CLASSES[1]), ("bn", "", CLASSES[0], "unicorn")):
        with pytest.raises(ConfigError, match=r"Unknown (network|class)"):
            confusion.tell_cell(model_set, *wrong)
    assert "GN recognizes 0 of 25" in words(per_class.tell_cell(model_set, ["bn", "gn"], "GN", CLASSES[0]))
    for name, label in (("XX", CLASSES[0]), ("GN", "unicorn")):
        with pytest.raises(ConfigError, match="Click again"):
            per_class.tell_cell(model_set, ["bn", "gn"], name, label)


def test_calibration_is_told_for_the_networks_that_are_shown(tmp_path):
    root = save_zoo(tmp_path)
    functions = {event.api_name: event.fn for event in build_demo(root).fns.values()}
    plot, told, table, points = functions["calibration"]("toy/paper", ["bn", "gn"])
    lines = json.loads(plot.plot)["data"]
    assert [line.get("name") for line in lines] == [None, "BN", "GN"]
    assert {point["variant"] for point in points} == {"bn", "gn"}
    assert all(0 <= point["accuracy"] <= 1 for point in points)
    assert "A calibrated network is right as often as it is sure." in told
    assert table.count("<tr") == 3
    assert functions["calibration"]("toy/paper", [])[1] == NO_NETWORKS
