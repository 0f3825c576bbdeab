"""From a decoded image in any of Pillow's modes to a small upright one in RGB on white."""

import math
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

#: Longest side of a reduced image: more than the page or a network needs.
MAX_SIDE = 1024
#: A picture that must be reduced and is more than this many times as long as wide is cut to its middle first, so that the
#: central square that the networks see keeps about MAX_SIDE / MAX_ASPECT pixels a side, and its averages their meaning.
MAX_ASPECT = 4

_BAND_PIXELS = 1 << 20

# EXIF orientation -> what puts the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def reduce_to_rgb(image: Image.Image, max_side: int = MAX_SIDE) -> Image.Image:
    """Return a new image in RGB on white, each pixel the mean of a square of this one.

    16-bit grey is divided by 257. Other deep greys are scaled from the first of these ranges with all values: for floats 0…1,
    for integers 0…255 and 0…65535, else the image's minimum…maximum.
    """
    return _reduce(image, max_side, "RGB")


def reduce_keeping_colours(image: Image.Image, max_side: int = MAX_SIDE) -> tuple[Image.Image, Image.Image | None]:
    """As `reduce_to_rgb`, but in grey, RGB or CMYK as stored, with the opacity of each pixel unless all are opaque."""
    grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith(("I", "F"))
    mode = "CMYK" if image.mode == "CMYK" else "L" if grey else "RGB"
    if not image.has_transparency_data or image.mode.startswith(("I", "F")):
        return _reduce(image, max_side, mode), None
    reduced = _reduce(image, max_side, "RGBA")
    return reduced.convert("RGB").convert(mode), reduced.getchannel("A")


def on_white(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """RGB image on white."""
    if alpha is None:
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _reduce(image: Image.Image, max_side: int, mode: str) -> Image.Image:
    width, height, factor = _plan(image.size, max_side)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    # Band by band, to need little memory beside the picture's own.
    rows = max(1, _BAND_PIXELS // (width * factor)) * factor
    bands = [(y, (left, top + y, left + width, top + min(y + rows, height))) for y in range(0, height, rows)]
    is_deep = image.mode.startswith(("I", "F"))
    scale = _deep_range(image, [box for _, box in bands]) if is_deep else (0.0, 255.0)

    reduced = Image.new(mode, (math.ceil(width / factor), math.ceil(height / factor)))
    for y, box in bands:
        band = image.crop(box)
        if is_deep:
            band = _deep_to_grey(band, *scale)
        elif mode == "RGB" and band.has_transparency_data:
            band = band.convert("RGBA")
            band = on_white(band.convert("RGB"), band.getchannel("A"))
        reduced.paste(band.convert(mode).reduce(factor), (0, y // factor))
    return reduced


def reduced_size(size: tuple[int, int], max_side: int = MAX_SIDE) -> tuple[int, int]:
    """Width and height of the result of `reduce_to_rgb`, before cropping."""
    *_, factor = _plan(size, max_side)
    return math.ceil(size[0] / factor), math.ceil(size[1] / factor)


def _plan(size: tuple[int, int], max_side: int) -> tuple[int, int, int]:
    """Width and height of the part that is kept, and the number of its pixels per output pixel along each side."""
    width, height = size
    width, height = min(width, max(max_side, MAX_ASPECT * height)), min(height, max(max_side, MAX_ASPECT * width))
    return width, height, math.ceil(max(width, height) / max_side)


def _deep_range(image: Image.Image, boxes: list[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Values that become black and white."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode.startswith("I;16"):
        low, high = 0.0, 2.0 ** tags.get(258, (16,))[0] - 1  # BitsPerSample: 12 or 16
    else:
        low, high = math.inf, -math.inf
        for box in boxes:
            values = _values(image.crop(box))
            finite = np.isfinite(values)
            low = min(low, float(values.min(where=finite, initial=math.inf)))
            high = max(high, float(values.max(where=finite, initial=-math.inf)))
        customary = (1.0,) if image.mode == "F" else (255.0, 65535.0)
        low, high = next(((0.0, top) for top in customary if low >= 0 and high <= top), (low, high))
    return (high, low) if tags.get(262) == 0 else (low, high)  # PhotometricInterpretation 0: white is zero


def _deep_to_grey(image: Image.Image, black: float, white: float) -> Image.Image:
    values = _values(image)
    levels = (values - black) * (255 / ((white - black) or 1.0))
    levels = np.fmin(np.fmax(levels, 0), 255)  # what is not a number becomes black
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels[values == transparent] = 255
    return Image.fromarray(np.rint(levels).astype(np.uint8))


def _values(image: Image.Image) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return np.asarray(image).astype(np.float64)


def orientation_of(exif: bytes) -> int:
    """Return the Orientation, 1…8, of the first directory; 1 if there is none or browsers ignore it.

    Args:
        exif: block, from its byte order.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "<")
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == 0x0112:
                return value if kind == 3 and length == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image rotated by its EXIF orientation."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
