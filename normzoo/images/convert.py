"""A decoded image as browsers show it: small, upright, in RGB on white, its colours in sRGB.

littleCMS converts ICC profiles, restricted to the tags that browsers read: curves and matrix, or one table. Colours given by
numbers (CICP in PNG and AVIF, gAMA and cHRM in PNG) are computed here.

Known differences: Chromium 156 reads the alpha of AVIF, and AVIF sequences, as narrow range where the file says full, mixes
black ink from the other three before a CMYK profile, and shows incomplete pictures (refused here) and those dark greys of
16-bit PNG with a linear profile that eight bits cannot hold. Other browsers may rotate WebP by its EXIF.
"""

import io
import math
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
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


Floats = NDArray[np.float64]
Primaries = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
Transfer = float | Literal["sRGB", "SMPTE 240M", "PQ", "HLG"]

#: Larger profiles are ignored: those of printing presses have up to 3 MB, and littleCMS copies them several times.
MAX_PROFILE_BYTES = 4_000_000
_MAX_PROFILE_TAGS = 200
_PROFILE_TAGS = {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"wtpt"}
_PROFILE_CLASSES = {b"mntr", b"scnr", b"prtr", b"spac"}
_PROFILE_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}

_D65 = (0.3127, 0.3290)
_SRGB: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_BT2020: Primaries = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)
# ITU-T H.273 (CICP): code -> CIE xy of red, green, blue, white; what is not here is taken for sRGB, as browsers do.
_CODED_PRIMARIES: dict[int, Primaries] = {
    1: _SRGB,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),
    9: _BT2020,
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_CODED_TRANSFERS: dict[int, Transfer] = {4: 2.2, 5: 2.8, 7: "SMPTE 240M", 8: 1.0, 16: "PQ", 18: "HLG"}
#: BT.709 and similar: Chromium decodes them with the gamma of a television in PNG, as sRGB in AVIF.
_TELEVISION = {1, 6, 11, 14, 15}

_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))
# High dynamic range: the brightest of the three colours, in units of white paper (203 of at most 1000 cd/m²), becomes this
# much on a screen that is no brighter than paper. Measured on Chromium 156.
_PAPER_NITS, _PEAK_NITS = 203.0, 1000.0
_BRIGHT = np.array((0.0, 1.0, 1.1, 1.2, 1.3436, 1.5, 1.75, 2.0885, 2.5, 3.229, 4.0, _PEAK_NITS / _PAPER_NITS))
_SHOWN = np.array((0.0, 0.5, 0.5457, 0.5783, 0.6188, 0.658, 0.7069, 0.7611, 0.815, 0.8889, 0.9488, 1.0))


@dataclass(frozen=True)
class Coding:
    """Colours by numbers: CIE xy of red, green, blue and white, and the transfer function."""

    primaries: Primaries
    transfer: Transfer


def coding_of(primaries: int, transfer: int, television: Transfer = "sRGB") -> Coding | None:
    """Return the meaning of two CICP codes; None for unspecified primaries."""
    curve = television if transfer in _TELEVISION else _CODED_TRANSFERS.get(transfer, "sRGB")
    known = _CODED_PRIMARIES.get(primaries)
    return None if known is None else Coding(known, curve)


def coding_of_gamma(gamma: float, chromaticities: bytes) -> Coding | None:
    """Return the meaning of gAMA and cHRM of PNG; a gamma alone near 1/2.2 is sRGB."""
    if len(chromaticities) != 32:
        return None if abs(gamma * 2.2 - 1) < 0.05 else Coding(_SRGB, 1 / gamma)
    values = [value / 100_000 for value in struct.unpack(">8I", chromaticities)]
    if min(values[1::2]) <= 0:
        return None
    white, red, green, blue = zip(values[::2], values[1::2], strict=True)
    return Coding((red, green, blue, white), 1 / gamma)


def to_srgb(image: Image.Image, colour: bytes | Coding) -> Image.Image:
    """Return an RGB image in sRGB, from the colours of an ICC profile or coding.

    A profile that is broken, too large or of another kind of image is ignored.

    Args:
        image: L, RGB or CMYK.
    """
    if colour == Coding(_SRGB, "sRGB"):
        return image.convert("RGB")
    if isinstance(colour, bytes):
        return _by_profile(image, colour) or image.convert("RGB")
    values, primaries = _light(colour.transfer)[np.asarray(image.convert("RGB"))], colour.primaries
    if colour.transfer in ("PQ", "HLG"):
        values, primaries = _shown_on_paper_white(_change(values, primaries, _BT2020), colour.transfer), _BT2020
    values = np.clip(_change(values, primaries, _SRGB), 0, 1)
    levels = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.rint(levels * 255).astype(np.uint8))


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    reduced = minimal_icc_profile(profile)
    if reduced is None:
        return None
    mode = _PROFILE_MODES[profile[16:20]]
    if image.mode != mode:
        if image.mode == "L" and mode == "RGB":
            image = image.convert("RGB")
        elif mode == "L" and _is_grey(image):  # AVIF of one channel is decoded to three
            image = image.getchannel(0)
        else:
            return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(reduced))
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        # Relative colorimetric, since littleCMS would move the black point otherwise; of tables there is but one. Dark greys
        # would be off by ten where it rounds their curve to bytes first.
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        converted = ImageCms.ImageCmsTransform(source, target, mode, "RGB", intent, flags=flags).apply(image)
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return None
    converted.info.clear()
    return converted


def _is_grey(image: Image.Image) -> bool:
    if image.mode != "RGB":
        return False
    red, green, blue = (channel.tobytes() for channel in image.split())
    return red == green == blue


def minimal_icc_profile(profile: bytes) -> bytes | None:
    """Return the profile with only the tags that browsers read; None if it is broken."""
    if not 132 <= len(profile) <= MAX_PROFILE_BYTES or profile[36:40] != b"acsp" or profile[12:16] not in _PROFILE_CLASSES:
        return None
    if profile[16:20] not in _PROFILE_MODES or profile[20:24] not in (b"XYZ ", b"Lab "):
        return None
    size, count = struct.unpack_from(">I", profile)[0], struct.unpack_from(">I", profile, 128)[0]
    if size > len(profile) or count > _MAX_PROFILE_TAGS or 132 + 12 * count > size:
        return None
    tags = {name: (start, length) for name, start, length in struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])}
    table = next((name for name in (b"A2B0", b"A2B1") if name in tags), None)
    kept = {name: tags[name] for name in tags if name in _PROFILE_TAGS} | ({b"A2B0": tags[table]} if table else {})
    if any(start + length > size for start, length in kept.values()):
        return None
    directory, body, at = b"", b"", 132 + 12 * len(kept)
    for name, (start, length) in kept.items():
        directory += name + struct.pack(">II", at + len(body), length)
        body += profile[start : start + length] + bytes(-length % 4)
    head = struct.pack(">I", at + len(body)) + profile[4:44] + bytes(20) + profile[64:84] + bytes(44)
    return head + struct.pack(">I", len(kept)) + directory + body


def _light(transfer: Transfer) -> Floats:
    """Light of each of the 256 values; 1 is paper white."""
    x = np.arange(256) / 255
    if transfer == "sRGB":
        return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    if transfer == "SMPTE 240M":
        return np.where(x < 0.0912, x / 4, ((x + 0.1115) / 1.1115) ** (1 / 0.45))
    if transfer == "PQ":
        root = x ** (32 / 2523)
        return (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305) * (10_000 / _PAPER_NITS)
    if transfer == "HLG":  # of the scene, 1 is the brightest
        a, b = 0.17883277, 0.28466892
        return np.where(x <= 0.5, x * x / 3, (np.exp((x - 0.55991073) / a) + b) / 12)
    return x ** float(transfer)


def _change(light: Floats, primaries: Primaries, others: Primaries) -> Floats:
    return light @ (np.linalg.inv(_to_xyz(others)) @ _to_xyz(primaries)).T


def _shown_on_paper_white(light: Floats, transfer: Transfer) -> Floats:
    """Of colours in the primaries of BT.2020."""
    if transfer == "HLG":
        luminance = light @ np.array((0.2627, 0.6780, 0.0593))
        light = light * (luminance**0.2 * (_PEAK_NITS / _PAPER_NITS))[..., None]
    brightest = light.max(-1, keepdims=True)
    return light * (np.interp(brightest, _BRIGHT, _SHOWN) / np.maximum(brightest, 1e-9))


def _to_xyz(primaries: Primaries) -> Floats:
    """Light in red, green, blue -> CIE XYZ, adapted to D50 (Bradford), as in ICC profiles."""
    red, green, blue, white = (np.array((x, y, 1 - x - y)) / max(y, 1e-9) for x, y in primaries)
    columns = np.stack((red, green, blue), 1)
    matrix = columns * np.linalg.solve(columns, white)
    return np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD @ matrix
