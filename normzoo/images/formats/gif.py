"""GIF: the first frame on its canvas, without comments and other extensions."""

import struct

from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from normzoo.errors import ImageError
from normzoo.images.formats.limits import DAMAGED, INCOMPLETE, check_size, too_many
from normzoo.images.formats.pillow import Decoded, open_with

_MAX_BLOCKS = 100_000  # of one to 255 bytes, each looked at on its own: XMP of 20 MB is read in so many
_EXTENSION, _CONTROL, _FRAME = b"!"[0], 0xF9, b","[0]


def pixels(data: bytes) -> int:
    """How many pixels the canvas has that the first frame is on."""
    *_, (width, height), _ = _first_frame(data)
    return width * height


def _first_frame(data: bytes) -> tuple[bytes, int | None, tuple[int, int, int, int, int], tuple[int, int], int]:
    """Palette, transparent colour, the frame's left, top, width, height and flags, the canvas, and where the pixels begin."""
    flags = data[10]
    at = 13 + _palette_size(flags)
    palette, transparent = data[13:at], None
    while data[at] == _EXTENSION:
        if data[at + 1] == _CONTROL and data[at + 2] == 4:
            transparent = data[at + 6] if data[at + 3] & 1 else None
        at = _end_of_blocks(data, at + 2)
    if data[at] != _FRAME:
        raise ImageError(DAMAGED)
    left, top, width, height, flags = struct.unpack_from("<4HB", data, at + 1)
    at += 10
    if size := _palette_size(flags):
        palette, at = data[at : at + size], at + size
    canvas = struct.unpack_from("<HH", data, 6)
    canvas = max(canvas[0], left + width), max(canvas[1], top + height)
    check_size(canvas)
    return palette, transparent, (left, top, width, height, flags), canvas, at


def decode(data: bytes, _max_side: int) -> Decoded:
    """Return the first frame; what of the canvas it leaves free is white."""
    palette, transparent, (left, top, width, height, flags), canvas, at = _first_frame(data)
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + palette.ljust(768, b"\0")
    descriptor = b"," + struct.pack("<4HB", 0, 0, width, height, flags & 0x40)
    image = open_with(GifImageFile, head + descriptor + data[at : _end_of_blocks(data, at + 1, is_last=True)] + b"\0;")
    image.load()
    if transparent is not None:
        image.info["transparency"] = transparent
    if (width, height) == canvas:
        return Decoded(image)
    whole = Image.new("RGB", canvas, "white")
    whole.paste(image.convert("RGB"), (left, top), image.convert("RGBA").getchannel("A"))
    return Decoded(whole)


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, at: int, *, is_last: bool = False) -> int:
    """Return where the blocks that begin here end; the last ones may lack their end."""
    for _ in range(_MAX_BLOCKS):
        if at >= len(data):
            if is_last:
                return len(data)
            raise ImageError(INCOMPLETE)
        if data[at] == 0:
            return at + 1
        at += 1 + data[at]
    raise too_many("blocks", _MAX_BLOCKS)
