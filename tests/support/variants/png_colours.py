"""PNG whose colours are not those of sRGB, in all the ways to say so, and more than one at a time."""

import random
import struct
import zlib

from tests.support.image_files import png_chunk
from tests.support.variants import profiles
from tests.support.variants.png import noise
from tests.support.variants.profiles import LINEAR_GREY, P3, PROPHOTO_18

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


def files():
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
