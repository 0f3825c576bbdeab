"""Findings: their numbers are those of the stored results, and what was not measured is no finding."""

import numpy as np
import pandas as pd
import pytest

from normzoo.findings import COMMON, OF_A_SET, Evidence, find_all
from normzoo.findings.accuracy import accuracy_finding, lead_words
from normzoo.findings.batch_size import batch_size_finding, ghost_batches_finding
from normzoo.findings.changes import image_size_finding, recipe_change_finding
from normzoo.findings.learning_rate import best_rates, learning_rate_finding, rated
from normzoo.findings.original_study import original_study_finding
from normzoo.findings.pairs import compare_pairs, pairs_finding, ranks, similar
from normzoo.findings.parity import parity_finding
from normzoo.findings.recipe_search import recipe_search_finding
from normzoo.nn.registry import NORM_LAYERS
from normzoo.plotting import matplotlib, plotly
from normzoo.pretrained.registry import list_model_sets
from tests.support.checkpoints import CLASSES, save_variant, save_zoo, write_answers

IMAGES = 200


def save(root, name, variant, *hits, provenance=None, image_size=32):
    """A variant whose run of each seed gets so many of the images right: the first ones."""
    seeds = tuple(range(len(hits)))
    folder = save_variant(root, variant, name, seeds, image_size=image_size, provenance=provenance or {"commit": None})
    labels = [place % len(CLASSES) for place in range(IMAGES)]
    answers = [[label if i < count else (label + 1) % len(CLASSES) for i, label in enumerate(labels)] for count in hits]
    write_answers(folder, labels, *answers)


def evidence_of(root, name):
    sets = list_model_sets(root)
    return Evidence(next(each for each in sets if each.name == name), sets)


def test_every_finding_of_the_packaged_networks_can_be_drawn_and_says_how_to_make_it_again():
    sets = list_model_sets()
    shown = next(each for each in sets if each.name == "tiny-imagenet-25/paper")
    found = {finding.key: finding for finding in find_all(Evidence(shown, sets))}
    assert set(found) <= {*OF_A_SET, *COMMON}
    assert {"accuracy", "pairs", "learning-rate", "batch-size", "image-size", "parity", "original-study"} <= set(found)
    for finding in found.values():
        assert finding.headline.endswith(".")
        assert finding.method
        assert all(command.startswith("python -m training ") for command in finding.commands)
        assert finding.commands
        for table in finding.tables:
            numbers, texts = table.frames
            assert numbers.shape == texts.shape
            assert len(texts)
        if finding.chart:
            assert plotly.draw(finding.chart)["data"]
            assert matplotlib.draw(finding.chart).axes
            assert len(finding.chart.frame())


def test_a_set_of_which_nothing_was_measured_has_few_findings_and_no_error(tmp_path):
    evidence = evidence_of(save_zoo(tmp_path), "toy/paper")
    keys = [finding.key for finding in find_all(evidence)]
    assert "ood" not in keys
    assert "batch-statistics" not in keys
    assert "learning-rate" not in keys
    assert accuracy_finding(Evidence(evidence.shown, [])) is not None


def test_clear_differences_make_an_order_and_close_norms_stand_together(tmp_path):
    for variant, hits in {"bn": (180, 182, 181), "in": (60, 62, 61), "gn": (120, 121, 122), "ln": (121, 120, 122)}.items():
        save(tmp_path, "toy/paper", variant, *hits)
    evidence = evidence_of(tmp_path, "toy/paper")
    pairs = compare_pairs(evidence)
    assert similar(pairs) == [["bn"], ["gn", "ln"], ["in"]]
    assert ranks(pairs) == {"bn": (1, 1), "gn": (2, 3), "ln": (2, 3), "in": (4, 4)}
    finding = pairs_finding(evidence)
    assert "BN > GN and LN > IN" in finding.headline
    assert finding.headline.startswith("5 of 6 ")
    assert lead_words(evidence).startswith("BN 90.5% leads;")
    row = dict(zip(finding.tables[0].texts["Pair"], finding.tables[0].numbers["Difference (points)"], strict=True))
    assert row["BN − IN"] == pytest.approx(60)


def test_with_one_run_each_nothing_is_significant(tmp_path):
    save(tmp_path, "toy/paper", "bn", 190)
    save(tmp_path, "toy/paper", "gn", 50)
    finding = pairs_finding(evidence_of(tmp_path, "toy/paper"))
    assert finding.tables[0].texts["Significant"] == ["no"]
    assert finding.tables[0].texts["p (Holm)"] == ["–"]
    assert "n = 1" in finding.headline


def test_each_norm_at_its_best_rate(tmp_path):
    for name, rate, hits in (("toy/paper", 1e-4, (150, 100)), ("toy/paper,lr=0.001", 1e-3, (100, 160))):
        for variant, right in zip(("bn", "gn"), hits, strict=True):
            save(tmp_path, name, variant, right, right + 2, provenance={"recipe": {"lr": rate}})
    # Another change of the recipe is no learning rate.
    save(tmp_path, "toy/paper,last_norm=nn", "bn", 199, provenance={"recipe": {"lr": 1e-4}})
    evidence = evidence_of(tmp_path, "toy/paper")
    best = best_rates(rated(evidence, "paper")[0])
    assert [(key, each.rate) for key, each in best.items()] == [("gn", 1e-3), ("bn", 1e-4)]
    finding = learning_rate_finding(evidence)
    assert finding.chart is not None
    assert finding.chart.frame()["x"].unique().tolist() == [1e-4, 1e-3]
    assert finding.tables[0].numbers["Validation accuracy (%)"] == pytest.approx([80.5, 75.5])
    change = recipe_change_finding(evidence)
    assert change.tables[0].numbers["Change (points)"] == pytest.approx([24.0])
    assert change.tables[0].texts["Significant"] == ["no"]


def test_the_batch_size_counts_beyond_what_it_does_to_the_control(tmp_path):
    runs = [("bn-bs8", 8, 150), ("bn", 32, 140), ("bn-bs128", 128, 60), ("gn-bs8", 8, 150), ("gn-bs128", 128, 100)]
    for variant, size, hits in runs:
        save(tmp_path, "toy/paper", variant, hits, hits + 2, provenance={"recipe": {"batch_size": size}})
    finding = batch_size_finding(evidence_of(tmp_path, "toy/paper"))
    assert "−45.0 points for BN and by −25.0 for GN" in finding.headline
    assert "−20.0 (" in finding.headline
    assert finding.tables[0].numbers["Batch size"] == [8, 32, 128, 8, 128]


def test_larger_images_are_compared_with_the_same_photos(tmp_path):
    for name, size, hits in (("toy/strong", 32, 100), ("toy-64px/strong", 64, 150)):
        data = {"data": {"digest": "d", "num_train": 100, "num_val": IMAGES}}
        save(tmp_path, name, "bn", hits, hits + 2, provenance=data, image_size=size)
    save(tmp_path, "others-64px/strong", "bn", 20, 22, image_size=64)
    finding = image_size_finding(evidence_of(tmp_path, "toy/strong"))
    assert finding.tables[0].numbers["Change (points)"] == pytest.approx([25.0])
    assert image_size_finding(evidence_of(tmp_path, "others-64px/strong")) is None


@pytest.mark.parametrize(
    ("theirs", "verdict"), [((100, 101, 99), "no significant difference"), ((20, 21, 22), "a significant")]
)
def test_parity_is_a_difference_with_its_interval(tmp_path, theirs, verdict):
    save(tmp_path, "toy/paper", "bn", 100, 100, 100)
    assert parity_finding(evidence_of(tmp_path, "toy/paper")) is None
    save(tmp_path, "toy/paper", "torch-bn", *theirs)
    finding = parity_finding(evidence_of(tmp_path, "toy/paper"))
    assert verdict in finding.headline
    assert finding.tables[0].numbers["Difference (points)"] == pytest.approx([(100 - hits) / 2 for hits in theirs])


def test_the_original_study_is_held_against_its_own_reproduction_alone(tmp_path):
    assert original_study_finding(evidence_of(save_zoo(tmp_path), "toy/paper")) is None
    classes = 25
    assert len(CLASSES) != classes, "nor are as many classes enough"
    sets = list_model_sets()
    finding = original_study_finding(Evidence(next(each for each in sets if each.name == "tiny-imagenet-25/paper"), sets))
    places = dict(
        zip(finding.tables[0].texts["Network"], finding.tables[0].numbers["Validation accuracy original (%)"], strict=True)
    )
    assert places["BIN"] == pytest.approx(82.74)


def test_the_best_recipe_of_the_search_has_the_best_mean_over_all_norms(tmp_path):
    recipe = {"recipe": {"lr": 0.2, "clip_norm": 1.0}}
    save(tmp_path, "toy/strong", "bn", 100, provenance=recipe)
    evidence = evidence_of(tmp_path, "toy/strong")
    assert recipe_search_finding(evidence) is None
    scores = {"s,lr=0.2,clip_norm=1.0": 0.7, "s,lr=0.1": 0.6, "s,lr=0.4": 0.9}
    rows = [
        {"recipe": name, "variant": norm, "seed": 0, "epochs": 15, "holdout": 0.1, "holdout_accuracy": score}
        for name, score in scores.items()
        for norm in NORM_LAYERS
        if name != "s,lr=0.4" or norm in ("nn", "bn")  # never tried with all
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "toy/search.csv", index=False)
    finding = recipe_search_finding(evidence)
    assert "`lr=0.2, clip_norm=1.0` has the highest mean" in finding.headline
    assert "it is the recipe" in finding.headline
    assert finding.tables[0].numbers["Mean of all"][:2] == pytest.approx([70, 60])
    assert np.isnan(finding.tables[0].numbers["Mean of all"][2])


def test_ghost_batches_are_compared_with_the_statistics_of_whole_batches(tmp_path):
    provenance = {"recipe": {"name": "paper", "batch_size": 32}, "data": {"digest": "d", "num_train": 100}}
    hits = {"paper": (150, 152, 151), "paper,statistics_batch=16": (150, 151), "paper,statistics_batch=2": (100, 101)}
    for recipe, counts in hits.items():
        save(tmp_path, f"toy/{recipe}", "bn", *counts, provenance=provenance)
    save(tmp_path, "toy/paper", "gn", 10, provenance=provenance)
    evidence = evidence_of(tmp_path, "toy/paper")
    numbers, _ = ghost_batches_finding(evidence).tables[0].frames
    assert list(numbers["Norm"]) == ["BN"] * 3, "a norm without ghost batches is not in it"
    assert list(numbers["Images that share statistics"]) == [2, 16, 32]
    means = [100 * np.mean(hits[name]) / IMAGES for name in reversed(hits)]
    assert list(numbers["Validation accuracy (%)"]) == pytest.approx(means)
    assert list(numbers["Change (points)"])[:2] == pytest.approx([means[0] - means[2], means[1] - means[2]])
    assert list(numbers["Significant"]) == ["yes", "no", "–"]
    assert recipe_change_finding(evidence) is None
    assert ghost_batches_finding(evidence_of(save_zoo(tmp_path / "other"), "toy/paper")) is None
