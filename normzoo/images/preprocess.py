"""Pictures: from untrusted bytes to RGB, from RGB to what the networks see."""

import numpy as np
from PIL import Image
from torch import Tensor

from normzoo.images.decode import load_image

__all__ = ["RESIZE_RULE", "load_image", "to_input", "to_pixels"]

#: What `to_pixels` does, by the name that checkpoints carry.
RESIZE_RULE = "center-crop-box"


def to_pixels(image: Image.Image, image_size: int) -> np.ndarray:
    """The largest central square of an RGB picture, reduced to what a network of this image size sees.

    Each output pixel is the average of the box of input pixels that it covers (64 -> 32: of 2x2), rounded by Pillow
    once along the rows and once along the columns. This one function prepares both the training images and the photos
    that people upload.

    Returns:
        uint8, (image_size, image_size, 3).
    """
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side)) if width != height else image
    return np.asarray(square.resize((image_size, image_size), Image.Resampling.BOX))


def to_input(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels as stored -> the normalized input of a network.

    Args:
        pixels: (N, H, W, 3), values 0…255 in any dtype.
        mean, std: of the training images per colour, (3,), in fractions of full scale.

    Returns:
        float32, (N, 3, H, W), contiguous.
    """
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
