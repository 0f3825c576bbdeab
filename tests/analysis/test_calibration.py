"""Calibration: the error, what is expected of it, and the temperature."""

import numpy as np
import pytest

from normzoo.analysis import calibration
from normzoo.analysis.calibration import calibrate, calibration_error, fit_temperature, reliability

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
