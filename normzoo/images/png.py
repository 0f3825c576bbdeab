"""PNG: the decoder gets header, palette and pixels; transparency and colours are read here, the rest is ignored."""

import itertools
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngImageFile

from normzoo.errors import ImageError
from normzoo.images.convert import MAX_PROFILE_BYTES, Coding, coding_of, coding_of_gamma, minimal_icc_profile, orientation_of
from normzoo.images.limits import DAMAGED, INCOMPLETE, Decoded, Format, check_size, open_with, too_many

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 20_000  # each is looked at on its own; encoders write pixels in pieces of 8 kB or more
#: Other chunks that are read, with their largest size. Those with a wrong checksum are ignored, as in browsers.
_READ = {b"PLTE": 768, b"tRNS": 256, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"acTL": 8, b"fcTL": 26, b"eXIf": 65_536}
_READ |= {b"iCCP": MAX_PROFILE_BYTES}
_GREY, _COLOUR, _PALETTE = 0, 2, 3

Chunk = tuple[bytes, memoryview, bool]


def pixels(data: bytes) -> int:
    """Number of declared pixels; 16-bit pixels count twice, as they take twice as long."""
    width, height, depth = struct.unpack_from(">IIB", data, 16)
    check_size((width, height))
    return int(width * height * (2 if depth == 16 else 1))


def decode(data: bytes, _max_side: int) -> Decoded:
    """Return the image; of an animation the first frame."""
    header, chunks, pixels = _read(data)
    width, height = struct.unpack(">II", header[:8])
    check_size((width, height))
    place = (0, 0)
    if b"fdAT" in chunks:
        *size, left, top = struct.unpack(">4I", chunks[b"fcTL"][4:20])
        if left + size[0] > width or top + size[1] > height:
            raise ImageError(DAMAGED)
        header, place = struct.pack(">II", *size) + header[8:], (left, top)
    image = _load(header, chunks, pixels)
    if image.size != (width, height):
        image, frame = Image.new("RGBA", (width, height)), image
        image.paste(frame.convert("RGBA"), place)
    return Decoded(image, _colour(chunks), orientation_of(chunks.get(b"eXIf", b"")))


def _walk(data: bytes) -> Iterator[Chunk]:
    """Name and content of each chunk, and whether it is read and valid."""
    view, at = memoryview(data), len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, at)
        content = view[at + 8 : at + 8 + length]
        at += 12 + length
        is_read = length <= _READ.get(name, -1)
        yield name, content, is_read and zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big") == data[at - 4 : at]
    raise too_many("chunks", _MAX_CHUNKS)


def _read(data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Header, other chunks and packed pixels."""
    header = data[16:29]
    if len(data) < 33:
        raise ImageError(INCOMPLETE)
    if data[8:16] != b"\0\0\0\rIHDR" or zlib.crc32(data[12:29]).to_bytes(4, "big") != data[29:33]:
        raise ImageError(DAMAGED)
    chunks: dict[bytes, bytes] = {}
    pixels: list[memoryview] = []
    rest = _walk(data)
    for chunk in rest:
        name, content, is_sound = chunk
        if name == b"IDAT":
            pixels.append(content)
        elif pixels:
            rest = itertools.chain([chunk], rest)
            break
        elif name == b"PLTE":
            if not is_sound or name in chunks or not content or len(content) % 3:
                raise ImageError(DAMAGED)
            chunks[name] = bytes(content)
            chunks.pop(b"tRNS", None)  # counts behind the palette only
        elif is_sound:
            chunks.setdefault(name, bytes(content))
    if b"acTL" in chunks and b"fcTL" not in chunks and (frame := _first_frame(rest)):
        chunks[b"fcTL"], pixels = frame
        chunks[b"fdAT"] = b""
    return header, chunks, b"".join(pixels)


def _first_frame(chunks: Iterator[Chunk]) -> tuple[bytes, list[memoryview]] | None:
    """First frame of an animation whose default image is not part of it."""
    control, pixels = b"", []
    for name, content, is_sound in chunks:
        if name == b"fdAT" and control:
            pixels.append(content[4:])
        elif pixels:
            break
        elif name == b"fcTL" and is_sound and len(content) == _READ[name]:
            control = bytes(content)
    return (control, pixels) if pixels else None


def _load(header: bytes, chunks: dict[bytes, bytes], pixels: bytes) -> Image.Image:
    """The image with its transparency, as marked by Pillow."""
    depth, kind = header[8], header[9]
    colours, key = chunks.get(b"PLTE", b""), chunks.get(b"tRNS", b"")
    written = [(b"IHDR", header), (b"PLTE", colours), (b"IDAT", pixels), (b"IEND", b"")]
    file = b"".join(_chunk(name, content) for name, content in written if content or name != b"PLTE")
    image: Image.Image = _decode(file)
    if kind == _PALETTE:
        if not colours:
            raise ImageError(DAMAGED)
        count = len(colours) // 3
        alphas = key[:count].ljust(count, b"\xff")
        image.putpalette(colours + colours[-3:] * (256 - count))  # browsers show the last one for what is beyond
        if key:
            image.info["transparency"] = alphas + alphas[-1:] * (256 - count)
    elif kind == _GREY and len(key) >= 2:
        image.info["transparency"] = int.from_bytes(key[:2], "big") if depth == 16 else key[1] * 255 // ((1 << depth) - 1)
    elif kind == _COLOUR and depth == 8 and len(key) >= 6:
        image.info["transparency"] = tuple(key[1:6:2])
    elif kind == _COLOUR and len(key) >= 6:
        is_key = ImageChops.darker(_equals(image, key[:6:2]), _equals(_decode(file, "RGB;16L"), key[1:6:2]))
        image.putalpha(ImageChops.invert(is_key))
    return image


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))


def _decode(chunks: bytes, raw_mode: str = "") -> PngImageFile:
    """The image of these chunks; of 16-bit colours the upper bytes, or those of another raw mode of Pillow."""
    image = open_with(PngImageFile, _SIGNATURE + chunks)
    if raw_mode:
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
    image.load()
    return image


def _equals(image: Image.Image, colour: bytes) -> Image.Image:
    """White where the image has this colour, else black."""
    red, green, blue = (
        channel.point([255 * (level == value) for level in range(256)])
        for channel, value in zip(image.split(), colour, strict=True)
    )
    return ImageChops.darker(ImageChops.darker(red, green), blue)


def _colour(chunks: dict[bytes, bytes]) -> bytes | Coding | None:
    """Return the colours by the first of cICP, iCCP, sRGB and gAMA that specifies them."""
    codes, gamma = chunks.get(b"cICP", b""), int.from_bytes(chunks.get(b"gAMA", b""), "big")
    if len(codes) == 4 and codes[2] == 0 and (coding := coding_of(codes[0], codes[1], television=2.4)):
        return coding
    if profile := _profile(chunks.get(b"iCCP", b"")):
        return profile
    return coding_of_gamma(gamma / 100_000, chunks.get(b"cHRM", b"")) if gamma and b"sRGB" not in chunks else None


def _profile(chunk: bytes) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(chunk[chunk.index(b"\0") + 2 :], MAX_PROFILE_BYTES + 1)
    except (ValueError, zlib.error):
        return None
    return profile if unpacker.eof and minimal_icc_profile(profile) else None


PNG = Format(pixels, decode)
