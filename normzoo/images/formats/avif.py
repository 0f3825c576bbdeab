"""AVIF, whole to libavif, which turns it as its container says."""

import re
import struct

from PIL.AvifImagePlugin import AvifImageFile

from normzoo.errors import ImageError
from normzoo.images.color import Coding, coding_of
from normzoo.images.exif import orientation_of
from normzoo.images.formats.limits import INCOMPLETE
from normzoo.images.formats.pillow import Decoded, open_with

_CODES = re.compile(rb"colrnclx(....)", re.DOTALL)
# Pillow parses EXIF while it opens the file: its tags may overlap and so ask for terabytes. The rotation that counts is
# not in there.
_EXIF_ITEM = re.compile(rb"(infe.{8,10})Exif", re.DOTALL)


def pixels(data: bytes) -> int:
    """How many pixels its container declares, which libavif holds the coded picture against."""
    width, height = _open(data).size
    return width * height


def _open(data: bytes) -> AvifImageFile:
    return open_with(AvifImageFile, _EXIF_ITEM.sub(rb"\1none", data))


def decode(data: bytes, _max_side: int) -> Decoded:
    """Return the picture; of a sequence the first."""
    if _ends_early(data):
        raise ImageError(INCOMPLETE)
    image = _open(data)
    image.load()
    colour: bytes | Coding | None = image.info.get("icc_profile")
    if colour is None and (codes := _CODES.search(data)):
        colour = coding_of(*struct.unpack(">HH", codes[1]))
    return Decoded(image, colour, orientation_of(image.info.get("exif", b"").removeprefix(b"Exif\0\0")))


def _ends_early(data: bytes) -> bool:
    """Is the box of the pixels, or one before it, longer than the file?"""
    at = 0
    while at + 16 <= len(data):
        size, name, long_size = struct.unpack_from(">I4sQ", data, at)
        size = long_size if size == 1 else size or len(data) - at
        at += max(size, 8)
        if at > len(data):
            return True
        if name == b"mdat":
            return False
    return False
