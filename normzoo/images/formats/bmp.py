"""BMP, decoded here: Pillow reads only some of what Windows and OS/2 wrote, and some of that wrongly."""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from normzoo.errors import ImageError
from normzoo.images.formats.limits import DAMAGED, INCOMPLETE, check_size, too_many
from normzoo.images.formats.pillow import Decoded

_PLAIN, _RUNS8, _RUNS4, _MASKS, _RUNS24, _ALPHA_MASKS = 0, 1, 2, 3, 4, 6
_RUN_BITS = {_RUNS8: 8, _RUNS4: 4, _RUNS24: 24}
_MAX_RUNS = 500_000  # each is unpacked on its own, all in about half a second
#: Header sizes: OS/2 1; Windows 3, 4 and 5; OS/2 2, which may be cut anywhere, and Windows 3 with masks inside.
_OS2, _WINDOWS3, _WINDOWS4, _WINDOWS5 = 12, 40, 108, 124
_SIZES = {_OS2, *range(16, 65, 4), _WINDOWS4, _WINDOWS5}
_PROFILE_INSIDE = b"DEBM"  # in Windows 5
_END_OF_LINE, _END_OF_PICTURE = 0, 1
_HEX_VALUES = bytes(int(chr(code), 16) if chr(code) in "0123456789abcdef" else 0 for code in range(256))
_MASKS_OF_555 = (0x7C00, 0x3E0, 0x1F, 0)
_MASKS_OF_888 = (0xFF0000, 0xFF00, 0xFF, 0)


def pixels(data: bytes) -> int:
    """How many pixels its header declares."""
    header = _Header(data)
    return int(header.width * header.height)


def decode(data: bytes, _max_side: int) -> Decoded:
    """Return the picture."""
    header = _Header(data)
    check_size((header.width, header.height))
    if header.packing in _RUN_BITS:
        return Decoded(_from_runs(data, header), header.profile)
    stride = (header.width * header.bits + 31) // 32 * 4
    missing = header.start + (header.height - 1) * stride + (header.width * header.bits + 7) // 8 - len(data)
    if missing > 0:
        raise ImageError(INCOMPLETE)
    pixels = data[header.start : header.start + header.height * stride].ljust(header.height * stride, b"\0")
    if header.bits in (16, 32):
        return Decoded(_from_masks(pixels, header), header.profile)
    mode, raw = {1: ("P", "P;1"), 2: ("P", "P;2"), 4: ("P", "P;4"), 8: ("P", "P"), 24: ("RGB", "BGR")}[header.bits]
    size, direction = (header.width, header.height), 1 if header.is_from_top else -1
    image = Image.frombytes(mode, size, pixels, "raw", raw, stride, direction)
    if mode == "P":
        image.putpalette(header.palette)
    return Decoded(image, header.profile)


class _Header:
    """Header: all that stands before the pixels."""

    def __init__(self, data: bytes) -> None:
        start, size = struct.unpack_from("<II", data, 10)
        if size not in _SIZES:
            raise ImageError(DAMAGED)
        fields = data[14 : 14 + size].ljust(_WINDOWS5, b"\0")
        at, step = 14 + size, 3 if size == _OS2 else 4
        if size == _OS2:
            self.width, self.height, _, self.bits = struct.unpack_from("<4H", fields, 4)
            self.packing, used = _PLAIN, 0
        else:
            self.width, self.height, _, self.bits, self.packing = struct.unpack_from("<iiHHI", fields, 4)
            used = struct.unpack_from("<I", fields, 32)[0]
        self.is_from_top, self.height = self.height < 0, abs(self.height)

        masks = struct.unpack_from("<4I", fields, 40)
        if self.packing in (_MASKS, _ALPHA_MASKS) and size == _WINDOWS3:
            count = 4 if self.packing == _ALPHA_MASKS else 3
            masks = (*struct.unpack_from(f"<{count}I", data, at), 0)[:4]
            at += 4 * count
        elif self.packing == _PLAIN:
            alpha = masks[3] if size >= _WINDOWS4 and self.bits == 32 else 0
            masks = (*(_MASKS_OF_555 if self.bits == 16 else _MASKS_OF_888)[:3], alpha)
        self.masks = masks
        self._check()
        self.profile = None
        if fields[56:60] == _PROFILE_INSIDE:
            place, length = struct.unpack_from("<II", fields, 112)
            self.profile = data[14 + place : 14 + place + length]

        count = min(used or 1 << self.bits, 1 << self.bits) if self.bits <= 8 else 0
        if start > at:
            count = min(count, (start - at) // step)
        entries = [data[place : place + 3] for place in range(at, at + step * count, step)]
        self.palette = b"".join(entry[::-1] for entry in entries if len(entry) == 3).ljust(768, b"\0")
        self.start = start if start >= at else at + step * count

    def _check(self) -> None:
        """Raise for what no browser shows."""
        if self.packing in _RUN_BITS:
            is_known = self.bits == _RUN_BITS[self.packing]
        elif self.packing in (_MASKS, _ALPHA_MASKS):
            is_known = self.bits in (16, 32)
        else:
            is_known = self.packing == _PLAIN and self.bits in (1, 2, 4, 8, 16, 24, 32)
        if not is_known or self.width < 1:
            raise ImageError(DAMAGED)


def _from_masks(pixels: bytes, header: _Header) -> Image.Image:
    """Each colour is the bits of a number under a mask."""
    values = np.frombuffer(pixels, f"<u{header.bits // 8}").reshape(header.height, -1)[:, : header.width]
    values = values if header.is_from_top else values[::-1]
    channels = [_under(mask, values, header.bits) for mask in header.masks]
    if not header.masks[3]:
        return Image.fromarray(np.stack(channels[:3], -1))
    return Image.fromarray(np.stack(channels, -1))


def _under(mask: int, values: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.uint8]:
    """The bits under the mask, scaled to 0…255."""
    mask &= (1 << bits) - 1
    if not mask:
        return np.zeros(values.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    if top & (top + 1):
        raise ImageError(DAMAGED)  # a mask with a hole
    found = (values & values.dtype.type(mask)) >> values.dtype.type(shift)
    if top > 255:
        found, top = found >> values.dtype.type(top.bit_length() - 8), 255
    levels: NDArray[np.uint8] = np.rint(np.arange(top + 1) * (255 / top)).astype(np.uint8)
    return levels[found]


def _from_runs(data: bytes, header: _Header) -> Image.Image:
    """Run lengths: what is jumped over stays black; a run that leaves its line is cut there."""
    width, height, step = header.width, header.height, 3 if header.packing == _RUNS24 else 1
    pixels = bytearray(width * height * step)
    is_free = bytearray(b"\xff") * (width * height) if step == 1 else None
    at, left, line = header.start, 0, 0
    for _ in range(_MAX_RUNS):
        if line >= height or (line == height - 1 and left >= width and at + 2 > len(data)):
            break
        if at + 2 > len(data):
            raise ImageError(INCOMPLETE)
        count, value = data[at], data[at + 1]
        at += 2
        if count == 0 and value < 3:
            if value == _END_OF_PICTURE:
                break
            if value == _END_OF_LINE:
                left, line = 0, line + 1
            else:  # a jump
                left, line, at = left + data[at], line + data[at + 1], at + 2
                if left > width:
                    break
            continue
        if count:
            run, at = _repeated(data, at - 1, count, header.packing)
        else:
            count = value
            run, at = _listed(data, at, count, header.packing)
        count = min(count, width - left)
        start = (line if header.is_from_top else height - 1 - line) * width + left
        pixels[start * step : (start + count) * step] = run[: count * step]
        if is_free is not None:
            is_free[start : start + count] = bytes(count)
        left += count
    else:
        raise too_many("runs", _MAX_RUNS)

    if is_free is None:
        return Image.frombytes("RGB", (width, height), bytes(pixels), "raw", "BGR")
    image = Image.frombytes("P", (width, height), bytes(pixels))
    image.putpalette(header.palette)
    if any(is_free):
        image = image.convert("RGB")
        image.paste("black", mask=Image.frombytes("L", (width, height), bytes(is_free)))
    return image


def _repeated(data: bytes, at: int, count: int, packing: int) -> tuple[bytes, int]:
    """One value many times, or two in turns, and where the next run begins."""
    if packing == _RUNS24:
        return data[at : at + 3] * count, at + 3
    value = data[at]
    if packing == _RUNS8:
        return bytes((value,)) * count, at + 1
    return bytes((value >> 4, value & 15)) * ((count + 1) // 2), at + 1


def _listed(data: bytes, at: int, count: int, packing: int) -> tuple[bytes, int]:
    """Many values, and where the next run begins: at an even place from here."""
    size = (count * _RUN_BITS[packing] + 7) // 8
    run = data[at : at + size]
    if len(run) < size:
        raise ImageError(INCOMPLETE)
    if packing == _RUNS4:
        run = run.hex().encode().translate(_HEX_VALUES)
    return run, at + size + size % 2
