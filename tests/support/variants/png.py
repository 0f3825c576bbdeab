"""PNG: every kind of pixel, transparency, order of chunks, animation, and metadata that is odd or broken."""

import itertools
import random
import struct
import zlib

from tests.support.image_files import exif, png, png_chunk, quadrants, save, turned
from tests.support.variants.scene import HEIGHT, WIDTH, palette, scene

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_END = png_chunk(b"IEND", b"")


def rows(colour, depth, interlace=0):
    """Noise in all five filters."""
    noise = random.Random(depth)
    content = b""
    for left, top, right, down in _ADAM7 if interlace else ((0, 0, 1, 1),):
        width, height = -(-(WIDTH - left) // right), -(-(HEIGHT - top) // down)
        length = (width * depth * _CHANNELS[colour] + 7) // 8
        content += b"".join(bytes([noise.randrange(5)]) + noise.randbytes(length) for _ in range(height))
    return content


def noise(colour, depth, *chunks, interlace=0):
    """A PNG of noise with these chunks, tRNS among them behind the palette."""
    behind = [chunk for chunk in chunks if chunk[4:8] == b"tRNS"]
    before = [chunk for chunk in chunks if chunk not in behind]
    colours = [png_chunk(b"PLTE", palette(1 << depth))] if colour == 3 else []
    return png(WIDTH, HEIGHT, depth, colour, rows(colour, depth, interlace), *before, *colours, *behind, interlace=interlace)


def _transparency(colour, depth):
    if colour == 0:
        values = sorted({0, 1, (1 << depth) - 1})
        return {f"grey {value} transparent": png_chunk(b"tRNS", struct.pack(">H", value)) for value in values}
    if colour == 3:
        alphas = random.Random(9).randbytes(1 << depth)
        return {"alpha": png_chunk(b"tRNS", alphas), "one transparent": png_chunk(b"tRNS", b"\xff\0")}
    return {}


def _kinds():
    for colour, depths in _DEPTHS.items():
        for depth, interlace in itertools.product(depths, (0, 1)):
            name = f"of type {colour}, {depth} bits" + ", interlaced" * interlace
            yield name, noise(colour, depth, interlace=interlace)
            for which, chunk in _transparency(colour, depth).items():
                yield f"{name}, {which}", noise(colour, depth, chunk, interlace=interlace)


def _keys():
    """One colour is transparent, a near one is not."""
    key, near = bytes.fromhex("123456789abc"), bytes.fromhex("123456789abd")
    yield "colour of 16 bits, one transparent", png(4, 1, 16, 2, b"\0" + (key + near) * 2, png_chunk(b"tRNS", key))
    key8, near8 = bytes((1, 2, 3)), bytes((1, 2, 4))
    for name, high in (("", 0), (", stray upper bytes", 9)):
        chunk = png_chunk(b"tRNS", bytes((high, 1, high, 2, high, 3)))
        yield f"colour of 8 bits, one transparent{name}", png(4, 1, 8, 2, b"\0" + (key8 + near8) * 2, chunk)
    grey = b"\0" + bytes((1, 2, 1, 3)) * 4
    yield "grey of 16 bits, one transparent", png(8, 1, 16, 0, grey, png_chunk(b"tRNS", b"\1\2"))
    yield "grey of 2 bits, stray upper bits", png(8, 1, 2, 0, b"\0\x1b\x1b", png_chunk(b"tRNS", b"\1\5"))
    steps = b"\0" + bytes(range(8))
    for name, chunks in {
        "two of them": (png_chunk(b"tRNS", b"\0\1"), png_chunk(b"tRNS", b"\0\2")),
        "too short": (png_chunk(b"tRNS", b"\2"),),
        "too long": (png_chunk(b"tRNS", b"\0\2\0\4"),),
        "empty": (png_chunk(b"tRNS", b""),),
        "a bad checksum": (png_chunk(b"tRNS", b"\0\2")[:-1] + b"x",),
    }.items():
        yield f"grey, transparency: {name}", png(8, 1, 8, 0, steps, *chunks)
    behind = png(8, 1, 8, 0, steps).replace(_END, png_chunk(b"tRNS", b"\0\1") + _END)
    yield "grey, transparency behind the pixels", behind


def _palettes():
    row = b"\0\x01\x23\x45\x67"
    eight, alphas = png_chunk(b"PLTE", palette(8)), png_chunk(b"tRNS", bytes(range(0, 160, 10)))
    for name, chunks in {
        "shorter than its indices": (png_chunk(b"PLTE", palette(3)),),
        "shorter than its indices, alpha": (png_chunk(b"PLTE", palette(3)), alphas),
        "with more alphas than colours": (eight, alphas),
        "with transparency before it": (png_chunk(b"tRNS", b"\0\1"), eight),
        "with transparency of a bad checksum": (eight, png_chunk(b"tRNS", bytes(8))[:-1] + b"x"),
    }.items():
        yield f"palette {name}", png(8, 1, 4, 3, row, *chunks)
    yield "with suggested colours", noise(2, 8, png_chunk(b"PLTE", palette(5)))
    yield "with a background", noise(6, 8, png_chunk(b"bKGD", bytes(6)))


def _metadata():
    for name in (
        "gAMA",
        "pHYs",
        "sRGB",
        "iCCP",
        "cHRM",
        "tIME",
        "tEXt",
        "zTXt",
        "iTXt",
        "sBIT",
        "hIST",
        "eXIf",
        "acTL",
        "cICP",
    ):
        yield f"with an empty {name}", noise(2, 8, png_chunk(name.encode(), b""))
    for name, content in {b"tEXt": b"a\0b", b"tIME": bytes(7), b"gAMA": struct.pack(">I", 100_000)}.items():
        yield f"with a bad checksum in {name.decode()}", noise(2, 8, png_chunk(name, content)[:-1] + b"x")
    text = random.Random(1).randbytes(4000) * 400
    for name, content in {
        b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text),
        b"zTXt": b"Comment\0\0" + zlib.compress(text),
        b"tEXt": b"Comment\0" + text,
    }.items():
        yield f"with {name.decode()} of 1.6 MB", noise(2, 8, png_chunk(name, content))
    yield "with a broken chunk name", noise(2, 8, png_chunk(b"a\x01bc", b""))


def _streams():
    whole = noise(2, 8)
    start = whole.index(b"IDAT") - 4
    head, stream = whole[:start], zlib.compress(rows(2, 8), 9)
    pixels = png_chunk(b"IDAT", stream)
    yield "in many pieces", head + b"".join(png_chunk(b"IDAT", stream[at : at + 3]) for at in range(0, len(stream), 3)) + _END
    yield "with a bad checksum of its pixels", head + pixels[:-1] + b"x" + _END
    yield "without its end", head + pixels
    yield "cut in the checksum of its pixels", head + pixels[:-3]
    yield "cut in the checksum of its stream", head + pixels[:-6]
    yield "without the checksum of its stream", head + png_chunk(b"IDAT", stream[:-4]) + _END
    yield "with more rows than it says", head + png_chunk(b"IDAT", zlib.compress(rows(2, 8) * 2)) + _END


def files():
    yield from itertools.chain(_kinds(), _keys(), _palettes(), _metadata(), _streams())
    yield "turned 6", save(turned(quadrants(), 6), "PNG", exif=exif(6))
    yield "turned behind its pixels", save(quadrants(), "PNG").replace(_END, png_chunk(b"eXIf", exif(3)[6:]) + _END)
    other = quadrants().resize((WIDTH, HEIGHT))
    yield "animated", save(scene(), "PNG", save_all=True, append_images=[other])
    apart = {"save_all": True, "default_image": True}
    yield "animated without its first picture", save(scene(), "PNG", append_images=[other, scene().rotate(90)], **apart)
    control = struct.pack(">5IHHBB", 0, 10, 5, 4, 3, 1, 1, 0, 0)
    frame = struct.pack(">I", 1) + zlib.compress((b"\0" + bytes(range(30))) * 5)
    chunks = png_chunk(b"fcTL", control) + png_chunk(b"fdAT", frame)
    small = noise(2, 8, png_chunk(b"acTL", struct.pack(">II", 1, 0))).replace(_END, chunks + _END)
    yield "animated, first frame smaller", small
