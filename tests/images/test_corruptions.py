"""Corruptions of pictures: graded, repeatable, and each kind does what its name says."""

import math

import numpy as np
import pytest
from PIL import Image

from normzoo.errors import ConfigError
from normzoo.images.corruptions import ALL_SEVERITIES, CORRUPTIONS, check_corruption, corrupt, corrupt_pixels


def picture():
    """Soft colours with some grain, 32x32."""
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(40, 216, (8, 8, 3), dtype=np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(soft) + rng.normal(0, 8, (32, 32, 3))).clip(0, 255).astype(np.uint8))


def values(image):
    return np.asarray(image).astype(float)


def corrupted(name, severity):
    return values(corrupt(picture(), name, severity))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_grows_with_severity_is_repeatable_and_leaves_the_picture(name):
    before = picture()
    steps = [corrupt(before, name, severity) for severity in ALL_SEVERITIES]
    distances = [np.abs(values(step) - values(picture())).mean() for step in steps]
    assert distances[0] == 0 < distances[1]
    assert distances == sorted(distances)
    assert distances[5] > distances[1]
    assert {(step.size, step.mode) for step in steps} == {((32, 32), "RGB")}
    np.testing.assert_array_equal(corrupted(name, 3), values(steps[3]))
    np.testing.assert_array_equal(values(before), values(picture()))


def test_each_kind_does_what_its_name_says():
    original, grey = values(picture()), np.array(picture().convert("L"))
    assert corrupted("brightness_up", 2).mean() > 1.2 * original.mean()
    assert corrupted("brightness_down", 2).mean() == pytest.approx(0.6 * original.mean(), rel=0.02)
    contrast = corrupt(picture(), "contrast", 2)
    assert values(contrast).std() < 0.6 * original.std()
    assert np.array(contrast.convert("L")).mean() == pytest.approx(grey.mean(), abs=1.5)
    assert np.ptp(corrupted("saturation", 5), axis=2).max() == 0

    def roughness(image):
        return float(np.abs(np.diff(image, axis=1)).mean())

    assert roughness(corrupted("gaussian_blur", 5)) < roughness(original) < roughness(corrupted("gaussian_noise", 1))


def test_noise_has_its_standard_deviation_and_each_picture_of_a_batch_its_own():
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    assert values(corrupt(grey, "gaussian_noise", 5)).std() == pytest.approx(25.5, rel=0.05)
    batch = corrupt_pixels(np.stack([np.asarray(picture())] * 2), "gaussian_noise", 1)
    assert batch.dtype == np.uint8
    for seed, each in enumerate(batch):
        np.testing.assert_array_equal(each, np.asarray(corrupt(picture(), "gaussian_noise", 1, seed)))
    assert (batch[0] != batch[1]).any()


@pytest.mark.parametrize(
    ("kind", "severity"),
    [("rain", 1), (None, 1), (["jpeg"], 1), *(("jpeg", severity) for severity in (6, -1, 1.5, "2", None, True, [2], math.nan))],
)
def test_what_is_no_kind_or_no_severity_is_refused(kind, severity):
    with pytest.raises(ConfigError, match=r"Choose one of: brightness_up|severity must be a whole number from 0 to 5"):
        check_corruption(kind, severity)
