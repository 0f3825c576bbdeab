"""Files of every accepted format in the variants that decoders tell apart; Chromium shows each, as `load_image` does."""

import itertools
import random
import struct
import zlib

from PIL import Image

from tests.support import profiles
from tests.support.image_files import exif, jpeg_segment, png, png_chunk, quadrants, save, tiff, turned, with_segments
from tests.support.profiles import LINEAR_GREY, P3, PROPHOTO_18

WIDTH, HEIGHT = 37, 21  # odd, so that no row or block is full


def scene(mode="RGB", size=(WIDTH, HEIGHT)):
    """Soft colours with some grain and hard edges."""
    grain = Image.frombytes("L", size, random.Random(5).randbytes(size[0] * size[1]))
    ramp = Image.linear_gradient("L")
    down = ramp.rotate(90).resize(size)
    colours = Image.merge("RGB", (ramp.resize(size), down, Image.radial_gradient("L").resize(size)))
    picture = Image.blend(colours, grain.convert("RGB"), 0.15)
    picture.paste((250, 10, 30), (4, 3, 12, 9))
    picture = picture.convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.blend(down, grain, 0.3))
    return picture


def palette(count):
    return random.Random(7).randbytes(3 * count)


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


def _png():
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


_SRGB = png_chunk(b"sRGB", b"\0")


def _gamma(value):
    return png_chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def _chromaticities(primaries):
    *colours, white = primaries
    return png_chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * value) for xy in (white, *colours) for value in xy)))


def _codes(*values):
    return png_chunk(b"cICP", bytes(values))


def _profile(content):
    return png_chunk(b"iCCP", b"x\0\0" + zlib.compress(content))


def _png_colours():
    large = profiles.larger(P3, random.Random(1).randbytes(4000) * 400)
    for name, chunks in {
        "gamma 1": (_gamma(1),),
        "gamma 1/2.2": (_gamma(1 / 2.2),),
        "gamma 1/1.8": (_gamma(1 / 1.8),),
        "gamma 0": (_gamma(0),),
        "gamma and chromaticities of sRGB": (_gamma(0.45455), _chromaticities(profiles.SRGB)),
        "gamma and chromaticities of P3": (_gamma(1 / 2.2), _chromaticities(profiles.DISPLAY_P3)),
        "gamma and chromaticities of nothing": (_gamma(1), png_chunk(b"cHRM", bytes(32))),
        "chromaticities of P3 alone": (_chromaticities(profiles.DISPLAY_P3),),
        "gamma, and sRGB": (_gamma(1), _SRGB),
        "gamma, and a profile": (_gamma(1), _profile(P3)),
        "gamma, and a broken profile": (_gamma(1), _profile(b"nonsense" * 40)),
        "sRGB, and a profile": (_SRGB, _profile(P3)),
        "a profile of grey": (_profile(LINEAR_GREY),),
        "a profile of CMYK": (_profile(profiles.cmyk_profile()),),
        "a profile that is cut": (png_chunk(b"iCCP", b"x\0\0" + zlib.compress(P3)[:-40]),),
        "a profile whose stream has no checksum": (png_chunk(b"iCCP", b"x\0\0" + zlib.compress(P3)[:-4]),),
        "a profile of 1.6 MB": (_profile(large),),
        "1.6 MB behind a profile": (_profile(P3 + bytes(1_600_000)),),
        **{f"the profile {name}": (_profile(content),) for name, content in profiles.RGB.items()},
        **{f"codes {codes}": (_codes(*codes, 0, 1),) for codes in ((1, 13), (12, 13), (9, 14), (1, 1), (1, 8), (5, 5), (2, 2))},
        **{f"codes {codes}": (_codes(*codes, 0, 1),) for codes in ((9, 16), (12, 16), (9, 18), (12, 18), (2, 16))},
        "codes in narrow range": (_codes(1, 13, 0, 0),),
        "codes of P3, and a profile": (_codes(12, 13, 0, 1), _profile(PROPHOTO_18)),
        "codes that say nothing, and a profile": (_codes(2, 2, 0, 1), _profile(P3)),
    }.items():
        yield f"with {name}", noise(2, 8, *chunks)
    yield "with alpha and a profile", noise(6, 8, _profile(P3))
    yield "with alpha and gamma 1", noise(6, 8, _gamma(1))
    yield "with a palette and a profile", noise(3, 8, _profile(P3))
    alphas = png_chunk(b"tRNS", random.Random(9).randbytes(256))
    yield "with a palette, alpha and a profile", noise(3, 8, _profile(P3), alphas)
    yield "of 16 bits with a profile", noise(2, 16, _profile(PROPHOTO_18))
    for depth in (1, 4, 8):
        yield f"grey of {depth} bits with gamma 1", noise(0, depth, _gamma(1))
        yield f"grey of {depth} bits with a profile of grey", noise(0, depth, _profile(LINEAR_GREY))
    for depth in (1, 4, 8, 16):
        yield f"grey of {depth} bits with a profile of RGB", noise(0, depth, _profile(PROPHOTO_18))
    yield "grey with alpha and a profile of grey", noise(4, 8, _profile(LINEAR_GREY))
    yield "grey with alpha and a profile of RGB", noise(4, 8, _profile(PROPHOTO_18))
    yield "grey with transparency and a profile", noise(0, 8, _profile(PROPHOTO_18), png_chunk(b"tRNS", b"\0\7"))


_FULL = (0, 0, WIDTH, HEIGHT)
_SMALL = (5, 3, 12, 8)


def _lzw(indices, bits):
    """The codes of these pixels without any compression."""
    clear, width, every = 1 << bits, bits + 1, (1 << bits) - 2
    codes = []
    for place in range(0, len(indices), every):
        codes += [clear, *indices[place : place + every]]
    text = "".join(f"{code:0{width}b}"[::-1] for code in [*codes, clear + 1])
    return bytes([bits]) + _gif_blocks(bytes(int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8)))


def _gif_blocks(content):
    return b"".join(bytes([len(content[at : at + 255])]) + content[at : at + 255] for at in range(0, len(content), 255)) + b"\0"


def _size_flags(table):
    return 0x80 | ((len(table) // 3).bit_length() - 2) if table else 0


def _gif_frame(place, *, bits=4, local=b"", interlace=False, seed=0, colours=0):
    """Noise of all colours, or of the first ones."""
    noise = random.Random(seed)
    pixels = bytes(noise.randrange(colours or 1 << bits) for _ in range(place[2] * place[3]))
    return b"," + struct.pack("<HHHHB", *place, _size_flags(local) | 0x40 * interlace) + local + _lzw(pixels, bits)


def _gif_file(*parts, canvas=(WIDTH, HEIGHT), table=None, version=b"89a"):
    table = palette(16) if table is None else table
    screen = struct.pack("<HHBBB", *canvas, _size_flags(table), 2, 0)
    return b"GIF" + version + screen + table + b"".join(parts) + b";"


def _control(disposal=0, transparent=None):
    return b"!\xf9\x04" + struct.pack("<BHB", disposal << 2 | (transparent is not None), 9, transparent or 0) + b"\0"


def _gif():
    reverse = palette(16)[::-1]
    yield "plain", _gif_file(_gif_frame(_FULL))
    yield "of 1987", _gif_file(_gif_frame(_FULL), version=b"87a")
    yield "interlaced", _gif_file(_gif_frame(_FULL, interlace=True))
    yield "with two palettes", _gif_file(_gif_frame(_FULL, local=reverse))
    yield "with its frame's palette alone", _gif_file(_gif_frame(_FULL, local=reverse), table=b"")
    yield "without a palette", _gif_file(_gif_frame(_FULL), table=b"")
    yield "with a palette shorter than its indices", _gif_file(_gif_frame(_FULL), table=palette(4))
    yield "in 256 greys", _gif_file(_gif_frame(_FULL, bits=8), table=bytes(level for level in range(256) for _ in range(3)))
    yield "in black and white", _gif_file(_gif_frame(_FULL, bits=2, colours=2), table=bytes((0, 0, 0, 255, 255, 255)))
    for bits in (2, 3, 5, 8):
        yield f"of {bits} bits", _gif_file(_gif_frame(_FULL, bits=bits), table=palette(1 << bits))
    yield "transparent", _gif_file(_control(0, 3), _gif_frame(_FULL))
    for disposal in range(4):
        yield f"with a smaller frame, disposal {disposal}", _gif_file(_control(disposal), _gif_frame(_SMALL))
        yield f"with a smaller frame, disposal {disposal}, transparent", _gif_file(_control(disposal, 2), _gif_frame(_SMALL))
        second = _control(disposal) + _gif_frame(_FULL, seed=4)
        yield f"animated, disposal {disposal}", _gif_file(_control(disposal), _gif_frame(_SMALL), second)
    yield "with a smaller frame", _gif_file(_gif_frame(_SMALL))
    yield "with a frame beyond its canvas", _gif_file(_gif_frame((30, 10, 20, 20)))
    yield "with a frame larger than its canvas", _gif_file(_gif_frame((0, 0, 60, 40)))
    yield "with a frame outside its canvas", _gif_file(_gif_frame((40, 30, 10, 10)))
    yield "with a later frame larger than its canvas", _gif_file(_gif_frame(_FULL), _gif_frame((0, 0, 60, 40)))
    yield "without a canvas", _gif_file(_gif_frame(_FULL), canvas=(0, 0))
    yield "with a canvas of no width", _gif_file(_gif_frame(_FULL), canvas=(0, HEIGHT))
    yield "with two controls", _gif_file(_control(0, 3), _control(0, 4), _gif_frame(_FULL))
    yield "with a comment behind its control", _gif_file(_control(0, 3), b"!\xfe\3abc\0", _gif_frame(_FULL))
    yield "with text behind its control", _gif_file(_control(0, 3), b"!\x01\x0c" + bytes(12) + b"\3abc\0", _gif_frame(_FULL))
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    yield "with XMP of 400 kB", _gif_file(b"!\xff\x0bXMP DataXMP" + b"<x:xmpmeta>" * 40_000 + trailer, _gif_frame(_FULL))
    yield "with a comment of 1 MB", _gif_file(b"!\xfe" + _gif_blocks(bytes(1_000_000)), _gif_frame(_FULL))
    yield "without its end", _gif_file(_gif_frame(_FULL))[:-1]
    yield "without its last two bytes", _gif_file(_gif_frame(_FULL))[:-2]
    yield "by Pillow", save(scene(), "GIF")
    yield "by Pillow, transparent", save(scene("RGBA"), "GIF")


def _webp_chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _small_frames():
    """An animation whose frames are smaller than its canvas, with a background that does not count."""
    picture = save(scene(size=(10, 8)), "WEBP", lossless=True)[12:]
    numbers = b"".join(struct.pack("<I", number)[:3] for number in (3, 2, 9, 7, 100))  # place halved, size less one, time
    frame = _webp_chunk(b"ANMF", numbers + b"\0" + picture)
    canvas = b"".join(struct.pack("<I", number)[:3] for number in (WIDTH - 1, HEIGHT - 1))
    head = _webp_chunk(b"VP8X", b"\x12\0\0\0" + canvas) + _webp_chunk(b"ANIM", b"\0\0\xff\xff\0\0")
    return _webp_chunk(b"RIFF", b"WEBP" + head + frame * 2)


def _webp():
    alpha, others = scene("RGBA"), [scene().rotate(180)]
    for size in ((WIDTH, HEIGHT), (1, 1), (2, 3), (40, 40)):
        yield f"lossy, {size}", save(scene(size=size), "WEBP", quality=80)
        yield f"lossless, {size}", save(scene(size=size), "WEBP", lossless=True)
    yield "lossy with alpha", save(alpha, "WEBP", quality=80)
    yield "lossy with lossy alpha", save(alpha, "WEBP", quality=80, alpha_quality=20)
    yield "lossless with alpha", save(alpha, "WEBP", lossless=True)
    yield "lossless with exact alpha", save(alpha, "WEBP", lossless=True, exact=True)
    for turn in range(1, 9):
        yield f"turned {turn}", save(turned(quadrants(), turn), "WEBP", lossless=True, exif=exif(turn))
    yield "animated", save(scene(), "WEBP", save_all=True, append_images=others, lossless=True)
    yield "animated, lossy with alpha", save(alpha, "WEBP", save_all=True, append_images=others, quality=70)
    yield "animated, first frame smaller", _small_frames()
    yield "animated with a profile", save(scene(), "WEBP", save_all=True, append_images=others, lossless=True, icc_profile=P3)
    for name, profile in profiles.RGB.items():
        yield f"with the profile {name}", save(scene(), "WEBP", lossless=True, icc_profile=profile)
    yield "with alpha and a profile", save(alpha, "WEBP", lossless=True, icc_profile=P3)
    yield "with a broken profile", save(scene(), "WEBP", lossless=True, icc_profile=b"nonsense")
    yield "with a profile of grey", save(scene(), "WEBP", lossless=True, icc_profile=LINEAR_GREY)


def _adobe(transform):
    return jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def _part(number, count, content):
    return jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + content)


def _colour_spaces():
    plain, cmyk = save(scene(), "JPEG", quality=90), save(scene("CMYK"), "JPEG", quality=95)
    at = cmyk.index(b"\xff\xee")
    end = at + 2 + int.from_bytes(cmyk[at + 2 : at + 4], "big")
    yield "grey", save(scene("L"), "JPEG")
    yield "kept in RGB", save(scene(), "JPEG", keep_rgb=True)
    yield "without JFIF", with_segments(plain)
    yield "in CMYK", cmyk
    yield "in CMYK without Adobe", cmyk[:at] + cmyk[end:]
    for transform in range(3):
        adobe = _adobe(transform)
        yield f"with Adobe {transform}", with_segments(plain, adobe)
        yield f"with JFIF and Adobe {transform}", with_segments(plain, plain[2:20], adobe)
        yield f"in CMYK with Adobe {transform}", cmyk[:at] + adobe + cmyk[end:]


def _turned():
    for turn in range(10):
        yield f"turned {turn}", save(turned(quadrants(), turn), "JPEG", quality=95, exif=exif(turn))
    base = save(turned(quadrants(), 6), "JPEG", quality=95)
    for name, *blocks in (
        ("behind JFIF", base[6:20], exif(6)),
        ("big-endian", exif(6, ">")),
        ("twice", exif(6), exif(1)),
        ("twice, other order", exif(1), exif(6)),
        ("as a long number", b"Exif\0\0" + tiff({274: (4, 6)})),
        ("behind other tags", b"Exif\0\0" + tiff({256: (3, 1), 271: (2, b"Camera\0"), 274: (3, 6)})),
        ("behind another pad", b"Exif\0\xff" + exif(6)[6:]),
    ):
        segments = [jpeg_segment(0xE0 if block.startswith(b"JFIF") else 0xE1, block) for block in blocks]
        yield f"turned {name}", with_segments(base, *segments)


def _profiles():
    for name, profile in profiles.RGB.items():
        yield f"with the profile {name}", save(scene(), "JPEG", quality=95, subsampling=0, icc_profile=profile)
    for name, mode, profile in (
        ("grey with a profile of grey", "L", LINEAR_GREY),
        ("grey with a profile of RGB", "L", PROPHOTO_18),
        ("with a profile of grey", "RGB", LINEAR_GREY),
        ("with a profile of CMYK", "RGB", profiles.cmyk_profile()),
        ("in CMYK with a profile", "CMYK", profiles.cmyk_profile()),  # no black ink: Chromium mixes it from the others
        ("in CMYK with a profile of RGB", "CMYK", P3),
    ):
        yield name, save(scene(mode), "JPEG", quality=95, icc_profile=profile)
    plain, half, rest = save(scene(), "JPEG", quality=90), PROPHOTO_18[:100], PROPHOTO_18[100:]
    for name, *parts in (
        ("in two", _part(1, 2, half), _part(2, 2, rest)),
        ("in two, swapped", _part(2, 2, rest), _part(1, 2, half)),
        ("in two, one missing", _part(1, 2, half)),
        ("that is cut", _part(1, 1, PROPHOTO_18[:-40])),
        ("with more behind", _part(1, 1, PROPHOTO_18 + bytes(100))),
        ("of nonsense", _part(1, 1, b"nonsense" * 100)),
    ):
        yield f"with a profile {name}", with_segments(plain, *parts)


def _jpeg():
    for sampling, progressive, quality in itertools.product(("4:4:4", "4:2:2", "4:2:0", "4:1:1"), (False, True), (50, 95)):
        options = {"subsampling": sampling, "progressive": progressive, "quality": quality}
        yield " ".join(map(str, options.values())), save(scene(size=(67, 43)), "JPEG", **options)
    yield "with restarts", save(scene(size=(67, 43)), "JPEG", restart_marker_blocks=1)
    yield from itertools.chain(_colour_spaces(), _turned(), _profiles())
    plain = save(scene(), "JPEG", quality=90)
    yield "with a picture behind (MPO)", save(scene(), "MPO", save_all=True, append_images=[quadrants()])
    yield "with 59 pictures behind (MPO)", save(scene(), "MPO", save_all=True, append_images=[scene()] * 59)
    yield "with junk between segments", with_segments(plain, plain[2:20], b"\x11\x22\x33", jpeg_segment(0xFE, b"x"))
    yield "with junk before its end", plain[:-2] + b"abcdefgh" + plain[-2:]
    yield "with 60 comments", with_segments(plain, *[jpeg_segment(0xFE, b"x" * 100)] * 60)
    yield "with fill bytes", with_segments(plain, b"\xff" * 500)
    yield "with pixels missing, but ended", plain[:-200] + b"\xff\xd9"


#: Two things are written so that Chromium 156 reads them right: it takes alpha, and a sequence, for narrow range even where the
#: file says full. So alpha is all or nothing here, and sequences are narrow.
_CICP = ((12, 13), (9, 14), (9, 16), (9, 18), (1, 1), (1, 8), (2, 2), (12, 4), (12, 16), (10, 13), (4, 4), (6, 6), (8, 13))


def _avif():
    for size in ((WIDTH, HEIGHT), (64, 48), (1, 1), (3, 2)):
        yield f"of {size}", save(scene(size=size), "AVIF", quality=90)
    for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        for extent in ("full", "limited"):
            yield f"{sampling}, {extent}", save(scene(), "AVIF", quality=90, subsampling=sampling, range=extent)
    cut_out = quadrants().convert("RGBA")
    cut_out.paste((0, 0, 0, 0), (24, 0, 48, 16))
    yield "with alpha", save(cut_out, "AVIF", quality=100, subsampling="4:4:4")
    others = [scene().rotate(180)]
    yield "in a sequence", save(scene(), "AVIF", quality=90, range="limited", save_all=True, append_images=others)
    yield "in tiles", save(scene(size=(400, 300)), "AVIF", tile_rows=1, tile_cols=1)
    for turn in range(1, 9):
        yield f"turned {turn}", save(turned(quadrants(), turn), "AVIF", quality=95, exif=exif(turn))
    for name, profile in profiles.RGB.items():
        yield f"with the profile {name}", save(scene(), "AVIF", quality=95, subsampling="4:4:4", icc_profile=profile)
    yield "grey with a profile of grey", save(scene("L"), "AVIF", quality=95, icc_profile=LINEAR_GREY)
    yield "grey with a profile of RGB", save(scene("L"), "AVIF", quality=95, icc_profile=PROPHOTO_18)
    plain = save(scene(), "AVIF", quality=95, subsampling="4:4:4")
    at = plain.index(b"colrnclx") + 8
    for codes in _CICP:
        yield f"with codes {codes}", plain[:at] + struct.pack(">HH", *codes) + plain[at + 4 :]
    for matrix in (0, 1, 5, 6, 9):
        yield f"with matrix {matrix}", plain[: at + 4] + struct.pack(">H", matrix) + plain[at + 6 :]


_FORMATS = {"png": (_png, _png_colours), "gif": (_gif,), "webp": (_webp,), "jpeg": (_jpeg,), "avif": (_avif,)}


def variants(kind=""):
    """Name and content of each file, of one format or of all."""
    for name, functions in _FORMATS.items():
        for function in functions if kind in ("", name) else ():
            for variant, content in function():
                yield f"{name} {variant}", content
