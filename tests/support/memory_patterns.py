"""Decodes hostile files over memory filled with different patterns: whatever changes was never written by the file.

`python -m tests.support.memory_patterns` does so for the whole corpus and names each file whose picture differs. It needs
glibc, and `ENVIRONMENT` in place when the process starts: cached blocks would be handed out unfilled.
"""

import ctypes
import io
import struct
import sys
import zlib
from functools import cache

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from normzoo.errors import ImageError
from normzoo.images.preprocess import load_image
from tests.support.image_files import NASTIES, fax_bomb, png, png_chunk, save, short_strips
from tests.support.profiles import LINEAR_GREY, P3, cmyk_profile
from tests.support.variants import variants

#: What glibc must find when the process starts, so that every block comes filled.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
PATTERNS = (0x01, 0x5A, 0xC3)
_M_PERTURB = -6
_CUTS, _VARIANT_CUTS = 24, 4


def outcomes(data):
    """What comes of a file, once for each pattern: one element where no memory shows through."""
    return {_over(pattern, lambda: _outcome(data)) for pattern in PATTERNS}


def _over(pattern, decode):
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_PERTURB, pattern)
    try:
        return decode()
    finally:
        libc.mallopt(_M_PERTURB, 0)


def _outcome(data):
    try:
        image = load_image(data, allow_tiff=True)
    except ImageError as error:
        return str(error).encode()
    return b"picture" + struct.pack("<2I", *image.size) + image.tobytes()


@cache
def _scene(mode="RGB"):
    """Enough detail that no format packs it into its first bytes."""
    size = (96, 80)
    noise = Image.effect_noise(size, 60)
    picture = Image.merge("RGB", (noise, Image.linear_gradient("L").resize(size), Image.radial_gradient("L").resize(size)))
    if mode == "RGBA":
        picture.putalpha(noise)
    return picture.convert(mode)


def _whole():
    """Files of every accepted format, in the ways that their decoders tell apart."""
    colour, alpha = _scene(), _scene("RGBA")
    frames = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    for name, image, kind, options in (
        ("jpeg", colour, "JPEG", {}),
        ("jpeg progressive", colour, "JPEG", {"progressive": True}),
        ("jpeg with restarts", colour, "JPEG", {"restart_marker_blocks": 4}),
        ("jpeg grey", _scene("L"), "JPEG", {}),
        ("jpeg CMYK", _scene("CMYK"), "JPEG", {}),
        ("png", colour, "PNG", {}),
        ("png alpha", alpha, "PNG", {}),
        ("png animated", colour, "PNG", frames),
        ("gif", colour, "GIF", {"interlace": 0}),
        ("gif interlaced", colour, "GIF", {"interlace": 1}),
        ("gif animated", colour, "GIF", frames),
        ("webp", colour, "WEBP", {}),
        ("webp lossless", colour, "WEBP", {"lossless": True}),
        ("webp alpha", alpha, "WEBP", {}),
        ("webp animated", colour, "WEBP", frames),
        ("avif", colour, "AVIF", {}),
        ("avif alpha", alpha, "AVIF", {}),
        ("avif animated", colour, "AVIF", frames),
        ("avif tiled", colour.resize((512, 512)), "AVIF", {"tile_rows": 2, "tile_cols": 2}),
        ("bmp", colour, "BMP", {}),
        ("bmp palette", _scene("P"), "BMP", {}),
        *((f"tiff {packing}", colour, "TIFF", {"compression": packing}) for packing in _TIFF_PACKINGS),
        ("tiff fax", _scene("1"), "TIFF", {"compression": "group4"}),
    ):
        yield name, save(image, kind, **options)
    rows = b"".join(b"\0" + bytes(range(96)) for _ in range(80))
    yield "png interlaced, cut inside its stream", png(96, 80, 8, 0, rows, interlace=1)


#: Nothing, noise, and streams that end well after a few pixels: of fax, LZW, deflate, run lengths.
_SHORT_STREAMS = (
    *(b"\xff", bytes(8), b"\x80\x0b\x60\x50", bytes.fromhex("001001001001")),
    *(bytes.fromhex("80000e0100"), zlib.compress(bytes(50)), zlib.compress(b""), b"\xf0\x07", b"\x80"),
)
_TIFF_SHAPES = {
    "strips": {},
    "tiles": {"tiles": True},
    "rows": {"more": {278: (3, 8)}},
    "strips in three colours": {"more": {258: (3, (8, 8, 8)), 262: (3, 2), 277: (3, 3)}},
    "planes": {"more": {258: (3, (8, 8, 8)), 262: (3, 2), 277: (3, 3), 284: (3, 2)}},
    "tiles in planes": {"tiles": True, "more": {258: (3, (8, 8, 8)), 262: (3, 2), 277: (3, 3), 284: (3, 2)}},
    "strips of 16 bits": {"more": {258: (3, 16)}},
    "strips with a predictor": {"more": {317: (3, 2)}},
}
_TIFF_PACKINGS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")


def _end_jpeg(data):
    return data + b"\xff\xd9"


def _end_png(data):
    """The pixels of a cut file as whole chunks: only their stream is short."""
    start = data.find(b"IDAT")
    if start < 0:
        return data
    return data[: start - 4] + png_chunk(b"IDAT", data[start + 4 :]) + png_chunk(b"IEND", b"")


def _end_png_stream(data):
    """The same, and the stream says that it is complete: nothing is wrong but that rows are missing."""
    start = data.find(b"IDAT")
    stream = zlib.decompressobj()
    try:
        rows = stream.decompress(data[start + 4 :])
    except zlib.error:
        return data
    return _end_png(data[: start + 4] + zlib.compress(rows)) if start > 0 else data


def _end_webp(data):
    """Sizes that agree with what is left."""
    data = data[: len(data) // 2 * 2]
    if len(data) < 20:
        return data
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    if data[12:16] in (b"VP8 ", b"VP8L"):
        data = data[:16] + struct.pack("<I", len(data) - 20) + data[20:]
    return data


def _zeros(data):
    return lambda part: part + bytes(len(data) - len(part))


def corpus():
    """Files of every accepted format, cut at many places and mended as far as containers go; and every nasty file."""
    for name, data in _whole():
        kind = name.split()[0]
        ends = {"cut": lambda part: part, "filled with zeros": _zeros(data)}
        ends |= {"jpeg": {"ended": _end_jpeg}, "gif": {"ended": lambda part: part + b"\0;"}, "webp": {"ended": _end_webp}}.get(
            kind, {}
        )
        if kind == "png":
            ends |= {"ended": _end_png, "ended in its stream": _end_png_stream}
        for end, mend in ends.items():
            for cut in range(1, _CUTS):
                yield f"{name}, {end} at {cut}/{_CUTS}", mend(data[: len(data) * cut // _CUTS])
    for name, data in variants():
        if len(data) < 100_000:  # the larger ones are so by their metadata
            for cut in range(1, _VARIANT_CUTS + 1):
                yield f"{name}, {cut}/{_VARIANT_CUTS}", data[: len(data) * cut // _VARIANT_CUTS]
    # A table for inks takes thirty times as long as curves.
    for name, mode, profile, cuts in (
        ("RGB", "RGB", P3, _CUTS),
        ("grey", "L", LINEAR_GREY, _CUTS),
        ("CMYK", "CMYK", cmyk_profile(), 6),
    ):
        for cut in range(132, len(profile), max(1, len(profile) // cuts)):
            part = profile[:cut].ljust(len(profile), b"\0")
            yield f"jpeg, {name}, profile of zeros from {cut}", save(_scene(mode), "JPEG", icc_profile=part)
    for compression in (1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34925, 50000, 50001):
        for strip in _SHORT_STREAMS:
            for shape, options in _TIFF_SHAPES.items():
                yield (
                    f"tiff of short {shape}, compression {compression}, {strip.hex()}",
                    short_strips(compression, strip, **options),
                )
    yield "tiff of one byte of fax", fax_bomb()
    for name, nasty in NASTIES.items():
        if "bomb" not in name and "flood" not in name and "20 MB" not in name:
            yield name, nasty.make()


def main():
    """Print the files whose pictures hold memory; as the exit code, whether there are some, or the patterns do not work."""
    Image.init()
    if not _patterns_show():
        print("The patterns do not reach freshly allocated memory: is this glibc, and was ENVIRONMENT set at the start?")
        return 2
    leaking, count = 0, 0
    for name, data in corpus():
        count += 1
        if (found := len(outcomes(data))) > 1:
            leaking += 1
            print(f"{name}: {found} outcomes over {len(PATTERNS)} patterns")
    print(f"{count} files decoded over {len(PATTERNS)} patterns of memory", file=sys.stderr)
    return int(leaking > 0)


def _patterns_show():
    """Does the fault that this was written for show here, when Pillow is asked for the picture without our loader?"""
    return len({_over(pattern, lambda: TiffImageFile(io.BytesIO(fax_bomb())).tobytes()) for pattern in PATTERNS}) > 1


if __name__ == "__main__":
    sys.exit(main())
