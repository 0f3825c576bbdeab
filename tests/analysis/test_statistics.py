"""Intervals, tests and calibration, against values from the literature, by hand, and by simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, kendalltau, ttest_rel
from sklearn.metrics import roc_auc_score

from normzoo.analysis import calibration
from normzoo.analysis.calibration import calibrate, calibration_error, fit_temperature, reliability
from normzoo.analysis.statistics import (
    SIGNIFICANT,
    McNemar,
    accuracy_interval,
    auroc_covariance,
    contrast,
    holm,
    kendall_interval,
    kendall_tau,
    mcnemar,
    mean_accuracy,
    pooled_run_variance,
    wilson_interval,
)
from normzoo.findings import Evidence
from normzoo.findings.pairs import compare_pairs
from normzoo.pretrained.registry import list_model_sets


def right(*counts):
    """So many images right, so many wrong, and so on in turn."""
    return np.concatenate([np.full(count, position % 2 == 0) for position, count in enumerate(counts)])


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # no larger p-value becomes the smaller one
        ([0.2], [0.2]),
        ([0.6, 0.5, 0.4], [1, 1, 1]),
        ([0.01, 0.01], [0.02, 0.02]),
        ([0.01, float("nan"), 0.02], [0.02, float("nan"), 0.02]),  # what was not tested does not count
        ([], []),
    ],
)
def test_p_values_are_corrected_for_how_many_there_are(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected, nan_ok=True)


def test_two_networks_are_compared_by_the_images_that_one_alone_gets_right():
    first, second = right(60, 2, 10, 28), np.concatenate([right(60), right(2), right(0, 10), right(0, 28)])
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (10, 2)
    assert found.p_value == pytest.approx(2 * (1 + 12 + 66) / 2**12)  # of 12 fair coins, 2 or fewer, both sides
    assert mcnemar(second, first).p_value == pytest.approx(found.p_value)
    assert mcnemar(first, first) == McNemar(0, 0, 1.0)


def test_the_interval_of_an_accuracy_is_wilsons():
    interval = accuracy_interval(right(18, 2))
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.9, 0.6990, 0.9721), abs=1e-4)
    for hits in range(21):
        theirs, ours = binomtest(hits, 20).proportion_ci(0.95, method="wilson"), wilson_interval(hits / 20, 20)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12, abs=1e-15)
        assert 0 <= ours.low < ours.high <= 1
    assert mean_accuracy({0: right(18, 2)}) == interval


def test_the_interval_over_runs_holds_how_far_they_lie_apart():
    same = mean_accuracy({seed: right(700, 300) for seed in range(3)})
    apart = mean_accuracy({seed: right(count, 1000 - count) for seed, count in enumerate((600, 700, 800))})
    assert same.value == apart.value == pytest.approx(0.7)
    half = 1.96 * np.sqrt(0.7 * 0.3 / 1000)  # images alone: three times the same answers tell no more than once
    assert (same.low, same.high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.002)
    assert apart.high - apart.low > 2 * (same.high - same.low)


def test_with_one_run_each_a_difference_is_the_paired_one_over_images_and_is_not_tested():
    first, second = right(550, 450), right(500, 100, 20, 380)
    found = contrast([{0: first}, {0: second}], [1, -1], pooled_run_variance([{0: first}, {0: second}]))
    interval = ttest_rel(first.astype(float), second.astype(float)).confidence_interval()
    assert (found.estimate.low, found.estimate.high) == pytest.approx((interval.low, interval.high))
    assert np.isnan(found.p_value)
    # Nor where only one of the two was trained again.
    again = [{0: first, 1: right(560, 440), 2: right(530, 470)}, {0: second}]
    assert np.isnan(contrast(again, [1, -1], pooled_run_variance(again)).p_value)


def test_a_contrast_of_four_is_the_change_beyond_the_controls():
    before, after = {0: right(700, 300), 1: right(690, 310)}, {0: right(600, 400), 1: right(610, 390)}
    cells = [before, after, before, after]
    found = contrast(cells, [-1, 1, 1, -1], pooled_run_variance(cells))
    assert found.estimate.value == pytest.approx(0)
    assert found.estimate.low < 0 < found.estimate.high
    assert contrast([before, after], [-1, 1], pooled_run_variance(cells)).estimate.value == pytest.approx(-0.09)


def simulate(rng, gaps, seeds, images=1250):
    """Networks whose accuracies differ by `gaps`: the difficulty of images and the luck of runs are random, crossed."""
    easy, own = rng.normal(size=images), 0.5
    networks = []
    for gap in gaps:
        taste = own * rng.normal(size=images)
        runs = {}
        for seed in range(seeds):
            luck = rng.normal(0, 0.02)
            runs[seed] = easy + taste + luck + gap + 0.8 * rng.normal(size=images) > 0
        networks.append(runs)
    return networks


@pytest.mark.parametrize("seeds", [2, 5])
def test_seeds_make_the_test_stronger_and_errors_stay_rare(seeds):
    """Six equal norms: some pair is called significant in at most about 5 of 100; and power grows with seeds."""
    rng, wrong, found = np.random.default_rng(seeds), 0, 0
    for _ in range(60):
        networks = simulate(rng, (0.0,) * 5 + (0.17,), seeds)
        variance = pooled_run_variance(networks)
        pairs = list(itertools.combinations(range(6), 2))
        corrected = holm([contrast([networks[a], networks[b]], [1, -1], variance).p_value for a, b in pairs])
        significant = {pair for pair, p in zip(pairs, corrected, strict=True) if p < SIGNIFICANT}
        wrong += any(5 not in pair for pair in significant)
        found += sum(5 in pair for pair in significant)
    assert wrong <= 8  # of 60; 3 are expected, and 9 or more of that are rarer than one in 200
    power = found / (5 * 60)
    assert power > (0.85 if seeds == 5 else 0.35)


def test_the_packaged_networks_give_the_counts_of_an_independent_computation():
    """Of 15 pairs each, by a referee's own code on the same logits; and one row of his."""
    sets = list_model_sets()
    expected = {
        "tiny-imagenet-25/paper": 12,
        "tiny-imagenet-25/strong": 9,
        "tiny-imagenet-25-64px/strong": 11,
        "tiny-imagenet-25/paper,lr=0.001": 9,
    }
    seeds = {"tiny-imagenet-25/paper": 5, "tiny-imagenet-25/strong": 3}
    checked = 0
    for model_set in sets:
        first = next(iter(model_set.checkpoints.values()))
        if model_set.name in expected and len(first.metrics["seeds"]) == seeds.get(model_set.name, 2):
            pairs = compare_pairs(Evidence(model_set, sets))
            assert sum(pair.is_significant for pair in pairs) == expected[model_set.name], model_set.name
            checked += 1
            if model_set.recipe == "paper":
                (pair,) = (pair for pair in pairs if {pair.first, pair.second} == {"bn", "bin"})
                assert pair.difference.estimate.value == pytest.approx(0.0258, abs=5e-5)
                assert pair.difference.standard_error == pytest.approx(0.0072, abs=5e-5)
                assert pair.p_value == pytest.approx(0.0043, abs=5e-5)
    assert checked


def test_in_which_order():
    for first, second in (([1, 2, 3, 4], [10, 20, 40, 30]), ([1, 2, 2, 4], [3, 1, 1, 0]), ([4, 3, 2, 2], [1, 2, 3, 3])):
        assert kendall_tau(first, second) == pytest.approx(kendalltau(first, second).statistic)
    assert np.isnan(kendall_tau([1, 1, 1], [1, 2, 3]))


def test_an_order_is_as_sure_as_its_differences():
    networks = [{0: right(count, 1000 - count), 1: right(count + 2, 998 - count)} for count in (500, 700, 900)]
    clear = kendall_interval(networks, [1, 2, 3])
    assert (clear.value, clear.low, clear.high) == (1, 1, 1)
    even = [{0: right(count, 1000 - count), 1: right(0, 1000 - count, count)} for count in (500, 501)]
    close = kendall_interval(even, [1, 2])
    assert (close.low, close.high) == (-1, 1)


def test_areas_under_the_curve_vary_together_as_over_many_draws():
    """Scores of two detectors that share their noise, drawn anew: areas and the deviation of their difference."""
    draw = np.random.default_rng(0)
    found, told = [], []
    for _ in range(300):
        shared = draw.normal(size=400)
        scores = []
        for shift in (1.2, 1.0):
            values = shared + 0.5 * draw.normal(size=400) + shift * np.repeat([1, 0], [100, 300])
            scores.append((values[:100], values[100:]))
        areas, covariance = auroc_covariance(scores)
        found.append(areas[0] - areas[1])
        told.append(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert np.std(found) == pytest.approx(np.sqrt(np.mean(told)), rel=0.12)
    labels = np.repeat([1, 0], [100, 300])
    assert areas[1] == pytest.approx(roc_auc_score(labels, np.concatenate(scores[1])))


COUNT, CLASSES = 4000, 5


def made_up(surer, seed=0):
    """Logits of a network that is right as often as it is sure, then multiplied; and labels drawn from its own
    probabilities.
    """
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(COUNT, CLASSES))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) > rng.random((COUNT, 1))).argmax(1)
    return surer * logits, labels


@pytest.mark.parametrize("surer", [0.5, 1.0, 2.0])
def test_the_temperature_is_the_factor_by_which_a_network_is_too_sure(surer):
    logits, labels = made_up(surer)
    assert fit_temperature(logits, labels) == pytest.approx(surer, rel=0.05)
    found = calibrate(logits, labels)
    assert found.temperature == pytest.approx(surer, rel=0.05)
    assert found.nll_scaled == pytest.approx(calibrate(*made_up(1.0)).nll, abs=2e-3)
    assert (found.ece > found.expected_ece_high) == (surer != 1)
    assert found.expected_ece < found.expected_ece_high < 3 * found.expected_ece
    assert len(found.confidence) == len(found.accuracy) == 15


def test_the_error_is_the_mean_distance_over_bins_of_equal_mass():
    sure = np.array([0.5, 0.5, 0.9, 0.9])
    right = np.array([True, False, True, False])
    assert reliability(sure, right, bins=2)[0].tolist() == [0.5, 0.9]
    assert calibration_error(sure, right, bins=2) == pytest.approx((0.0 + 0.4) / 2)


def test_the_temperature_is_judged_on_images_that_it_was_not_fitted_on(monkeypatch):
    logits, labels = made_up(1.0)
    fitted = []
    monkeypatch.setattr(calibration, "fit_temperature", lambda part, _: fitted.append(part) or 1.0 + len(fitted))
    found = calibrate(logits[:500], labels[:500])
    rows = {row.tobytes(): place for place, row in enumerate(logits[:500])}
    scaled = np.zeros(500)
    for temperature, part in enumerate(fitted, start=2):
        unseen = sorted(set(range(500)) - {rows[row.tobytes()] for row in part})
        assert len(unseen) == 100
        shifted = logits[unseen] / temperature
        scaled[unseen] = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(100), labels[unseen]]
    assert found.nll_scaled == pytest.approx(scaled.mean())
