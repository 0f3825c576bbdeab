"""Limits of a file and its image, their error messages, and Pillow's decoders within these limits."""

import contextlib
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image
from PIL.ImageFile import ImageFile

from normzoo.errors import ImageError
from normzoo.images.convert import Coding

#: Limits of a file in bytes, an image in pixels (phones take up to 50 million), and one side.
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
    """Return the error for a file with too many parts."""
    return ImageError(f"This picture's file has more than {limit:,} {parts}; save it as JPEG or PNG and try again.")


@contextlib.contextmanager
def in_sentences(damaged: str = DAMAGED, incomplete: str = INCOMPLETE) -> Iterator[None]:
    """Turn any exception of a decoder on hostile bytes into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        is_short = isinstance(error, IndexError | struct.error) or "truncated" in str(error).lower()
        raise ImageError(incomplete if is_short else damaged) from error


def check_bytes(size: int) -> None:
    """Raise ImageError for a file size that is not accepted."""
    if size == 0:
        raise ImageError("This file is empty; choose another picture.")
    if size > MAX_BYTES:
        raise ImageError(
            f"This file has {size / 1e6:.1f} MB, more than the {MAX_BYTES // 10**6} MB allowed; "
            "make the picture smaller or save it as JPEG and try again."
        )


def check_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    """Raise ImageError for an image size that is not accepted."""
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
    """An image as stored, its colours if not sRGB, and its EXIF orientation."""

    image: Image.Image
    colour: bytes | Coding | None = None
    orientation: int = 1


class _Ration(io.BytesIO):
    """A file in memory with a limited number and extent of reads; reading all of it (`read()`) is unlimited."""

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
    """How one format is read.

    Args:
        pixels: number of declared pixels, weighted by decoding time.
        decode: returns the image, a large one possibly reduced, but not below a given longest side.
    """

    pixels: Callable[[bytes], int]
    decode: Callable[[bytes, int], Decoded]


def open_with(plugin: type[Plugin], data: bytes, header_bytes: int = 2 * MAX_BYTES) -> Plugin:
    """Open a file with one of Pillow's plugins, within the size limits; `load` is still to be called.

    `Image.open` is not used: it tries every plugin, and between one and two times Pillow's limit it only warns, which cannot be
    silenced per thread.

    Args:
        header_bytes: bytes that may be read before the pixels.
    """
    file = _Ration(data)
    file.allow(_OPENING_READS, header_bytes)
    image = plugin(file)
    check_size(image.size)
    file.allow(_LOADING_READS, 2 * MAX_BYTES)
    return image
