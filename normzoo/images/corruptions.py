"""Graded corruptions of an image: exposure, contrast, saturation, blur, noise, JPEG, pixelation."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from normzoo.errors import ConfigError

SEVERITIES = (1, 2, 3, 4, 5)
#: 0: the original.
ALL_SEVERITIES = (0, *SEVERITIES)


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption; `levels` are its settings at severity 1 to 5."""

    title: str
    setting: str  # what a level is, in words
    levels: tuple[float, float, float, float, float]
    definition: str  # exact enough to write it again
    apply: Callable[[Image.Image, float, int], Image.Image]


def _brightness(image: Image.Image, factor: float, seed: int) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _noise(image: Image.Image, sd: float, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 255 * sd, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).round().clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: float, seed: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(quality))
    return Image.open(file).convert("RGB")


def _pixelate(image: Image.Image, share: float, seed: int) -> Image.Image:
    size = (max(1, int(image.width * share)), max(1, int(image.height * share)))
    return image.resize(size, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


#: key -> kind, in the order of every table. Contrast, blur, noise and JPEG have the levels of CIFAR-10-C.
CORRUPTIONS: dict[str, Corruption] = {
    "brightness_up": Corruption(
        "brighter",
        "factor of every value",
        (1.2, 1.4, 1.7, 2.1, 2.6),
        "value · factor, rounded down and clipped to 0…255",
        _brightness,
    ),
    "brightness_down": Corruption(
        "darker",
        "factor of every value",
        (0.8, 0.6, 0.45, 0.3, 0.2),
        "value · factor, rounded down and clipped to 0…255",
        _brightness,
    ),
    "contrast": Corruption(
        "less contrast",
        "distance from the mean grey, as a factor",
        (0.75, 0.5, 0.4, 0.3, 0.15),
        "m + factor · (value − m) with m the image's mean of 0.299 R + 0.587 G + 0.114 B, rounded to a level",
        lambda image, factor, seed: ImageEnhance.Contrast(image).enhance(factor),
    ),
    "saturation": Corruption(
        "less saturation",
        "distance from grey, as a factor",
        (0.8, 0.6, 0.4, 0.2, 0.0),
        "g + factor · (value − g) with g the pixel's own 0.299 R + 0.587 G + 0.114 B",
        lambda image, factor, seed: ImageEnhance.Color(image).enhance(factor),
    ),
    "gaussian_blur": Corruption(
        "blur",
        "standard deviation in pixels",
        (0.4, 0.6, 0.7, 0.8, 1.0),
        "Pillow's GaussianBlur: three box filters with that total deviation, edge pixels repeated",
        lambda image, sigma, seed: image.filter(ImageFilter.GaussianBlur(sigma)),
    ),
    "gaussian_noise": Corruption(
        "noise",
        "standard deviation, share of full scale",
        (0.04, 0.06, 0.08, 0.09, 0.1),
        "normal noise added to every value, rounded, clipped to 0…255, seeded by the number of the image",
        _noise,
    ),
    "jpeg": Corruption(
        "JPEG",
        "quality",
        (80, 65, 58, 50, 40),
        "saved and read by Pillow at that quality, colours at half resolution (4:2:0)",
        _jpeg,
    ),
    "pixelate": Corruption(
        "pixelation",
        "share of the pixels kept along each side",
        (0.75, 0.625, 0.5, 0.375, 0.25),
        "averaged over boxes to that share of the side, rounded down, then each pixel repeated",
        _pixelate,
    ),
}


def check_corruption(kind: object, severity: object) -> tuple[str, int]:
    """Check a kind and a severity, 0 to 5, that may come from anyone."""
    if not isinstance(kind, str) or kind not in CORRUPTIONS:
        raise ConfigError(f"Unknown corruption. Choose one of: {', '.join(CORRUPTIONS)}.")
    if isinstance(severity, bool) or not isinstance(severity, int | float) or severity not in ALL_SEVERITIES:
        raise ConfigError(f"severity must be a whole number from 0 to {SEVERITIES[-1]}.")
    return kind, int(severity)


def corrupt(image: Image.Image, name: str, severity: int, seed: int = 0) -> Image.Image:
    """Return the corrupted image; severity 0 does not change it.

    Apply it at the input size of the network, as in the study: reducing a large photo would remove the same blur or noise.

    Args:
        image: RGB, any size.
        name: a key of `CORRUPTIONS`.
        severity: 0 to 5.
        seed: of the noise.

    Reference:
        Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019.
    """
    name, severity = check_corruption(name, severity)
    if severity == 0:
        return image
    kind = CORRUPTIONS[name]
    return kind.apply(image, kind.levels[severity - 1], seed)


def corrupt_pixels(pixels: np.ndarray, name: str, severity: int) -> np.ndarray:
    """Return a batch of images, corrupted one by one; the noise of image i has seed i.

    Args:
        pixels: uint8, (N, H, W, 3).

    Returns:
        uint8, (N, H, W, 3).
    """
    corrupted = [np.asarray(corrupt(Image.fromarray(each), name, severity, seed)) for seed, each in enumerate(pixels)]
    return np.stack(corrupted)
