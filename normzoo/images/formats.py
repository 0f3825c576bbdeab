"""JPEG, GIF, WebP, AVIF and, for users' own files, TIFF and BMP: what Pillow gets of each, and what is read here."""

import re
import struct

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from normzoo.errors import ImageError
from normzoo.images.convert import Coding, coding_of, orientation_of, reduced_size
from normzoo.images.limits import DAMAGED, INCOMPLETE, Decoded, Format, check_size, open_with, too_many

# GIF: the first frame on its canvas, without comments and other extensions.
_MAX_BLOCKS = 100_000  # of one to 255 bytes each, enough for 20 MB of XMP
_EXTENSION, _CONTROL, _FRAME = b"!"[0], 0xF9, b","[0]
# WebP, whole to libwebp: it reads headers and pixels in one bounded go.
_MAX_WEBP_PIXELS = 30_000_000  # libwebp takes 15 bytes for each, three times as many as the decoders of other formats
# AVIF, whole to libavif, which turns it as its container says.
_CODES = re.compile(rb"colrnclx(....)", re.DOTALL)
# Pillow parses EXIF while it opens the file: its tags may overlap and so ask for terabytes. The rotation that counts is
# not in there.
_EXIF_ITEM = re.compile(rb"(infe.{8,10})Exif", re.DOTALL)
# TIFF, for users' own files: libtiff reports success for some short data and leaves the rest of its buffer as it was.
_TAG_BYTES = 4_000_000  # crafted ones overlap, and so fill the memory
# None, LZW, deflate by its two numbers, run lengths. Their decoders report short data; those of fax do not.
_COMPRESSIONS = {1, 5, 8, 32946, 32773}
_COMPRESSION, _TILE_WIDTH, _TILE_HEIGHT = 259, 322, 323


def _gif_pixels(data: bytes) -> int:
    """Number of pixels of the canvas of the first frame."""
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


def _decode_gif(data: bytes, _max_side: int) -> Decoded:
    """Return the first frame; the rest of the canvas is white."""
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
    """Return the end of the blocks that begin here; the last ones may be unterminated."""
    for _ in range(_MAX_BLOCKS):
        if at >= len(data):
            if is_last:
                return len(data)
            raise ImageError(INCOMPLETE)
        if data[at] == 0:
            return at + 1
        at += 1 + data[at]
    raise too_many("blocks", _MAX_BLOCKS)


def _webp_pixels(data: bytes) -> int:
    """Number of pixels declared in the header."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    check_size((width, height), _MAX_WEBP_PIXELS)
    return width * height


def _decode_webp(data: bytes, _max_side: int) -> Decoded:
    """Return the stored image: Chromium ignores EXIF rotation in WebP, and profiles of animations."""
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise ImageError(INCOMPLETE)
    declared = _webp_pixels(data)
    image = open_with(WebPImageFile, data)
    if image.width * image.height > declared:
        raise ImageError(DAMAGED)
    image.load()
    return Decoded(image, None if image.is_animated else image.info.get("icc_profile"))


def _avif_pixels(data: bytes) -> int:
    """Number of pixels declared in the container, which libavif checks against the coded image."""
    width, height = _open_avif(data).size
    return width * height


def _open_avif(data: bytes) -> AvifImageFile:
    return open_with(AvifImageFile, _EXIF_ITEM.sub(rb"\1none", data))


def _decode_avif(data: bytes, _max_side: int) -> Decoded:
    """Return the image; of a sequence the first."""
    if _ends_early(data):
        raise ImageError(INCOMPLETE)
    image = _open_avif(data)
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


def _tiff_pixels(data: bytes) -> int:
    width, height = open_with(TiffImageFile, data, _TAG_BYTES).size
    return width * height


def _decode_tiff(data: bytes, _max_side: int) -> Decoded:
    """Return the first image, rotated by Pillow."""
    image = open_with(TiffImageFile, data, _TAG_BYTES)
    if image.tag_v2.get(_COMPRESSION, 1) not in _COMPRESSIONS:
        raise ImageError("This TIFF is compressed in an unsupported way; save it as JPEG or PNG and try again.")
    check_size((image.tag_v2.get(_TILE_WIDTH, 1), image.tag_v2.get(_TILE_HEIGHT, 1)))  # may be larger than the picture
    image.is_animated = True  # else Pillow parses every value of every EXIF directory after decoding
    image.load()
    return Decoded(image, image.info.get("icc_profile"))


def _bmp_pixels(data: bytes) -> int:
    width, height = open_with(BmpImageFile, data).size
    return width * height


def _decode_bmp(data: bytes, _max_side: int) -> Decoded:
    image = open_with(BmpImageFile, data)
    image.load()
    return Decoded(image)


GIF = Format(_gif_pixels, _decode_gif)
WEBP = Format(_webp_pixels, _decode_webp)
AVIF = Format(_avif_pixels, _decode_avif)
BMP = Format(_bmp_pixels, _decode_bmp)
TIFF = Format(_tiff_pixels, _decode_tiff)


# Progressive pictures are drawn in about ten scans; each goes over all pixels, and a crafted file has ten thousand.
_MAX_SCANS = 50
_MAX_SEGMENTS = 5_000  # of at least four bytes, each looked at on its own: a few carry a whole profile or thumbnail
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START, _SCAN, _END, _COMMENT = 0xD8, 0xDA, 0xD9, 0xFE
_ENDED = b"\xff\xd9"
_MORE_CODES = bytes((0x5A, 0xC3, 0x99, 0x2E)) * 64


def _jpeg_pixels(data: bytes) -> int:
    """Equivalent number of PNG pixels: it is decoded at reduced size, in one scan or several."""
    segments = _Segments(data)
    width, height = open_with(JpegImageFile, segments.kept + _ENDED).size
    return width * height * max(segments.scans, 3) // 30


def _decode_jpeg(data: bytes, max_side: int) -> Decoded:
    """Return the image; a large one at a half, quarter or eighth of its size, which is faster."""
    segments = _Segments(data)
    if segments.is_cut and not segments.scans:
        raise ImageError(INCOMPLETE)
    image = _load(segments.kept + _ENDED, max_side)
    # Without an end, decoders fill in what may be missing. Nothing is, if other codes in its place change nothing.
    if segments.is_cut and _load(segments.kept + _MORE_CODES + _ENDED, max_side).tobytes() != image.tobytes():
        raise ImageError(INCOMPLETE)
    return Decoded(image, segments.profile(), segments.orientation)


def _load(data: bytes, max_side: int) -> JpegImageFile:
    image = open_with(JpegImageFile, data)
    width, height = reduced_size(image.size, max_side)
    image.draft(None, (2 * width, 2 * height))  # twice what is kept: the rest is averaged
    image.load()
    return image


class _Segments:
    """Return the file up to the end of the first image; phones append further ones (MPO)."""

    def __init__(self, data: bytes) -> None:
        self.orientation = 1
        self.is_cut = True
        self.scans = 0
        self._profile_parts: dict[int, bytes] = {}
        self._profile_length = 0
        self._has_exif = False
        kept, at = [data[:2]], 2
        for _ in range(_MAX_SEGMENTS):
            marker = _MARKER.search(data, at)
            if marker is None:
                break
            kind, start, content = data[marker.end() - 1], marker.start(), marker.end() + 2
            if kind == _END:
                self.is_cut = False
                break
            at = marker.end() + int.from_bytes(data[marker.end() : content])
            if kind == _START or at < content:
                at = marker.end()
                continue
            if kind == _SCAN:
                self.scans += 1
                if self.scans > _MAX_SCANS:
                    raise too_many("scans before its end", _MAX_SCANS)
                after = _MARKER.search(data, at)
                at = after.start() if after else len(data)
            elif at > len(data):
                break
            elif (0xE0 <= kind <= 0xEF or kind == _COMMENT) and not self._is_needed(kind, data[content:at]):
                continue
            kept.append(data[start:at])
        else:
            raise too_many("segments before its end", _MAX_SEGMENTS)
        self.kept = b"".join(kept).rstrip(b"\xff")

    def _is_needed(self, kind: int, content: bytes) -> bool:
        """Do decoders need this metadata? JFIF and Adobe specify the stored colours."""
        if kind == 0xE1 and content[:5] == b"Exif\0" and not self._has_exif:
            self._has_exif = True
            self.orientation = orientation_of(content[6:])
        elif kind == 0xE2 and content[:12] == b"ICC_PROFILE\0" and len(content) > 14:
            self._profile_parts.setdefault(content[12], content[14:])
            self._profile_length = content[13]
        return (kind == 0xE0 and content[:5] == b"JFIF\0") or (kind == 0xEE and content[:5] == b"Adobe")

    def profile(self) -> bytes | None:
        numbers = range(1, self._profile_length + 1)
        if not numbers or set(numbers) != set(self._profile_parts):
            return None
        return b"".join(self._profile_parts[number] for number in numbers)


JPEG = Format(_jpeg_pixels, _decode_jpeg)
