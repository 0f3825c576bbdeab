"""BMP: every depth in every header of Windows and OS/2, some of which are refused, palettes of every length, alpha."""

import itertools
import random
import struct

from tests.support.image_files import save
from tests.support.variants.profiles import PROPHOTO_18
from tests.support.variants.scene import HEIGHT, WIDTH, palette, scene

_HEADERS = (40, 52, 56, 64, 108, 124)
_FLIPPED = (WIDTH, -HEIGHT)
_BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def file(bits, pixels, *, header=40, packing=0, colours=b"", **more):
    """A BMP; `header` is 12 or 64 for OS/2, else of Windows; masks stand in it, or behind one of 40."""
    size, masks = more.get("size", (WIDTH, HEIGHT)), more.get("masks", ())
    used, gap, planes = more.get("used", len(colours) // 4), more.get("gap", 0), more.get("planes", 1)
    if header == 12:
        info = struct.pack("<IHHHH", 12, *size, planes, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, *size, planes, bits, packing, len(pixels), 2835, 2835, used, 0)
        info += struct.pack(f"<{len(masks)}I", *masks)
        info = info if header == 40 else info.ljust(header, b"\0")
        if header >= 108:
            info = info[:56] + b"BGRs" + info[60:]
    start = 14 + len(info) + len(colours) + gap
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + colours + bytes(gap) + pixels


def rows(bits):
    return random.Random(2).randbytes((WIDTH * bits + 31) // 32 * 4 * HEIGHT)


def colours(count):
    table = palette(256)
    return b"".join(table[3 * index : 3 * index + 3] + b"\0" for index in range(count))


def _depths():
    for bits in (1, 2, 4, 8, 16, 24, 32):
        table = colours(1 << bits) if bits <= 8 else b""
        for header in _HEADERS:
            yield f"of {bits} bits, header {header}", file(bits, rows(bits), header=header, colours=table)
        yield f"of {bits} bits from the top", file(bits, rows(bits), colours=table, size=_FLIPPED)
        yield f"of {bits} bits, a gap before the pixels", file(bits, rows(bits), colours=table, gap=10)
        if bits in (1, 4, 8, 24):
            triples = palette(1 << bits) if bits <= 8 else b""
            yield f"of {bits} bits of OS/2", file(bits, rows(bits), header=12, colours=triples)
        if bits <= 8:
            grey = b"".join(bytes((index * 255 // ((1 << bits) - 1),) * 3) + b"\0" for index in range(1 << bits))
            yield f"of {bits} bits in grey", file(bits, rows(bits), colours=grey)
            yield f"of {bits} bits, colours not counted", file(bits, rows(bits), colours=table, used=0)
            yield f"of {bits} bits, few colours", file(bits, rows(bits), colours=table[:8])
            yield f"of {bits} bits, few colours and a gap", file(bits, rows(bits), colours=table[:8], gap=6)
            yield f"of {bits} bits, too many colours", file(bits, rows(bits), colours=table + bytes(40))
            yield f"of {bits} bits that claims a million colours", file(bits, rows(bits), colours=table, used=10**6)


def _alpha():
    for alpha, (header, packing) in itertools.product(
        (0, 7), ((40, 0), (40, 6), (56, 0), (56, 3), (108, 0), (124, 0), (124, 3))
    ):
        pixels = b"".join(bytes((i * 7 % 256, i * 3 % 256, i * 5 % 256, alpha)) for i in range(WIDTH * HEIGHT))
        masks = () if (header, packing) == (40, 0) else _BGRA
        yield (
            f"of 32 bits, header {header}, packing {packing}, alpha {alpha}",
            file(32, pixels, header=header, packing=packing, masks=masks),
        )
    for bits in (16, 24):
        yield (
            f"of {bits} bits with masks that do not count",
            file(bits, rows(bits), header=124, masks=(0xF00, 0xF0, 0xF, 0xF000)),
        )


def files():
    yield from itertools.chain(_depths(), _alpha())
    for planes in (0, 2):
        yield f"of {planes} planes", file(24, rows(24), planes=planes)
    with_profile = bytearray(file(24, rows(24), header=124))
    with_profile[70:74] = b"DEBM"
    struct.pack_into("<II", with_profile, 126, len(with_profile) - 14, len(PROPHOTO_18))
    yield "with a profile", bytes(with_profile) + PROPHOTO_18
    yield "by Pillow", save(scene(), "BMP")
