"""GIF: palettes, depths, transparency, frames that are smaller or larger than their canvas, long extensions."""

import random
import struct

from tests.support.image_files import save
from tests.support.variants.scene import HEIGHT, WIDTH, palette, scene

_FULL = (0, 0, WIDTH, HEIGHT)
_SMALL = (5, 3, 12, 8)
Place = tuple[int, int, int, int]


def _lzw(indices, bits):
    """The codes of these pixels without any compression."""
    clear, width, every = 1 << bits, bits + 1, (1 << bits) - 2
    codes = []
    for place in range(0, len(indices), every):
        codes += [clear, *indices[place : place + every]]
    text = "".join(f"{code:0{width}b}"[::-1] for code in [*codes, clear + 1])
    return bytes([bits]) + blocks(bytes(int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8)))


def blocks(content):
    return b"".join(bytes([len(content[at : at + 255])]) + content[at : at + 255] for at in range(0, len(content), 255)) + b"\0"


def _size_flags(table):
    return 0x80 | ((len(table) // 3).bit_length() - 2) if table else 0


def frame(place, *, bits=4, local=b"", interlace=False, seed=0, colours=0):
    """Noise of all colours, or of the first ones."""
    noise = random.Random(seed)
    pixels = bytes(noise.randrange(colours or 1 << bits) for _ in range(place[2] * place[3]))
    return b"," + struct.pack("<HHHHB", *place, _size_flags(local) | 0x40 * interlace) + local + _lzw(pixels, bits)


def file(*parts, canvas=(WIDTH, HEIGHT), table=None, version=b"89a"):
    table = palette(16) if table is None else table
    screen = struct.pack("<HHBBB", *canvas, _size_flags(table), 2, 0)
    return b"GIF" + version + screen + table + b"".join(parts) + b";"


def _control(disposal=0, transparent=None):
    return b"!\xf9\x04" + struct.pack("<BHB", disposal << 2 | (transparent is not None), 9, transparent or 0) + b"\0"


def files():
    reverse = palette(16)[::-1]
    yield "plain", file(frame(_FULL))
    yield "of 1987", file(frame(_FULL), version=b"87a")
    yield "interlaced", file(frame(_FULL, interlace=True))
    yield "with two palettes", file(frame(_FULL, local=reverse))
    yield "with its frame's palette alone", file(frame(_FULL, local=reverse), table=b"")
    yield "without a palette", file(frame(_FULL), table=b"")
    yield "with a palette shorter than its indices", file(frame(_FULL), table=palette(4))
    yield "in 256 greys", file(frame(_FULL, bits=8), table=bytes(level for level in range(256) for _ in range(3)))
    yield "in black and white", file(frame(_FULL, bits=2, colours=2), table=bytes((0, 0, 0, 255, 255, 255)))
    for bits in (2, 3, 5, 8):
        yield f"of {bits} bits", file(frame(_FULL, bits=bits), table=palette(1 << bits))
    yield "transparent", file(_control(0, 3), frame(_FULL))
    for disposal in range(4):
        yield f"with a smaller frame, disposal {disposal}", file(_control(disposal), frame(_SMALL))
        yield f"with a smaller frame, disposal {disposal}, transparent", file(_control(disposal, 2), frame(_SMALL))
        second = _control(disposal) + frame(_FULL, seed=4)
        yield f"animated, disposal {disposal}", file(_control(disposal), frame(_SMALL), second)
    yield "with a smaller frame", file(frame(_SMALL))
    yield "with a frame beyond its canvas", file(frame((30, 10, 20, 20)))
    yield "with a frame larger than its canvas", file(frame((0, 0, 60, 40)))
    yield "with a frame outside its canvas", file(frame((40, 30, 10, 10)))
    yield "with a later frame larger than its canvas", file(frame(_FULL), frame((0, 0, 60, 40)))
    yield "without a canvas", file(frame(_FULL), canvas=(0, 0))
    yield "with a canvas of no width", file(frame(_FULL), canvas=(0, HEIGHT))
    yield "with two controls", file(_control(0, 3), _control(0, 4), frame(_FULL))
    yield "with a comment behind its control", file(_control(0, 3), b"!\xfe\3abc\0", frame(_FULL))
    yield "with text behind its control", file(_control(0, 3), b"!\x01\x0c" + bytes(12) + b"\3abc\0", frame(_FULL))
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    yield "with XMP of 400 kB", file(b"!\xff\x0bXMP DataXMP" + b"<x:xmpmeta>" * 40_000 + trailer, frame(_FULL))
    yield "with a comment of 1 MB", file(b"!\xfe" + blocks(bytes(1_000_000)), frame(_FULL))
    yield "without its end", file(frame(_FULL))[:-1]
    yield "without its last two bytes", file(frame(_FULL))[:-2]
    yield "by Pillow", save(scene(), "GIF")
    yield "by Pillow, transparent", save(scene("RGBA"), "GIF")
