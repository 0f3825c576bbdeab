"""Limits of a file and its picture, the sentences that say why not, and Pillow's decoders within those limits."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image
from PIL.ImageFile import ImageFile

from normzoo.errors import ImageError
from normzoo.images.color import Coding

#: The file in bytes, the picture in pixels (phones take up to 50 million), one side.
MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
MAX_INPUT_SIDE = 30_000

DAMAGED = "This picture is damaged or of an unsupported kind; save it as JPEG or PNG and try again."
INCOMPLETE = "This picture is incomplete because its file ends too early; choose another copy."


# What a decoder of Pillow's may ask for. Real files stay far below; crafted ones make it parse for minutes, or overlap their
# TIFF tags and so fill the memory.
_OPENING_READS = 10_000
_LOADING_READS = 300_000

Plugin = TypeVar("Plugin", bound=ImageFile)


def too_many(parts: str, limit: int) -> ImageError:
    """Return the refusal of a file that is made of so many parts that reading it would take long."""
    return ImageError(f"This picture's file has more than {limit:,} {parts}; save it as JPEG or PNG and try again.")


def check_bytes(size: int) -> None:
    """Raise ImageError for a file of this size, unless it may be read."""
    if size == 0:
        raise ImageError("This file is empty; choose another picture.")
    if size > MAX_BYTES:
        raise ImageError(
            f"This file has {size / 1e6:.1f} MB, more than the {MAX_BYTES // 10**6} MB allowed; "
            "make the picture smaller or save it as JPEG and try again."
        )


def check_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    """Raise ImageError for a picture of this width and height, unless it may be decoded."""
    width, height = size
    if min(size) < 1:
        raise ImageError(DAMAGED)
    if width * height > max_pixels:
        raise ImageError(
            f"This picture has {width} × {height} pixels, more than the {max_pixels // 10**6} million allowed; "
            "make it smaller and try again."
        )
    if max(size) > MAX_INPUT_SIDE:
        raise ImageError(
            f"This picture has {width} × {height} pixels, more than the {MAX_INPUT_SIDE} allowed along one side; "
            "crop it and try again."
        )


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


@dataclass(frozen=True)
class Format:
    """How one kind of file is read.

    Args:
        pixels: how many a file declares, without decoding it; those that take longer count for more.
        decode: gives the picture, of a large one perhaps at a fraction of its size, but not below a longest side.
    """

    pixels: Callable[[bytes], int]
    decode: Callable[[bytes, int], Decoded]


def open_with(plugin: type[Plugin], data: bytes, header_bytes: int = 2 * MAX_BYTES) -> Plugin:
    """Open a file with a plugin of Pillow's, called by name; of a size that may be decoded; `load` is still to be called.

    `Image.open` is not used: between one and two times Pillow's own limit it only warns, and warnings cannot be silenced for
    one thread; and it tries every plugin there is.

    Args:
        header_bytes: how much may be read before the pixels.
    """
    file = _Ration(data)
    file.allow(_OPENING_READS, header_bytes)
    image = plugin(file)
    check_size(image.size)
    file.allow(_LOADING_READS, 2 * MAX_BYTES)
    return image
