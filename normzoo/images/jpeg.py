"""JPEG: the first image of the file, without metadata."""

import re

from PIL.JpegImagePlugin import JpegImageFile

from normzoo.errors import ImageError
from normzoo.images.geometry import orientation_of, reduced_size
from normzoo.images.limits import INCOMPLETE, Decoded, Format, open_with, too_many

# Progressive pictures are drawn in about ten scans; each goes over all pixels, and a crafted file has ten thousand.
_MAX_SCANS = 50
_MAX_SEGMENTS = 5_000  # of at least four bytes, each looked at on its own: a few carry a whole profile or thumbnail
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START, _SCAN, _END, _COMMENT = 0xD8, 0xDA, 0xD9, 0xFE
_ENDED = b"\xff\xd9"
_MORE_CODES = bytes((0x5A, 0xC3, 0x99, 0x2E)) * 64


def pixels(data: bytes) -> int:
    """Equivalent number of PNG pixels: it is decoded at reduced size, in one scan or several."""
    segments = _Segments(data)
    width, height = open_with(JpegImageFile, segments.kept + _ENDED).size
    return width * height * max(segments.scans, 3) // 30


def decode(data: bytes, max_side: int) -> Decoded:
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


JPEG = Format(pixels, decode)
