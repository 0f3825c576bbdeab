"""Harm to pictures: graded, repeatable, and each kind does what its name says."""

import numpy as np
import pytest
from PIL import Image

from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt, corrupt_pixels


def picture():
    """Soft colours with some grain, 32x32."""
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(40, 216, (8, 8, 3), dtype=np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(soft) + rng.normal(0, 8, (32, 32, 3))).clip(0, 255).astype(np.uint8))


def values(image):
    return np.asarray(image).astype(float)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_harm_grows_with_severity(name):
    distances = [np.abs(values(corrupt(picture(), name, severity)) - values(picture())).mean() for severity in SEVERITIES]
    assert distances[0] > 0
    assert distances == sorted(distances)
    assert distances[4] > distances[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_harm_is_repeatable_and_keeps_size_and_mode(name):
    before = picture()
    first, again = corrupt(before, name, 3), corrupt(before, name, 3)
    assert first.size == (32, 32)
    assert first.mode == "RGB"
    np.testing.assert_array_equal(values(first), values(again))
    np.testing.assert_array_equal(values(before), values(picture()))


def test_brightness_goes_up_and_down():
    mean = values(picture()).mean()
    assert values(corrupt(picture(), "brightness_up", 2)).mean() > 1.2 * mean
    assert values(corrupt(picture(), "brightness_down", 2)).mean() == pytest.approx(0.6 * mean, rel=0.02)


def test_contrast_shrinks_the_spread_and_keeps_the_mean():
    harmed = values(corrupt(picture(), "contrast", 2))
    assert harmed.std() < 0.6 * values(picture()).std()
    assert np.array(Image.fromarray(harmed.astype(np.uint8)).convert("L")).mean() == pytest.approx(
        np.array(picture().convert("L")).mean(), abs=1.5
    )


def test_no_saturation_left_is_grey():
    harmed = values(corrupt(picture(), "saturation", 5))
    np.testing.assert_array_equal(harmed[..., 0], harmed[..., 1])
    np.testing.assert_array_equal(harmed[..., 0], harmed[..., 2])


def test_blur_removes_grain_and_noise_adds_it():
    def roughness(image):
        return float(np.abs(np.diff(values(image), axis=1)).mean())

    assert (
        roughness(corrupt(picture(), "gaussian_blur", 5))
        < roughness(picture())
        < roughness(corrupt(picture(), "gaussian_noise", 1))
    )


def test_noise_has_its_standard_deviation_and_depends_on_the_seed():
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    assert values(corrupt(grey, "gaussian_noise", 5)).std() == pytest.approx(25.5, rel=0.05)
    assert (values(corrupt(grey, "gaussian_noise", 5, seed=1)) != values(corrupt(grey, "gaussian_noise", 5))).any()


def test_batch_is_harmed_one_by_one():
    batch = np.stack([np.asarray(picture())] * 2)
    harmed = corrupt_pixels(batch, "gaussian_noise", 1)
    assert harmed.shape == batch.shape
    assert harmed.dtype == np.uint8
    np.testing.assert_array_equal(harmed[1], np.asarray(corrupt(picture(), "gaussian_noise", 1, seed=1)))
