"""Image files by hand, for what Pillow does not write."""

import io
import struct
import zlib

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
