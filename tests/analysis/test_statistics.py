"""Intervals, paired tests and their correction, against values from the literature, by hand, from the normal distribution."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from normzoo.analysis.statistics import (
    McNemar,
    accuracy_interval,
    auroc_half_width,
    change_interval,
    difference_interval,
    epochs_to,
    holm,
    kendall_tau,
    mcnemar,
    mean_accuracy_interval,
    wilson_interval,
)


def right(*counts: int) -> np.ndarray:
    """So many images right, so many wrong, and so on in turn."""
    return np.concatenate([np.full(count, position % 2 == 0) for position, count in enumerate(counts)])


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # no larger p-value becomes the smaller one
        ([0.2], [0.2]),
        ([0.6, 0.5, 0.4], [1, 1, 1]),
        ([0.01, 0.01], [0.02, 0.02]),
        ([], []),
    ],
)
def test_p_values_are_corrected_for_how_many_there_are(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)


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
    assert mean_accuracy_interval(right(18, 2)[None]) == interval


def test_the_interval_over_seeds_holds_how_far_they_lie_apart():
    same = mean_accuracy_interval(np.stack([right(700, 300)] * 3))
    apart = mean_accuracy_interval(np.stack([right(count, 1000 - count) for count in (600, 700, 800)]))
    assert same.value == apart.value == pytest.approx(0.7)
    half = 1.96 * np.sqrt(0.7 * 0.3 / 1000)  # images alone: three times the same answers tell no more than once
    assert (same.low, same.high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.003)
    assert apart.high - apart.low > 2 * (same.high - same.low)


def test_a_difference_is_paired():
    first, second = np.stack([right(550, 50, 400)] * 2), np.stack([right(500, 50, 400, 50)] * 2)
    first[:, -50:] = False
    found, back = difference_interval(first, second), difference_interval(second, first)
    assert found.value == -back.value == pytest.approx(first.mean() - second.mean())
    apart = (first[0] != second[0]).mean()
    half = 1.96 * np.sqrt((apart - found.value**2) / 1000)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.003)
    assert difference_interval(first, first).low == difference_interval(first, first).high == 0


def test_a_change_is_held_against_that_of_the_control():
    before, after = np.stack([right(700, 300)]), np.stack([right(600, 400)])
    assert change_interval(before, after, before, after).value == 0
    alone = change_interval(before, after, before, before)
    assert alone.value == pytest.approx(-0.1)
    assert alone.low < -0.1 < alone.high < 0


def test_how_soon_and_in_which_order():
    assert [epochs_to([0.2, 0.5, 0.4, 0.7], level) for level in (0.1, 0.5, 0.6, 0.8)] == [1, 2, 4, None]
    assert kendall_tau([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)


def test_the_interval_of_an_area_under_the_curve_is_that_of_many_draws():
    """Scores of two normal distributions, drawn anew: the estimates lie within the half width 95 times of 100."""
    draw = np.random.default_rng(0)
    labels = np.repeat([1, 0], [100, 300])
    found = [roc_auc_score(labels, draw.normal(1.2 * labels, 1)) for _ in range(400)]
    width = auroc_half_width(float(np.mean(found)), 100, 300)
    assert np.mean(np.abs(found - np.mean(found)) < width) == pytest.approx(0.95, abs=0.03)
