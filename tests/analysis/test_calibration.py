"""Calibration: the error, the temperature, and what is said of them."""

import re

import numpy as np
import pytest

from normzoo.analysis.calibration import calibrate, calibration_error, fit_temperature, reliability
from normzoo.analysis.findings.calibration import calibration_finding

COUNT, CLASSES = 4000, 5


def made_up(surer: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a network that is right as often as it is sure, then multiplied; and labels drawn from its own
    probabilities.
    """
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(COUNT, CLASSES))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) > rng.random((COUNT, 1))).argmax(1)
    return surer * logits, labels


@pytest.mark.parametrize("surer", [0.5, 1.0, 2.0])
def test_the_temperature_is_the_factor_by_which_a_network_is_too_sure(surer: float) -> None:
    logits, labels = made_up(surer)
    assert fit_temperature(logits, labels) == pytest.approx(surer, rel=0.05)
    found = calibrate(logits, labels)
    assert found.temperature == pytest.approx(surer, rel=0.05)
    assert found.nll_scaled == pytest.approx(calibrate(*made_up(1.0)).nll, abs=2e-3)
    assert (found.ece > 2 * found.ece_if_perfect) == (surer != 1)
    assert len(found.confidence) == len(found.accuracy) == 15


def test_the_error_is_the_mean_distance_over_bins_of_equal_mass() -> None:
    sure = np.array([0.5, 0.5, 0.9, 0.9])
    right = np.array([True, False, True, False])
    assert reliability(sure, right, bins=2)[0].tolist() == [0.5, 0.9]
    assert calibration_error(sure, right, bins=2) == pytest.approx((0.0 + 0.4) / 2)


def test_who_is_too_sure_is_said() -> None:
    found = {variant: [calibrate(*made_up(surer))] for variant, surer in {"bn": 1.5, "in": 0.6, "gn": 1.0}.items()}
    finding = calibration_finding(found)
    assert (
        "surer than they should be (over-confident): BN; less sure than they should be (under-confident): IN."
        in finding.paragraphs[1]
    )
    assert finding.summary.startswith("expected calibration error, and that of a perfectly calibrated network")
    assert re.search(r"go from [\d.]+% and [\d.]+% \(GN\) to [\d.]+% and [\d.]+% \((BN|IN)\) \(n = 1\)\.$", finding.summary)
    assert calibration_finding({}).paragraphs == []
