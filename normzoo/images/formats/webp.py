"""WebP, whole to libwebp: it reads headers and pixels in one bounded go."""

from PIL.WebPImagePlugin import WebPImageFile

from normzoo.errors import ImageError
from normzoo.images.formats.limits import DAMAGED, INCOMPLETE, check_size
from normzoo.images.formats.pillow import Decoded, open_with

_MAX_PIXELS = 30_000_000  # libwebp takes 15 bytes for each, three times as many as the decoders of other formats


def pixels(data: bytes) -> int:
    """How many pixels its header declares."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    check_size((width, height), _MAX_PIXELS)
    return width * height


def decode(data: bytes, _max_side: int) -> Decoded:
    """Return the picture as it is stored: Chromium turns no WebP by its EXIF, and takes no profile of an animation."""
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise ImageError(INCOMPLETE)
    declared = pixels(data)
    image = open_with(WebPImageFile, data)
    if image.width * image.height > declared:
        raise ImageError(DAMAGED)
    image.load()
    return Decoded(image, None if image.is_animated else image.info.get("icc_profile"))
