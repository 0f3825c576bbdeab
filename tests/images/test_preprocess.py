"""What the networks see: the central square, averaged, corrupted; then normalized."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from normzoo.errors import ConfigError
from normzoo.images.corruptions import ALL_SEVERITIES, CORRUPTIONS, check_corruption, corrupt, corrupt_pixels
from normzoo.images.preprocess import load_image, to_input, to_pixels
from tests.support.image_files import BLUE, GREEN, RED, plain, save


def noise(width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@cache
def scene(width, height):
    """Soft shapes with some grain, like a photo."""
    rng = np.random.default_rng(0)
    shapes = Image.fromarray(rng.integers(0, 256, (height // 64, width // 64, 3), dtype=np.uint8))
    grain = Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).convert("RGB")
    return Image.blend(shapes.resize((width, height), Image.Resampling.BICUBIC), grain, 0.1)


def test_to_pixels_from_64_to_32_is_the_mean_of_2_by_2():
    image = noise(64, 64)
    pixels = np.asarray(image).astype(int)
    across = (pixels[:, 0::2] + pixels[:, 1::2] + 1) // 2  # Pillow averages along rows, then along columns,
    expected = (across[0::2] + across[1::2] + 1) // 2  # and rounds half up both times
    np.testing.assert_array_equal(to_pixels(image, 32), expected)
    for width, height in ((96, 64), (64, 96), (97, 64), (64, 65)):  # of others the central square
        left, top = (width - 64) // 2, (height - 64) // 2
        around = noise(width, height)
        around.paste(image, (left, top))
        np.testing.assert_array_equal(to_pixels(around, 32), expected)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 1000), (333, 200)])
def test_to_pixels_gives_its_size_from_any_size(size):
    pixels = to_pixels(plain((10, 20, 30), size=size), 32)
    assert pixels.shape == (32, 32, 3)
    assert (pixels == (10, 20, 30)).all()


def test_to_input_normalizes_each_colour():
    pixels = torch.tensor([[0, 51, 255], [255, 102, 0]], dtype=torch.uint8).reshape(1, 1, 2, 3)
    mean, std = torch.tensor([0.5, 0.2, 0.0]), torch.tensor([0.5, 0.1, 2.0])
    expected = torch.tensor([[[-1.0, 1.0]], [[0.0, 2.0]], [[0.5, 0.0]]]).reshape(1, 3, 1, 2)
    torch.testing.assert_close(to_input(pixels, mean, std), expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 768), (1024, 768)),
        ((1025, 768), (513, 384)),
        ((768, 2050), (256, 684)),
        ((4000, 500), (1000, 250)),  # more than 4 times as long: the middle 2000
        ((3000, 40), (1024, 40)),
        ((40, 3000), (40, 1024)),
    ],
)
def test_load_image_reduces_large_pictures(size, expected):
    assert load_image(save(plain(size=size), "PNG")).size == expected


def test_load_image_keeps_the_middle_of_a_long_picture():
    strip = plain(RED, size=(9000, 90))
    strip.paste(GREEN, (3900, 0, 5100, 90))
    strip.paste(BLUE, (4455, 0, 4545, 90))
    image = load_image(save(strip, "PNG"))
    assert (to_pixels(image, 32) == BLUE).all()
    assert image.getpixel((0, 0)) == GREEN


@pytest.mark.parametrize(
    ("size", "file_format"), [((4000, 3000), "JPEG"), ((2160, 3840), "JPEG"), ((1600, 1067), "JPEG"), ((1600, 1067), "PNG")]
)
def test_the_networks_see_the_same_average_of_a_reduced_picture(size, file_format):
    file = save(scene(*size), file_format)
    seen = to_pixels(load_image(file), 32).astype(int)
    unreduced = to_pixels(scene(*size), 32).astype(int)
    assert np.abs(seen - unreduced).mean() < 1.5
    assert np.abs(seen - unreduced).max() < 12


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
