"""Intervals and tests for networks evaluated on the same images, and for their ranking."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
#: Below this, after Holm's correction, a difference is significant.
SIGNIFICANT = 0.05
RESAMPLES = 2_000

Correct = NDArray[np.bool_]
Floats = NDArray[np.float64]
#: Seed -> which images that run gets right, (N,).
Runs = Mapping[int, Correct]


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RunVariance:
    """Variance of accuracy between runs of one network with different seeds, pooled over several networks."""

    variance: float
    df: int

    @property
    def sd(self) -> float:
        """Its root; NaN without two runs of any network."""
        return math.sqrt(self.variance) if self.df else math.nan


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of mean accuracies, such as a difference of two, with its t test.

    Args:
        estimate: with its 95% interval.
        p_value: two-sided, that it is 0; not a number where some network was trained only once: the interval is then over
        images
            alone, unless others of its kind say how much runs differ.
        runs: how many of each network.
    """

    estimate: Interval
    standard_error: float
    df: float
    p_value: float
    runs: tuple[int, ...]


def pooled_run_variance(networks: Iterable[Runs]) -> RunVariance:
    """Return the variance of accuracy between runs, pooled over networks."""
    means = [np.array([float(run.mean()) for run in runs.values()]) for runs in networks if len(runs) > 1]
    df = sum(len(each) - 1 for each in means)
    return RunVariance(sum(float(((each - each.mean()) ** 2).sum()) for each in means) / df if df else 0.0, df)


def compare(first: Runs, second: Runs, between_runs: RunVariance) -> Contrast:
    """Return the accuracy of the first minus that of the second."""
    return contrast([first, second], [1.0, -1.0], between_runs)


def contrast(networks: Sequence[Runs], weights: Sequence[float], between_runs: RunVariance) -> Contrast:
    """Return the weighted sum of mean accuracies of networks, with runs and images as random effects.

    Crossed random effects. With D[s, i] the weighted sum for seed s and image i, the variance of the estimate is
    (MS_images - MS_residual) / (seeds · N), of the seeds that all have, plus `between_runs` times the sum of weight² / runs. A
    seed pairs nothing across networks but what an image varies from run to run. Degrees of freedom after Satterthwaite.

    Args:
        networks: runs of each, on the same N images.
        weights: of each network, such as 1 and -1.
        between_runs: from `pooled_run_variance`.

    Reference:
        Bouthillier et al., Accounting for variance in machine learning benchmarks, 2021, arXiv:2103.03098. Miller, Adding error
        bars to evals, 2024, arXiv:2411.00640. Satterthwaite, An approximate distribution of estimates of variance components,
        1946.
    """
    from scipy.stats import t as student  # here, as below: nobody who starts the page should wait for it

    value = float(sum(weight * accuracy(runs) for weight, runs in zip(weights, networks, strict=True)))
    of_images, count = _image_variance(networks, weights)
    of_runs = between_runs.variance * sum(weight**2 / len(runs) for weight, runs in zip(weights, networks, strict=True))
    variance = of_images + of_runs
    shares = (of_runs**2 / between_runs.df if between_runs.df else 0.0) + of_images**2 / (count - 1)
    df, error = variance**2 / shares if shares else math.inf, math.sqrt(variance)
    half = error * float(student.ppf((1 + LEVEL) / 2, df))
    p_value = math.nan
    if between_runs.df and min(map(len, networks)) > 1:
        p_value = 2 * float(student.sf(abs(value) / error, df)) if error else float(value == 0)
    return Contrast(Interval(value, value - half, value + half), error, df, p_value, tuple(map(len, networks)))


def accuracy(runs: Runs) -> float:
    """Return the mean over runs and images."""
    return float(np.mean([run.mean() for run in runs.values()]))


def _image_variance(networks: Sequence[Runs], weights: Sequence[float]) -> tuple[float, int]:
    """Return the variance of a contrast due to images, and the number of images.

    Without two seeds common to all networks the residual cannot be removed, so this is conservative.
    """
    seeds = sorted(set.intersection(*(set(runs) for runs in networks)))
    if len(seeds) < 2:
        means = (weight * np.mean(list(runs.values()), axis=0) for weight, runs in zip(weights, networks, strict=True))
        by_image = np.sum(list(means), axis=0)
        return float(by_image.var(ddof=1)) / len(by_image), len(by_image)
    table = np.sum([w * np.stack([runs[s] for s in seeds]) for w, runs in zip(weights, networks, strict=True)], axis=0)
    count = table.shape[1]
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    of_residual = float((residual**2).sum()) / ((len(seeds) - 1) * (count - 1))
    of_images = len(seeds) * float(table.mean(0).var(ddof=1))
    return max(of_images - of_residual, 0.0) / (len(seeds) * count), count


def mean_accuracy(runs: Runs, between_runs: RunVariance | None = None) -> Interval:
    """Return the mean accuracy with its interval over runs and images; for one run Wilson's, over images.

    Args:
        between_runs: pooled over similar networks; None: of this one alone.
    """
    if len(runs) == 1:
        return accuracy_interval(next(iter(runs.values())))
    found = contrast([runs], [1.0], between_runs or pooled_run_variance([runs])).estimate
    return Interval(found.value, max(0.0, found.low), min(1.0, found.high))


def accuracy_interval(correct: Correct) -> Interval:
    """Return the accuracy of one trained network on images, (N,), with its Wilson interval."""
    return wilson_interval(float(correct.mean()), len(correct))


def wilson_interval(share: float, count: int) -> Interval:
    """Return a share of `count` images with its Wilson interval.

    For a mean of shares, such as accuracy over several corruptions of the same images, it is conservative.

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    z = 1.959963984540054
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))  # 0 and 1 but for rounding, at the ends


@dataclass(frozen=True)
class McNemar:
    """Difference of two classifiers on the same images."""

    only_first: int  # images that only the first got right
    only_second: int
    p_value: float  # exact, two-sided


def mcnemar(first: Correct, second: Correct) -> McNemar:
    """Return the exact test that two networks err equally often on the same images, both (N,).

    Reference:
        McNemar, Note on the sampling error of the difference between correlated proportions or percentages, 1947.
        Dietterich, Approximate statistical tests for comparing supervised classification learning algorithms, 1998.
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    count = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, count).pvalue) if count else 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm-corrected p-values in their order; NaNs stay and do not count.

    Reference:
        Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    values = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(len(values), np.nan)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]  # NaNs are last
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return [float(value) for value in corrected]


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-b of two rankings: 1 the same, -1 reversed; NaN if one has only ties.

    Reference:
        Kendall, A new measure of rank correlation, 1938.
    """
    return float(_kendall_taus(np.asarray(first, dtype=np.float64)[None], np.asarray(second, dtype=np.float64))[0])


def _kendall_taus(drawn: Floats, other: Floats) -> Floats:
    """Return tau-b of each row, (draws, things), with one ranking, (things,)."""
    i, j = np.triu_indices(drawn.shape[1], 1)
    rows, fixed = np.sign(drawn[:, i] - drawn[:, j]), np.sign(other[i] - other[j])
    untied = np.sqrt((rows**2).sum(1) * (fixed**2).sum())
    taus: Floats = np.divide(rows @ fixed, untied, out=np.full(len(rows), np.nan), where=untied > 0)
    return taus


def kendall_interval(networks: Sequence[Runs], other: Sequence[float]) -> Interval:
    """Return Kendall's tau between mean accuracies of networks and a fixed ranking, with its percentile bootstrap interval.

    Resamples images, the same for all networks, and the runs of each network.

    Args:
        other: values of the fixed ranking; higher is better.
    """
    rng = np.random.default_rng(0)
    cells = [np.stack(list(runs.values())).astype(np.float64) for runs in networks]
    count = cells[0].shape[1]
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    drawn = []
    for cell in cells:
        chosen = rng.integers(len(cell), size=(len(cell), RESAMPLES))
        drawn.append(np.take_along_axis(cell @ weights.T, chosen, axis=0).mean(0))
    taus = _kendall_taus(np.stack(drawn, axis=1), np.asarray(other, dtype=np.float64))
    low, high = np.nanquantile(taus, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(kendall_tau([accuracy(runs) for runs in networks], other), float(low), float(high))


def auroc_covariance(scores: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Return the AUROC of several detectors on the same cases, and the covariance of the estimates.

    Args:
        scores: for each detector those of the positive cases, (P,), and of the negative ones, (M,).

    Returns:
        (detectors,) and (detectors, detectors).

    Reference:
        DeLong, DeLong, Clarke-Pearson, Comparing the areas under two or more correlated receiver operating characteristic
        curves, 1988; by ranks as Sun and Xu, 2014.
    """
    from scipy.stats import rankdata

    of_positives, of_negatives = [], []
    for positive, negative in scores:
        ranks = rankdata(np.concatenate([positive, negative]))
        of_positives.append((ranks[: len(positive)] - rankdata(positive)) / len(negative))
        of_negatives.append(1 - (ranks[len(positive) :] - rankdata(negative)) / len(positive))
    above, below = np.stack(of_positives), np.stack(of_negatives)
    return above.mean(1), np.atleast_2d(np.cov(above)) / above.shape[1] + np.atleast_2d(np.cov(below)) / below.shape[1]
