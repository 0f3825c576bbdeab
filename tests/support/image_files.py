"""Image files by hand: what Pillow does not write; every kind that people or attackers send, and what must come of it."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from PIL import Image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
SIZE = (16, 12)

_CODES = {2: "s", 3: "H", 4: "I", 7: "s"}  # TIFF types: ASCII, SHORT, LONG, UNDEFINED


def plain(colour=RED, mode="RGB", size=SIZE):
    return Image.new(mode, size, colour)


def save(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def zipped(files, compression=zipfile.ZIP_STORED):
    """A .zip of these files, {name or zipfile.ZipInfo: content}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def png(width, height, depth, colour_type, rows, *chunks, interlace=0):
    """A PNG of filtered but not yet compressed rows; `chunks` go before the pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace))
    pixels = png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_bomb(width, height):
    """One bit a pixel, all black: thousands of times smaller than the picture."""
    return png(width, height, 1, 0, bytes((width + 7) // 8 + 1) * height)


def gif(canvas, frame, before=b"", colour=RED):
    """One frame of the palette's first colour; LZW codes of 3 bits with a clear after each pair of pixels."""
    palette = bytes(colour) + bytes(9)
    pixels = frame[0] * frame[1] if frame[0] * frame[1] < 10_000 else 4
    bits = "".join(f"{code:03b}"[::-1] for _ in range((pixels + 1) // 2) for code in (4, 0, 0)) + "101"
    lzw = bytes(int(bits[place : place + 8][::-1], 2) for place in range(0, len(bits), 8))
    blocks = b"".join(bytes([len(lzw[at : at + 255])]) + lzw[at : at + 255] for at in range(0, len(lzw), 255))
    descriptor = b"," + struct.pack("<HHHHB", 0, 0, *frame, 0)
    return b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x81, 0, 0) + palette + before + descriptor + b"\2" + blocks + b"\0;"


def tiff(tags, pixels=b"", order="<"):
    """A TIFF of these tags, {tag: (type, value or values)}, whose pixels, if any, are one strip."""
    head = 8 + 2 + 12 * (len(tags) + 2 * bool(pixels)) + 4
    if pixels:
        tags = tags | {273: (4, head), 279: (4, len(pixels))}
    entries, rest = b"", pixels
    for tag, (kind, value) in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        content = value if isinstance(value, bytes) else struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        count = len(value) if isinstance(value, bytes) else len(values)
        if len(content) > 4:
            content, rest = struct.pack(f"{order}I", head + len(rest)), rest + content
        entries += struct.pack(f"{order}HHI", tag, kind, count) + content.ljust(4, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}IH", 8, len(entries) // 12) + entries + bytes(4) + rest


def short_strips(compression, strip, tiles=False, more=None):
    """A TIFF of 192×192 whose only strip or tile holds these few bytes: bilevel for fax, else grey of 8 bits."""
    bits = 1 if compression in (2, 3, 4) else 8
    tags = {256: (3, 192), 257: (3, 192), 258: (3, bits), 259: (3, compression), 262: (3, 0)}
    tags |= {277: (3, 1)} | (more or {})
    if not tiles:
        return tiff(tags, strip)
    tags |= {322: (3, 192), 323: (3, 192), 324: (4, 8), 325: (4, len(strip))}
    head = tiff(tags)
    return tiff(tags | {324: (4, len(head))}) + strip


def fax_bomb():
    """124 bytes that libtiff decodes to 192×192 pixels without an error, writing hardly one of them."""
    return short_strips(4, b"\xff")


def grey_tiff(pixels, bits, sample_format=1, photometric=1, order="<"):
    """A 4×2 picture of one deep grey channel."""
    tags = {256: (3, 4), 257: (3, 2), 258: (3, bits), 259: (3, 1), 262: (3, photometric), 277: (3, 1), 339: (3, sample_format)}
    return tiff(tags, pixels, order)


def overlapping_tags(count, size):
    """A TIFF, or EXIF block, whose tags all claim the same `size` bytes: a reader that believes it needs count × size."""
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 7, size, 0) for tag in range(count))
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4) + bytes(size)


def exif(orientation, order="<"):
    return b"Exif\0\0" + tiff({274: (3, orientation)}, order=order)


def jpeg_segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(jpeg, *segments):
    """The JPEG with these segments in place of its JFIF header."""
    jfif_end = 4 + int.from_bytes(jpeg[4:6])
    return jpeg[:2] + b"".join(segments) + jpeg[jfif_end:]


def box(kind, content):
    """Of the ISO media family: HEIC, AVIF, MP4."""
    return struct.pack(">I", len(content) + 8) + kind + content


def turned(image, orientation):
    """How a camera stores the picture that this EXIF orientation puts upright."""
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image.transpose(inverse[orientation]) if orientation in inverse else image.copy()


def quadrants():
    """48×32: red, green / blue, white. Shows any wrong turn."""
    image = plain(RED, size=(48, 32))
    for colour, place in ((GREEN, (24, 0)), (BLUE, (0, 16)), (WHITE, (24, 16))):
        image.paste(colour, (*place, place[0] + 24, place[1] + 16))
    return image


Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Nasty:
    """What must come of a file: a picture of this size with these pixels, or else a sentence with this word in it."""

    make: Callable[[], bytes]
    size: tuple[int, int] = (0, 0)
    pixels: dict[tuple[int, int], Colour] = field(default_factory=dict)
    error: str = ""


NASTIES = {}


def _picture(name, make, colour, size=SIZE):
    _pixels(name, make, size, {(size[0] // 2, size[1] // 2): colour})


def _pixels(name, make, size, pixels):
    NASTIES[name] = Nasty(cache(make), size, pixels)


def _error(name, make, word="damaged"):
    NASTIES[name] = Nasty(cache(make), error=word)


def _grey(level):
    return level, level, level


FORMATS = {
    "jpeg": ("JPEG", {"quality": 95}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "avif": ("AVIF", {"quality": 95}),
}


def whole(kind, image=None):
    file_format, options = FORMATS[kind]
    return save(image or quadrants(), file_format, **options)


_QUADRANTS = {(8, 8): RED, (40, 8): GREEN, (8, 24): BLUE, (40, 24): WHITE}
_NOISE = random.Random(0).randbytes(4000)
SIGNATURES = {
    "jpeg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF\0\0\0\0WEBPVP8 ",
    "gif": b"GIF89a",
    "bmp": b"BM",
    "tiff": b"II*\0\x08\0\0\0",
    "avif": box(b"ftyp", b"avif\0\0\0\0avif"),
}
for _kind in FORMATS:
    _pixels(f"{_kind}", lambda kind=_kind: whole(kind), (48, 32), _QUADRANTS)
    _picture(f"{_kind} of one pixel", lambda kind=_kind: whole(kind, plain(size=(1, 1))), RED, (1, 1))
    _pixels(f"{_kind} with HTML behind", lambda kind=_kind: whole(kind) + b"<script>x</script>", (48, 32), _QUADRANTS)
    _cut = "damaged" if _kind == "tiff" else "incomplete"
    _error(f"{_kind} cut in half", lambda kind=_kind: whole(kind)[: len(whole(kind)) // 2], _cut)
    _error(f"{_kind} signature alone", lambda kind=_kind: SIGNATURES[kind], "picture")
    _error(f"{_kind} signature before noise", lambda kind=_kind: SIGNATURES[kind] + b"\0" + _NOISE, "picture")


_pixels("tiff turned 6", lambda: save(turned(quadrants(), 6), "TIFF", tiffinfo={274: 6}), (48, 32), _QUADRANTS)
_picture("jpeg turned 99", lambda: save(plain(), "JPEG", exif=exif(99)), RED)
_picture("jpeg with EXIF of noise", lambda: save(plain(), "JPEG", exif=b"Exif\0\0" + _NOISE), RED)
_picture("jpeg with EXIF cut off", lambda: save(plain(), "JPEG", exif=exif(6)[:20]), RED)
_picture("jpeg with EXIF that points outside", lambda: save(plain(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), RED)


def _jpeg_exif_bomb():
    block = overlapping_tags(300, 1_000_000)
    parts = [b"Exif\0\0" + block[start : start + 65_000] for start in range(0, len(block), 65_000)]
    return with_segments(whole("jpeg", plain()), *(jpeg_segment(0xE1, part) for part in parts))


_picture("jpeg bomb of overlapping EXIF tags", _jpeg_exif_bomb, RED)
for _kind in ("png", "webp", "avif"):
    _picture(
        f"{_kind} bomb of overlapping EXIF tags",
        lambda kind=_kind: save(plain(), FORMATS[kind][0], quality=95, exif=b"Exif\0\0" + overlapping_tags(300, 1_000_000)),
        RED,
    )


_NOISY = Image.frombytes("RGB", (256, 256), random.Random(1).randbytes(256 * 256 * 3))


def _jpeg_scans():
    file = save(plain(size=(64, 64)), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    return file[:-2] + file[last:-2] * 5000 + b"\xff\xd9"


def _jpeg_claiming(width, height):
    file = bytearray(whole("jpeg"))
    struct.pack_into(">HH", file, file.index(b"\xff\xc0") + 5, height, width)
    return bytes(file)


_picture("jpeg 20 times as long as wide", lambda: save(plain(size=(4000, 200)), "JPEG", quality=95), RED, (1024, 200))
_picture("jpeg of 48 megapixels", lambda: save(plain(90, "L", (8000, 6000)), "JPEG"), _grey(90), (1000, 750))
_pixels("jpeg without its last two bytes", lambda: whole("jpeg")[:-2], (48, 32), _QUADRANTS)
_pixels("jpeg without its last byte", lambda: whole("jpeg")[:-1], (48, 32), _QUADRANTS)
_picture("jpeg progressive without its end", lambda: save(plain(), "JPEG", progressive=True)[:-2], RED)
_error("jpeg without its last 300 bytes", lambda: save(_NOISY, "JPEG")[:-300], "incomplete")
_error("jpeg progressive without its last 300 bytes", lambda: save(_NOISY, "JPEG", progressive=True)[:-300], "incomplete")
_error("jpeg flood of scans", _jpeg_scans, "50 scans")
_error("jpeg flood of segments", lambda: with_segments(whole("jpeg"), jpeg_segment(0xFE, b"") * 100_000), "5,000 segments")
_pixels("jpeg flood of fill bytes", lambda: with_segments(whole("jpeg"), b"\xff" * 1_000_000), (48, 32), _QUADRANTS)
_error("jpeg that claims 65535×65535", lambda: _jpeg_claiming(65535, 65535), "pixels")
_error("jpeg that claims no height", lambda: _jpeg_claiming(48, 0))
_error("jpeg of 12 bits", lambda: whole("jpeg").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"))
_error("jpeg signature before a png", lambda: b"\xff\xd8\xff" + whole("png"), "picture")


def _palette(size=SIZE):
    image = Image.new("P", size, 1)
    image.putpalette(bytes((*BLUE, *RED, *GREEN)))
    return image


def _red_pixel(*chunks):
    return png(1, 1, 8, 2, b"\0" + bytes(RED), *chunks)


def _png_profile_bomb():
    return _red_pixel(png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000), 9)))


def _png_text_bomb():
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    return png(1, 1, 8, 0, b"\0\0", text)


_picture("png with a colour hidden under alpha 0", lambda: save(plain((255, 0, 0, 0), "RGBA"), "PNG"), WHITE)
_picture("png with an unknown chunk", lambda: _red_pixel(png_chunk(b"abCd", _NOISE)), RED, (1, 1))
_picture("png of 40 megapixels", lambda: png_bomb(8000, 5000), BLACK, (1000, 625))
_picture("png of 20000×1", lambda: png_bomb(20_000, 1), BLACK, (1024, 1))
_picture("png of 1×20000", lambda: png_bomb(1, 20_000), BLACK, (1, 1024))
_error("png bomb of 20000×20000", lambda: png_bomb(20_000, 20_000), "pixels")
_error("png bomb of 110 megapixels", lambda: png_bomb(11_000, 10_000), "pixels")
_error("png of 100000×1", lambda: png_bomb(100_000, 1), "along one side")
_error("png of 1×100000", lambda: png_bomb(1, 100_000), "along one side")
_error("png that claims 2147483647×2147483647", lambda: png(2**31 - 1, 2**31 - 1, 8, 2, b""), "pixels")
_error("png of 0×0", lambda: png(0, 0, 8, 2, b""))
_error("png without pixels", lambda: png(1, 1, 8, 2, b"").replace(b"IDAT", b"IEND"), "incomplete")
_error("png with too few pixels", lambda: png(100, 100, 8, 2, b"\0"), "incomplete")
_error("png with a wrong checksum", lambda: whole("png").replace(b"IHDR\0\0\0\x30", b"IHDR\0\0\0\x31"))
_error("png of an undefined kind", lambda: png(1, 1, 7, 5, b"\0\0"))
_picture("png bomb of text", _png_text_bomb, BLACK, (1, 1))
_picture("png bomb of a profile", _png_profile_bomb, RED, (1, 1))
_picture("png flood of chunks", lambda: png(1, 1, 8, 0, b"\0\0", png_chunk(b"abCd", b"") * 15_000), BLACK, (1, 1))
_error("png larger flood of chunks", lambda: png(1, 1, 8, 0, b"\0\0", png_chunk(b"abCd", b"") * 500_000), "20,000 chunks")
_picture("png with text as transparency", lambda: _red_pixel(png_chunk(b"tEXt", b"transparency\0x")), RED, (1, 1))
_error("png palette without a palette", lambda: png(8, 1, 4, 3, b"\0\x01\x23\x45\x67"))


_COMMENT = b"!\xfe" + (b"\xff" + bytes(255)) * 20_000 + b"\0"

_pixels(
    "gif that is a script too",
    lambda: gif((int.from_bytes(b"/*", "little"), 1), (1, 1), b"!\xfe\x08*/=1;<!-\0"),
    (1024, 1),
    {(0, 0): WHITE, (512, 0): WHITE},  # its one pixel is far from the middle
)
_error("gif bomb of 10000×10000", lambda: gif((10_000, 10_000), (10_000, 10_000)), "pixels")
_error("gif bomb in a frame of a canvas of 1×1", lambda: gif((1, 1), (10_000, 10_000)), "picture")
_error("gif bomb of 65535×65535", lambda: gif((1, 1), (65_535, 65_535)), "picture")
_picture("gif flood of comments", lambda: gif(SIZE, SIZE, _COMMENT), RED)
_error("gif larger flood of comments", lambda: gif(SIZE, SIZE, b"!\xfe" + b"\1x" * 1_000_000 + b"\0"), "100,000 blocks")
_error("gif without a frame", lambda: gif(SIZE, SIZE)[:25] + b";")


def _deep(name, pixels, bits, levels, **options):
    colours = {(column, 0): _grey(level) for column, level in enumerate(levels)}
    _pixels(f"tiff {name}", lambda: grey_tiff(pixels * 2, bits, **options), (4, 2), colours)


def _tiff_strips(count):
    tags = {256: (3, 1), 257: (3, 2), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (4, 1)}
    return tiff(tags | {273: (4, (8,) * count)})


def _tiff_tiles(side):
    tags = {256: (3, 1), 257: (3, 1), 258: (3, 8), 259: (3, 8), 262: (3, 1), 277: (3, 1), 322: (4, side), 323: (4, side)}
    pixels = zlib.compress(bytes(side * side), 1)
    return tiff(tags | {324: (4, 0), 325: (4, len(pixels))} | {270: (7, pixels)}).replace(bytes(4), struct.pack("<I", 154), 1)


_STEPS = (0, 257 * 100, 257 * 128, 65535)
_deep("grey of 16 bits", struct.pack("<4H", *_STEPS), 16, [0, 100, 128, 255])
_deep("grey of 16 bits, big-endian", struct.pack(">4H", *_STEPS), 16, [0, 100, 128, 255], order=">")
_deep("grey of 16 bits, white is zero", struct.pack("<4H", *_STEPS), 16, [255, 155, 127, 0], photometric=0)
_deep("grey of 12 bits", bytes.fromhex("000fff800400"), 12, [0, 255, 128, 64])
_deep("floats in 0…1", struct.pack("<4f", 0, 0.25, 0.5, 1), 32, [0, 64, 128, 255], sample_format=3)
_deep("floats beyond 0…1", struct.pack("<4f", -20, 0, 10, 80), 32, [0, 51, 76, 255], sample_format=3)
_deep(
    "floats that are no numbers",
    struct.pack("<4f", float("nan"), 1, float("inf"), float("-inf")),
    32,
    [0, 255, 255, 0],
    sample_format=3,
)
_deep("floats that signal", struct.pack("<4I", 0x7F800001, 0, 0x3F800000, 0), 32, [0, 0, 255, 0], sample_format=3)
_deep("floats that are all NaN", struct.pack("<4f", *[float("nan")] * 4), 32, [0, 0, 0, 0], sample_format=3)
_deep("floats that are all 7", struct.pack("<4f", 7, 7, 7, 7), 32, [0, 0, 0, 0], sample_format=3)
_deep("largest floats", struct.pack("<4f", -3.4e38, 0, 3.4e38, 3.4e38), 32, [0, 128, 255, 255], sample_format=3)
_deep("integers in 0…255", struct.pack("<4i", 0, 20, 100, 200), 32, [0, 20, 100, 200], sample_format=2)
_deep("integers in 0…65535", struct.pack("<4i", 0, 257, 2570, 40_000), 32, [0, 1, 10, 156], sample_format=2)
_deep("integers of any size", struct.pack("<4i", -1_000_000, 0, 0, 1_000_000), 32, [0, 128, 128, 255], sample_format=2)
_deep("signed 16 bits", struct.pack("<4h", -100, 0, 50, 100), 16, [0, 128, 191, 255], sample_format=2)
_picture(
    "tiff colour of 16 bits",
    lambda: tiff(
        {256: (3, 1), 257: (3, 1), 258: (3, (16, 16, 16)), 259: (3, 1), 262: (3, 2), 277: (3, 3)},
        struct.pack("<3H", 65535, 0, 0x6400),
    ),
    (255, 0, 100),
    (1, 1),
)
_picture("tiff CMYK", lambda: save(plain((0, 255, 255, 0), "CMYK"), "TIFF"), RED)
_picture("tiff LAB", lambda: save(plain((136, 128, 128), "LAB"), "TIFF"), _grey(127))
_picture("tiff by deflate", lambda: save(plain(), "TIFF", compression="tiff_adobe_deflate"), RED)
_picture("tiff by run lengths", lambda: save(plain(), "TIFF", compression="packbits"), RED)
_picture("tiff one bit, white is zero", lambda: save(plain(1, "1"), "TIFF"), WHITE)
_error("tiff YCbCr by JPEG", lambda: save(plain(), "TIFF", compression="jpeg"), "compressed")
_error("tiff fax", lambda: save(plain(1, "1"), "TIFF", compression="group4"), "compressed")
_error("tiff of one byte of fax", fax_bomb, "compressed")
_picture("tiff half transparent", lambda: save(plain((255, 0, 0, 128), "RGBA"), "TIFF"), (255, 127, 127))
_picture("tiff palette", lambda: save(_palette(), "TIFF"), RED)
_picture("tiff of two pages", lambda: save(plain(), "TIFF", save_all=True, append_images=[plain(BLUE)]), RED)
_picture("tiff beyond 4 GB (BigTIFF)", lambda: save(plain(), "TIFF", big_tiff=True), RED)
_error("tiff bomb of overlapping tags", lambda: overlapping_tags(300, 1_000_000))
_error("tiff bomb of a tile of 8000×8000", lambda: _tiff_tiles(8_000), "pixels")
_error("tiff flood of strips", lambda: _tiff_strips(1_000_000))
_error(
    "tiff that claims 4294967295×4294967295", lambda: tiff({256: (4, 2**32 - 1), 257: (4, 2**32 - 1), 273: (4, 8)}), "pixels"
)
_error("tiff whose directory is itself", lambda: b"II*\0" + bytes([4, 0, 0, 0]) * 10)
_error("tiff without size", lambda: tiff({258: (3, 8), 262: (3, 1)}, bytes(4)))


_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
_NOT_READ = {
    "one byte": lambda: b"\xff",
    "zeros": lambda: bytes(1000),
    "noise": lambda: _NOISE,
    "text": lambda: b"not a picture",
    "HTML": lambda: b"<!doctype html><script>alert(1)</script>",
    "SVG": lambda: _SVG,
    "SVG with an XML head": lambda: b'<?xml version="1.0"?>' + _SVG,
    "XML of a billion laughs": lambda: b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>',
    "JSON": lambda: b'{"path": "/etc/passwd"}',
    "PDF": lambda: save(plain(), "PDF"),
    "zip": lambda: zipped({"photo.jpg": whole("jpeg")}),
    "zip before a jpeg": lambda: zipped({"photo.jpg": whole("jpeg")}) + whole("jpeg"),
    "space before a png": lambda: b" " + whole("png"),
    "pickle": lambda: b"\x80\x04cos\nsystem\n(S'id'\ntR.",
    "MP4": lambda: box(b"ftyp", b"isom\0\0\0\0isommp42") + _NOISE,
    "EPS": lambda: save(plain(), "EPS"),
    "JPEG 2000": lambda: save(plain(), "JPEG2000"),
    "ICO": lambda: save(plain(), "ICO"),
    "ICNS": lambda: save(plain(size=(16, 16)), "ICNS"),
    "TGA": lambda: save(plain(), "TGA"),
    "PCX": lambda: save(plain(), "PCX"),
    "PPM": lambda: save(plain(), "PPM"),
    "SGI": lambda: save(plain(), "SGI"),
    "DDS": lambda: save(plain(), "DDS"),
    "QOI": lambda: save(plain(), "QOI"),
    "XBM": lambda: save(plain(1, "1"), "XBM"),
    "PSD": lambda: b"8BPS\0\1" + _NOISE,
    "WMF": lambda: b"\xd7\xcd\xc6\x9a\0\0" + _NOISE,
    "FITS": lambda: b"SIMPLE  =                    T".ljust(2880),
}
for _name, _make in _NOT_READ.items():
    _error(_name, _make, "not a picture")
_error("empty", lambda: b"", "empty")
_error("HEIC", lambda: box(b"ftyp", b"heic\0\0\0\0mif1heic") + _NOISE, "HEIC")
_error("HEIF", lambda: box(b"ftyp", b"mif1\0\0\0\0mif1heic") + _NOISE, "HEIC")
_error("more than 20 MB", lambda: whole("jpeg") + bytes(20_000_000), "MB")
