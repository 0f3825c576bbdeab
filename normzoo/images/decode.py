"""From an untrusted file to a picture, at a bounded cost.

Pillow decodes; this module decides what it gets to see. Only six formats are tried, those that browsers show, each by its
signature and with its own decoder alone, so that no other plugin (EPS starts Ghostscript) ever runs. TIFF is for people's own
files: libtiff reports success for some short data and leaves the rest of its buffer as it was, with what the process had there
before. Of no accepted format does a byte come from memory that the file did not write (`tests/support/memory_patterns.py`).
`Image.open` is not used: between one and two times Pillow's own limit it only warns, and warnings cannot be silenced for one
thread.
"""

import io
import re
import struct
from pathlib import Path

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from normzoo.errors import ImageError
from normzoo.images.downscale import MAX_SIDE, reduce_to_rgb, reduced_size

#: Checked before anything is decoded: the file in bytes, the picture in pixels (phones take up to 50 million), one side.
MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
MAX_INPUT_SIDE = 30_000

# What a decoder may ask for. Real files stay far below; crafted ones make Pillow parse for minutes (a GIF comment in a
# million blocks), fill the memory (overlapping TIFF tags) or draw one small picture ten thousand times (JPEG scans).
_OPENING_READS = 10_000
_LOADING_READS = 300_000
_TIFF_TAG_BYTES = 4_000_000
# Of TIFF: none, LZW, deflate by its two numbers, run lengths. Their decoders report short data; those of fax do not.
_TIFF_COMPRESSIONS = {1, 5, 8, 32946, 32773}
_JPEG_SCANS = 50

_UNKNOWN = "This file is not a picture in a format that can be read here; save it as JPEG or PNG and try again."
_TIFF = "TIFF pictures are not read here; save this one as JPEG or PNG and try again."
_TIFF_COMPRESSION = "This TIFF is compressed in a way that is not read here; save it as JPEG or PNG and try again."
_HEIC = "HEIC pictures cannot be read here; save this one as JPEG and try again."
_DAMAGED = "This picture is damaged or of a rare kind; save it again as JPEG or PNG and try again."
_UNOPENED = "The file could not be opened; choose it again."
_EMPTY = "This file is empty; choose another picture."

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


def load_image(source: bytes | str | Path, max_side: int = MAX_SIDE, *, allow_tiff: bool = False) -> Image.Image:
    """The picture in an untrusted file: upright, RGB on white, without metadata, at most `max_side` pixels a side.

    JPEG, PNG, WebP, GIF, BMP or AVIF; of an animation the first frame.

    Args:
        allow_tiff: take TIFF as well. For files of one's own: its decoders are many, old and foreign.

    >>> normzoo.load_image("normzoo/app/photos/cat.jpg").mode
    'RGB'

    Raises:
        ImageError: with one sentence that can be shown to the person whose file it is.
    """
    data = _read(source)
    plugin = _plugin_for(data)
    if plugin is TiffImageFile and not allow_tiff:
        raise ImageError(_TIFF)
    try:
        return _decode(data, plugin, max_side)
    except ImageError:
        raise
    except Exception as error:  # a decoder on hostile bytes may raise anything
        raise ImageError(_DAMAGED) from error


def _read(source: bytes | str | Path) -> bytes:
    if isinstance(source, bytes):
        _check_bytes(len(source))
        return source
    try:
        path = Path(source)
        if not path.is_file():
            raise ImageError(_UNOPENED)
        _check_bytes(path.stat().st_size)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # no more, should it grow meanwhile
    except OSError as error:
        raise ImageError(_UNOPENED) from error
    _check_bytes(len(data))
    return data


def _check_bytes(size: int) -> None:
    if size == 0:
        raise ImageError(_EMPTY)
    if size > MAX_BYTES:
        raise ImageError(
            f"This file has {size / 1e6:.1f} MB, more than the {MAX_BYTES // 10**6} MB allowed; "
            "make the picture smaller or save it as JPEG and try again."
        )


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"This picture has {width} × {height} pixels, more than the {MAX_PIXELS // 10**6} million allowed; "
            "make it smaller and try again."
        )
    if max(size) > MAX_INPUT_SIDE:
        raise ImageError(
            f"This picture has {width} × {height} pixels, more than the {MAX_INPUT_SIDE} allowed along one side; "
            "crop it and try again."
        )


class _Gif(GifImageFile):
    """Pillow lets a first frame enlarge the canvas, and may warn of its size, while it opens: checks every size it sets."""

    @property
    def _size(self) -> tuple[int, int]:
        return self._checked_size

    @_size.setter
    def _size(self, size: tuple[int, int]) -> None:
        _check_size(size)
        self._checked_size = size


def _plugin_for(data: bytes) -> type[ImageFile]:
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _Gif
    if data.startswith(b"BM"):
        return BmpImageFile
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return TiffImageFile
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4]), 256)]
        if b"avif" in brands or b"avis" in brands:
            return AvifImageFile
        if re.search(rb"hei[cxms]|hev[cxms]|mif1|msf1", brands):
            raise ImageError(_HEIC)
    raise ImageError(_UNKNOWN)


class _Ration(io.BytesIO):
    """A file in memory that may be read only so often and so far; what is read whole (`read()`) is free."""

    def allow(self, reads: int, size: int) -> None:
        self._reads_left, self._bytes_left = reads, size

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self._reads_left -= 1
        self._bytes_left -= len(block) if size is not None and size >= 0 else 0
        if self._reads_left < 0 or self._bytes_left < 0:
            raise ImageError(_DAMAGED)
        return block


def _decode(data: bytes, plugin: type[ImageFile], max_side: int) -> Image.Image:
    is_jpeg, is_tiff = plugin is JpegImageFile, plugin is TiffImageFile
    if is_jpeg and len(re.findall(rb"\xff\xda\0[\x06\x08\x0a\x0c\x0e]", data)) > _JPEG_SCANS:
        raise ImageError(_DAMAGED)

    file = _Ration(_without_exif(data, plugin))
    file.allow(_OPENING_READS, _TIFF_TAG_BYTES if is_tiff else 2 * MAX_BYTES)
    image = plugin(file)
    _check_size(image.size)
    if isinstance(image, TiffImageFile):
        if image.tag_v2.get(259, 1) not in _TIFF_COMPRESSIONS:
            raise ImageError(_TIFF_COMPRESSION)
        _check_size((image.tag_v2.get(322, 1), image.tag_v2.get(323, 1)))  # tiles may be larger than the picture
        image.is_animated = True  # else Pillow parses every value of every EXIF directory after decoding
    exif = _jpeg_exif(data[: file.tell()]) if is_jpeg else b""

    width, height = reduced_size(image.size, max_side)
    image.draft(None, (2 * width, 2 * height))  # JPEG decodes to a half, quarter or eighth; the rest is averaged
    file.allow(_LOADING_READS, 2 * MAX_BYTES)
    image.load()
    upright = reduce_to_rgb(image, max_side)
    turn = _TURNS.get(_orientation(exif or image.info.get("exif")))
    return upright if turn is None or is_tiff else upright.transpose(turn)  # Pillow turns TIFF itself


def _without_exif(data: bytes, plugin: type[ImageFile]) -> bytes:
    """Hides EXIF from the two plugins that parse it while opening: its tags may overlap and so ask for terabytes."""
    if plugin is JpegImageFile:
        return data.replace(b"Exif\0\0", bytes(6))
    if plugin is AvifImageFile:  # the rotation that counts in AVIF is not in its EXIF
        return re.sub(rb"(infe.{8,10})Exif", rb"\1none", data, flags=re.DOTALL)
    return data


def _jpeg_exif(head: bytes) -> bytes:
    segment = re.search(rb"\xff\xe1(..)Exif\0\0", head, flags=re.DOTALL)
    return head[segment.end() : segment.start() + 2 + int.from_bytes(segment[1])] if segment else b""


def _orientation(exif: object) -> int:
    """The Orientation tag of the first EXIF directory, 1 where there is none or it cannot be read."""
    if not isinstance(exif, bytes):
        return 1
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "<")
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == 0x0112:
                return struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", exif, entry + 8)[0]
    except struct.error:
        pass
    return 1
