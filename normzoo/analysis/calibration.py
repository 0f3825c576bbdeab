"""Calibration: does confidence match accuracy?"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normzoo.analysis.results import read_each
from normzoo.analysis.statistics import Correct
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import ModelSet

BINS = 15
FOLDS = 5
#: Number of simulations of perfect calibration.
DRAWS = 500

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Calibration of one run.

    Args:
        ece: expected calibration error, a fraction, over `BINS` bins of equal mass.
        expected_ece, expected_ece_high: its mean and 95% point under perfect calibration, for this confidence and number of
            images.
        nll: mean cross entropy, nats.
        nll_scaled: the same with the logits divided by a temperature fitted on other images.
        temperature: mean over the folds; above 1 the network is overconfident.
        confidence, accuracy: reliability diagram, (bins,).
    """

    ece: float
    expected_ece: float
    expected_ece_high: float
    nll: float
    nll_scaled: float
    temperature: float
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


def calibrate(logits: Floats, labels: NDArray[np.int64], seed: int = 0) -> Calibration:
    """Compute the calibration of one network.

    Args:
        logits: (N, classes).
        labels: (N,).
        seed: of the draws and of the folds.

    Reference:
        Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. 2017. arXiv:1706.04599
    """
    probabilities = _softmax(logits)
    confidences, correct = probabilities.max(1), probabilities.argmax(1) == labels
    rng = np.random.default_rng(seed)
    drawn = _expected_errors(confidences, rng)
    confidence, accuracy = reliability(confidences, correct)
    scaled, temperatures = np.empty(len(labels)), []
    folds = rng.permutation(len(labels)) % FOLDS
    for fold in range(FOLDS):
        inside = folds == fold
        temperature = fit_temperature(logits[~inside], labels[~inside])
        temperatures.append(temperature)
        scaled[inside] = _cross_entropy(logits[inside] / temperature, labels[inside])
    return Calibration(
        calibration_error(confidences, correct),
        float(np.mean(drawn)),
        float(np.quantile(drawn, 0.95)),
        float(_cross_entropy(logits, labels).mean()),
        float(scaled.mean()),
        float(np.mean(temperatures)),
        tuple(confidence.tolist()),
        tuple(accuracy.tolist()),
    )


def calibrations(model_set: ModelSet, variants: Iterable[str]) -> tuple[dict[str, list[Calibration]], dict[str, str]]:
    """Return the calibration of every run of each variant, and the reason for each that cannot be read."""
    return read_each(model_set, variants, _of_runs)


def _of_runs(checkpoint: Checkpoint) -> list[Calibration]:
    logits, labels = checkpoint.val_logits()
    return [calibrate(each.double().numpy(), labels.numpy()) for each in logits.values()]


def reliability(confidence: Floats, correct: Correct, bins: int = BINS) -> tuple[Floats, Floats]:
    """Return mean confidence and accuracy of bins of equally many images, lowest confidence first."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), min(bins, len(confidence)))
    return np.array([confidence[part].mean() for part in parts]), np.array([correct[part].mean() for part in parts])


def calibration_error(confidence: Floats, correct: Correct, bins: int = BINS) -> float:
    """Return the mean distance between confidence and accuracy over bins of equal mass."""
    means, accuracy = reliability(confidence, correct, bins)
    return float(np.abs(means - accuracy).mean())


def _expected_errors(confidence: Floats, rng: np.random.Generator, bins: int = BINS) -> Floats:
    """Return calibration errors of simulated outcomes, each correct with the probability of its confidence."""
    ordered = np.sort(confidence)
    parts = np.array_split(np.arange(len(ordered)), min(bins, len(ordered)))
    drawn = rng.random((DRAWS, len(ordered))) < ordered
    gaps = [np.abs(drawn[:, part].mean(1) - ordered[part].mean()) for part in parts]
    errors: Floats = np.mean(gaps, axis=0)
    return errors


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Return the temperature that minimizes the cross entropy of the logits divided by it."""
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
