"""Pillow's decoders, each called by name with a bounded number of reads.

`Image.open` is not used: between one and two times Pillow's own limit it only warns, and warnings cannot be silenced for one
thread; and it tries every plugin there is.
"""

import io
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image
from PIL.ImageFile import ImageFile

from normzoo.errors import ImageError
from normzoo.images.color import Coding
from normzoo.images.formats.limits import DAMAGED, MAX_BYTES, check_size

# What a decoder may ask for. Real files stay far below; crafted ones make Pillow parse for minutes, or overlap their TIFF
# tags and so fill the memory.
_OPENING_READS = 10_000
_LOADING_READS = 300_000

Plugin = TypeVar("Plugin", bound=ImageFile)


@dataclass(frozen=True)
class Decoded:
    """A picture as its file stores it, the colours that its values mean if not sRGB, and how EXIF wants it turned."""

    image: Image.Image
    colour: bytes | Coding | None = None
    orientation: int = 1


class _Ration(io.BytesIO):
    """A file in memory that may be read only so often and so far; what is read whole (`read()`) is free."""

    def allow(self, reads: int, size: int) -> None:
        self._reads_left, self._bytes_left = reads, size

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self._reads_left -= 1
        self._bytes_left -= len(block) if size is not None and size >= 0 else 0
        if self._reads_left < 0 or self._bytes_left < 0:
            raise ImageError(DAMAGED)
        return block


def open_with(plugin: type[Plugin], data: bytes, header_bytes: int = 2 * MAX_BYTES) -> Plugin:
    """Return the opened file, of a size that may be decoded; `load` is still to be called.

    Args:
        header_bytes: how much may be read before the pixels.
    """
    file = _Ration(data)
    file.allow(_OPENING_READS, header_bytes)
    image = plugin(file)
    check_size(image.size)
    file.allow(_LOADING_READS, 2 * MAX_BYTES)
    return image
