"""Calibration: is a network right as often as it is sure?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normzoo.analysis.statistics import Correct

BINS = 15
FOLDS = 5
#: Draws of answers that are right as often as the network is sure.
DRAWS = 500

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """How well a network's probabilities say how often it is right; of one seed.

    Args:
        ece: expected calibration error, a fraction, over `BINS` bins of equal mass.
        ece_if_perfect: what a perfectly calibrated network as sure as this one would show with so few images.
        nll: mean cross entropy, nats.
        nll_scaled: the same with the logits divided by a temperature that was fitted on other images.
        temperature: mean of the fitted ones; above 1 the network is surer than it should be.
        confidence, accuracy: of each bin, (bins,): the reliability diagram.
    """

    ece: float
    ece_if_perfect: float
    nll: float
    nll_scaled: float
    temperature: float
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


def calibrate(logits: Floats, labels: NDArray[np.int64], seed: int = 0) -> Calibration:
    """Measure the calibration of one network.

    Args:
        logits: (N, classes).
        labels: (N,).
        seed: of the draws and of the folds.

    Reference:
        Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. 2017. arXiv:1706.04599
    """
    probabilities = _softmax(logits)
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    rng = np.random.default_rng(seed)
    drawn = [calibration_error(sure, rng.random(len(sure)) < sure) for _ in range(DRAWS)]
    confidence, accuracy = reliability(sure, right)
    scaled, temperatures = np.empty(len(labels)), []
    folds = rng.permutation(len(labels)) % FOLDS
    for fold in range(FOLDS):
        inside = folds == fold
        temperature = fit_temperature(logits[~inside], labels[~inside])
        temperatures.append(temperature)
        scaled[inside] = _cross_entropy(logits[inside] / temperature, labels[inside])
    return Calibration(
        calibration_error(sure, right),
        float(np.mean(drawn)),
        float(_cross_entropy(logits, labels).mean()),
        float(scaled.mean()),
        float(np.mean(temperatures)),
        tuple(confidence.tolist()),
        tuple(accuracy.tolist()),
    )


def reliability(sure: Floats, right: Correct, bins: int = BINS) -> tuple[Floats, Floats]:
    """Return mean confidence and accuracy of bins that hold as many images each, the least sure first."""
    parts = np.array_split(np.argsort(sure, kind="stable"), min(bins, len(sure)))
    return np.array([sure[part].mean() for part in parts]), np.array([right[part].mean() for part in parts])


def calibration_error(sure: Floats, right: Correct, bins: int = BINS) -> float:
    """Return the mean distance between confidence and accuracy over bins of equal mass."""
    confidence, accuracy = reliability(sure, right, bins)
    return float(np.abs(confidence - accuracy).mean())


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Return the temperature by which logits must be divided for the least cross entropy."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: _cross_entropy(logits / np.exp(log_t), labels).mean(), bounds=(-3, 3), method="bounded"
    )
    return float(np.exp(found.x))


def _softmax(logits: Floats) -> Floats:
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def _cross_entropy(logits: Floats, labels: NDArray[np.int64]) -> Floats:
    shifted = logits - logits.max(1, keepdims=True)
    return np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]
