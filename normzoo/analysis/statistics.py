"""Intervals and paired tests for classifiers that saw the same images, and figures of how they learned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 10_000

Correct = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """Difference of two classifiers on the same images."""

    only_first: int  # images that only the first got right
    only_second: int
    p_value: float  # exact, two-sided


def accuracy_interval(correct: Correct) -> Interval:
    """The accuracy of one trained network and its Wilson interval over images.

    Args:
        correct: which images it got right, (N,).
    """
    return wilson_interval(int(correct.sum()) / len(correct), len(correct))


def mean_accuracy_interval(correct: Correct) -> Interval:
    """The mean accuracy over seeds and its percentile bootstrap interval over images and seeds; for one seed, Wilson's.

    Args:
        correct: (seeds, N).
    """
    if len(correct) == 1:
        return accuracy_interval(correct[0])
    return _bootstrap(correct.astype(np.float64))


def mcnemar(first: Correct, second: Correct) -> McNemar:
    """The exact test that two networks, each trained once, err equally often on the same images, both (N,).

    Reference:
        McNemar, Note on the sampling error of the difference between correlated proportions or percentages, 1947.
        Dietterich, Approximate statistical tests for comparing supervised classification learning algorithms, 1998.
    """
    from scipy.stats import binomtest  # here, as below: nobody who starts the page should wait for it

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    count = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, count).pvalue) if count else 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, in their order.

    Reference:
        Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values)[order]), 1)
    return [float(value) for value in corrected]


def difference_interval(first: Correct, second: Correct) -> Interval:
    """First accuracy minus second, both (seeds, N) on the same images, with a paired bootstrap interval.

    Images are drawn once for both; seeds, if there are several, as well.
    """
    return _bootstrap(first.astype(np.float64) - second)


def change_interval(first: Correct, second: Correct, control_first: Correct, control_second: Correct) -> Interval:
    """Return how much more the accuracy changes from `first` to `second` than from one control to the other.

    All are (seeds, N) on the same images, drawn together in a paired bootstrap.
    """
    changes = [after.astype(np.float64) - before for before, after in ((first, second), (control_first, control_second))]
    return _bootstrap(changes[0] - changes[1])


def wilson_interval(share: float, count: int) -> Interval:
    """Return a share of `count` images with its Wilson interval.

    For a mean of shares, such as accuracy over several corruptions of the same images, it is wider than needed: the variance of
    an image's mean is at most that of a yes or no.

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    z = 1.959963984540054
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))  # 0 and 1 but for rounding, at the ends


def _bootstrap(scores: NDArray[np.float64]) -> Interval:
    """Mean of (seeds, N) scores; the percentile interval when images and seeds are drawn again.

    Scores are few different numbers: how often each is drawn among N images is multinomial, which spares drawing N images.
    """
    rng = np.random.default_rng(0)
    seeds, count = scores.shape
    drawn, times = np.unique(np.sort(rng.integers(seeds, size=(RESAMPLES, seeds)), axis=1), axis=0, return_counts=True)
    means = []
    for chosen, resamples in zip(drawn, times, strict=True):
        values, frequencies = np.unique(scores[chosen].sum(0), return_counts=True)
        means.append(rng.multinomial(count, frequencies / count, size=resamples) @ values / (count * seeds))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(scores.mean()), float(low), float(high))


def epochs_to(accuracies: Sequence[float], level: float) -> int | None:
    """The first epoch, from 1, whose accuracy is at least `level`; None where there is none."""
    return next((epoch for epoch, accuracy in enumerate(accuracies, start=1) if accuracy >= level), None)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Agreement of two orders of the same things: 1 the same, -1 reversed (Kendall, 1938)."""
    from scipy.stats import kendalltau

    return float(kendalltau(first, second).statistic)


def auroc_half_width(auroc: float, positives: int, negatives: int) -> float:
    """Half of the 95% interval of an area under the ROC curve, over the cases of both kinds.

    Reference:
        Hanley and McNeil, The meaning and use of the area under a receiver operating characteristic (ROC) curve, 1982.
    """
    both_positive, both_negative = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc)
    variance += (positives - 1) * (both_positive - auroc**2) + (negatives - 1) * (both_negative - auroc**2)
    return 1.96 * float(np.sqrt(variance / (positives * negatives)))
