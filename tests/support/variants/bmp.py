"""BMP: every depth in every header of Windows and OS/2, colour masks, run lengths with jumps, cuts and odd lengths."""

import itertools
import random
import struct
from collections.abc import Iterator

from tests.support.image_files import save
from tests.support.variants.profiles import PROPHOTO_18
from tests.support.variants.scene import HEIGHT, WIDTH, palette, scene

_HEADERS = (40, 52, 56, 64, 108, 124)
_FLIPPED = (WIDTH, -HEIGHT)
_BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_LAYOUTS: dict[tuple[int, str], tuple[int, ...]] = {
    (16, "5-6-5"): (0xF800, 0x7E0, 0x1F),
    (16, "5-5-5"): (0x7C00, 0x3E0, 0x1F),
    (16, "4-4-4"): (0xF00, 0xF0, 0xF),
    (16, "3-3-2"): (0xE0, 0x1C, 3),
    (16, "5-6-5, blue first"): (0x1F, 0x7E0, 0xF800),
    (16, "1-1-1"): (4, 2, 1),
    (16, "8-8-0"): (0xFF00, 0xFF, 0),
    (16, "4-4-4-4"): (0xF00, 0xF0, 0xF, 0xF000),
    (16, "5-5-5-1"): (0x7C00, 0x3E0, 0x1F, 0x8000),
    (32, "8-8-8"): (0xFF0000, 0xFF00, 0xFF),
    (32, "8-8-8, blue first"): (0xFF, 0xFF00, 0xFF0000),
    (32, "8-8-8, at the top"): (0xFF000000, 0xFF0000, 0xFF00),
    (32, "10-10-10"): (0x3FF00000, 0xFFC00, 0x3FF),
    (32, "10-10-10-2"): (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),
    (32, "11-11-10"): (0x7FF, 0x3FF800, 0xFFC00000),
    (32, "16-8-8"): (0xFFFF0000, 0xFF00, 0xFF),
    (32, "12-12-8"): (0xFFF00000, 0xFFF00, 0xFF),
    (32, "0-0-0"): (0, 0, 0),
    (32, "8-16-8, overlapping"): (0xFF0000, 0xFFFF00, 0xFF),
    (32, "8-8-8-8"): _BGRA,
    (32, "8-8-8-8, red first"): (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    (32, "8-8-8-8, blue first"): (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
}
_RUNS = {
    "an odd absolute run": (4, "0005123450000000 0806 0001"),
    "an absolute run of three": (4, "00031230 0544 0000 0812 0001"),
    "lines that end early": (8, "0401 0000 0302 0000 0203 0001"),
    "a picture that ends early": (8, "0401 0001"),
    "a jump": (8, "0401 00020201 0205 0001"),
    "a jump out to the right": (8, "0401 00027f01 0205 0001"),
    "a jump out at the top": (8, "0401 0002017f 0205 0001"),
    "a run beyond its line": (8, "0c01 0000 0802 0000 0803 0001"),
    "an absolute run beyond its line": (8, "000c000102030405060708090a0b 0000 0802 0001"),
    "no ends of lines": (8, "0801 0802 0803 0001"),
    "no ends of lines, runs across": (8, "0601 0602 0603 0604 0001"),
    "more lines than it says": (8, "0801 0000" * 6 + "0001"),
    "no end": (8, "0801 0000 0802 0000 0803 0000"),
}


def file(bits: int, pixels: bytes, *, header: int = 40, packing: int = 0, colours: bytes = b"", **more: object) -> bytes:
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


def rows(bits: int) -> bytes:
    return random.Random(2).randbytes((WIDTH * bits + 31) // 32 * 4 * HEIGHT)


def colours(count: int) -> bytes:
    table = palette(256)
    return b"".join(table[3 * index : 3 * index + 3] + b"\0" for index in range(count))


def runs(bits: int) -> bytes:
    """Noise in runs and absolute runs of every length up to twelve."""
    noise = random.Random(3)
    content = b""
    for _ in range(HEIGHT):
        left = WIDTH
        while left:
            length = min(noise.randint(1, 12), left)
            if length >= 3 and noise.random() < 0.5:
                listed = noise.randbytes((length * bits + 7) // 8)
                content += bytes((0, length)) + listed + bytes(len(listed) % 2)
            else:
                content += bytes((length, noise.randrange(256)))
            left -= length
        content += b"\0\0"
    return content + b"\0\1"


def _depths() -> Iterator[tuple[str, bytes]]:
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


def _alpha() -> Iterator[tuple[str, bytes]]:
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


def files() -> Iterator[tuple[str, bytes]]:
    yield from itertools.chain(_depths(), _alpha())
    for (bits, name), masks in _LAYOUTS.items():
        header = 40 if len(masks) == 3 else 56
        yield f"of {bits} bits, {name}", file(bits, rows(bits), header=header, packing=3, masks=masks)
        yield f"of {bits} bits, {name}, header 124", file(bits, rows(bits), header=124, packing=3, masks=masks)
        if len(masks) == 4:
            yield f"of {bits} bits, {name}, packing 6", file(bits, rows(bits), packing=6, masks=masks)
    for bits, packing in ((4, 2), (8, 1)):
        table = colours(1 << bits)
        yield f"in runs of {bits} bits", file(bits, runs(bits), packing=packing, colours=table)
        yield f"in runs of {bits} bits from the top", file(bits, runs(bits), packing=packing, colours=table, size=_FLIPPED)
    for name, (bits, content) in _RUNS.items():
        packing = {4: 2, 8: 1}[bits]
        yield f"in runs: {name}", file(bits, bytes.fromhex(content), packing=packing, colours=colours(1 << bits), size=(8, 3))
    lines = b"".join(bytes((WIDTH,)) + random.Random(line).randbytes(3) + b"\0\0" for line in range(HEIGHT))
    yield "in runs of 24 bits of OS/2", file(24, lines + b"\0\1", header=64, packing=4)
    for planes in (0, 2):
        yield f"of {planes} planes", file(24, rows(24), planes=planes)
    short = struct.pack("<IiiHH", 16, WIDTH, HEIGHT, 1, 24)
    yield "with a header of 16", b"BM" + struct.pack("<IHHI", 0, 0, 0, 30) + short + rows(24)
    with_profile = bytearray(file(24, rows(24), header=124))
    with_profile[70:74] = b"DEBM"
    struct.pack_into("<II", with_profile, 126, len(with_profile) - 14, len(PROPHOTO_18))
    yield "with a profile", bytes(with_profile) + PROPHOTO_18
    yield "by Pillow", save(scene(), "BMP")
