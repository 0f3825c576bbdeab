"""From an untrusted file to an image, at bounded cost; from an image to the input of a network.

Each format that browsers show is recognized by its signature and has one decoder, so no other plugin of Pillow (EPS starts
Ghostscript) ever runs. Images never contain memory that the file did not write (`tests/support/memory_patterns.py`), and look
as in a browser (`tests/browser/test_pictures.py`).
"""

import re
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from normzoo.errors import ImageError
from normzoo.images.convert import MAX_SIDE, on_white, reduce_keeping_colours, reduce_to_rgb, to_srgb, upright
from normzoo.images.formats import AVIF, BMP, GIF, JPEG, TIFF, WEBP
from normzoo.images.limits import MAX_BYTES, Decoded, Format, check_bytes, in_sentences
from normzoo.images.png import PNG

_UNKNOWN = "This file is not a picture in a supported format; save it as JPEG or PNG and try again."
_OWN_ALONE = "{} pictures are not supported here; save this one as JPEG or PNG and try again."
_HEIC = (
    "HEIC pictures are not supported; save this one as JPEG and try again "
    "(on an iPhone set Settings, Camera, Formats to Most Compatible)."
)
_UNOPENED = "The file could not be opened; choose it again."

_SIGNATURES: tuple[tuple[re.Pattern[bytes], Format], ...] = tuple(
    (re.compile(signature, re.DOTALL), found)
    for signature, found in (
        (rb"\xff\xd8\xff", JPEG),
        (rb"\x89PNG\r\n\x1a\n", PNG),
        (rb"RIFF....WEBP", WEBP),
        (rb"GIF8[79]a", GIF),
        (rb"BM", BMP),
        (rb"II[*+]\0|MM\0[*+]", TIFF),
    )
)


def load_image(source: bytes | str | Path, max_side: int = MAX_SIDE, *, allow_tiff: bool = False) -> Image.Image:
    """Return the image in an untrusted file: upright, RGB on white, without metadata, at most `max_side` pixels a side.

    JPEG, PNG, WebP, GIF or AVIF; the first frame of an animation. Colours are converted to sRGB.

    Args:
        allow_tiff: also accept TIFF and BMP, for trusted files only.

    >>> normzoo.load_image("normzoo/app/photos/cat.jpg").mode
    'RGB'

    Raises:
        ImageError: with one sentence for the user.
    """
    data = _read(source)
    with in_sentences():
        return _finish(_format_of(data, allow_tiff).decode(data, max_side), max_side)


def count_pixels(source: bytes | str | Path) -> int:
    """Number of declared pixels that `load_image` would decode."""
    data = _read(source)
    with in_sentences():
        return int(_format_of(data, allow_tiff=False).pixels(data))


def _read(source: bytes | str | Path) -> bytes:
    if isinstance(source, bytes):
        check_bytes(len(source))
        return source
    try:
        path = Path(source)
        if not path.is_file():
            raise ImageError(_UNOPENED)
        check_bytes(path.stat().st_size)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # no more, should it grow meanwhile
    except OSError as error:
        raise ImageError(_UNOPENED) from error
    check_bytes(len(data))
    return data


def _format_of(data: bytes, allow_tiff: bool) -> Format:
    for signature, found in _SIGNATURES:
        if signature.match(data):
            if found in (TIFF, BMP) and not allow_tiff:
                raise ImageError(_OWN_ALONE.format("TIFF" if found is TIFF else "BMP"))
            return found
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        if b"avif" in brands or b"avis" in brands:
            return AVIF
        if re.search(rb"hei[cxms]|hev[cxms]|mif1|msf1", brands):
            raise ImageError(_HEIC)
    raise ImageError(_UNKNOWN)


def _finish(decoded: Decoded, max_side: int) -> Image.Image:
    if decoded.colour is None:
        image = reduce_to_rgb(decoded.image, max_side)
    else:  # converted once it is small: the table of a press would take seconds for 50 megapixels
        colours, alpha = reduce_keeping_colours(decoded.image, max_side)
        image = on_white(to_srgb(colours, decoded.colour), alpha)
    return upright(image, decoded.orientation)


#: Name of `to_pixels` in checkpoints.
RESIZE_RULE = "center-crop-box"


def to_pixels(image: Image.Image, image_size: int) -> np.ndarray:
    """Return the central square of an RGB image, reduced to the input size of a network.

    Each output pixel is the average of the input pixels that it covers (64 -> 32: 2x2), rounded by Pillow along rows, then
    columns. Used for training images and for uploaded photos.

    Returns:
        uint8, (image_size, image_size, 3).
    """
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side)) if width != height else image
    return np.asarray(square.resize((image_size, image_size), Image.Resampling.BOX))


def to_input(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Convert stored pixels to the normalized input of a network.

    Args:
        pixels: (N, H, W, 3), values 0…255 in any dtype.
        mean, std: of the training images per colour, (3,), in fractions of full scale.

    Returns:
        float32, (N, 3, H, W), contiguous.
    """
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
