"""Colour profiles by hand: of matrix and curve, of grey, and a table for CMYK."""

import itertools
import struct

import numpy as np

Primaries = tuple[tuple[float, float], ...]

#: CIE xy of red, green, blue and white.
SRGB = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329))
DISPLAY_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.329))
PROPHOTO = ((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105), (0.345704, 0.358540))

_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))


def _s15(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values):
    return b"XYZ \0\0\0\0" + _s15(*values)


def curve(gamma):
    """A parametric curve: a power, or that of sRGB."""
    if gamma is None:
        return b"para\0\0\0\0\0\3\0\0" + _s15(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0\0\0\0\0" + _s15(gamma)


def profile(space, tags, pcs=b"XYZ ", version=0x04000000):
    """An ICC profile of these tags."""
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    head = struct.pack(">I4xI4s4s4s12x4s28x", size, version, b"mntr", space, pcs, b"acsp") + _s15(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def larger(content, ballast):
    """The same profile with a tag that nobody reads."""
    (count,) = struct.unpack_from(">I", content, 128)
    tags = {name: content[at : at + size] for name, at, size in struct.iter_unpack(">4sII", content[132 : 132 + 12 * count])}
    return profile(content[16:20], {**tags, b"zzzz": ballast})


def matrix_of(primaries):
    """Light in red, green, blue -> XYZ, adapted to D50 as Bradford does."""
    *colours, white = [np.array((x / y, 1, (1 - x - y) / y)) for x, y in primaries]
    matrix = np.stack(colours, 1)
    cones = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD
    return cones @ (matrix * np.linalg.solve(matrix, white))


def rgb_profile(primaries, gamma=None):
    """Of these primaries and this gamma, or else the curve of sRGB."""
    columns = matrix_of(primaries).T
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    tags |= {name: curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return profile(b"RGB ", tags | {b"wtpt": _xyz(_D50)})


def grey_profile(gamma):
    return profile(b"GRAY", {b"kTRC": curve(gamma), b"wtpt": _xyz(_D50)})


def cmyk_profile():
    """A table of two steps for each ink to Lab: inks that are dull, a paper that is white."""
    table = b""
    for cyan, magenta, yellow, black in itertools.product((0, 1), repeat=4):
        light = (1 - 0.35 * cyan) * (1 - 0.45 * magenta) * (1 - 0.1 * yellow) * (1 - 0.85 * black)
        a, b = -30 * cyan + 60 * magenta - 4 * yellow, -40 * cyan - 4 * magenta + 75 * yellow
        fade = 1 - black
        table += bytes((round(255 * light), round(128 + a * fade), round(128 + b * fade)))
    straight = bytes(range(256))
    head = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + _s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return profile(b"CMYK", {b"A2B0": head + straight * 4 + table + straight * 3}, b"Lab ", 0x02400000)


#: Of RGB, as cameras and editors write them.
RGB = {
    "sRGB": rgb_profile(SRGB),
    "Display P3": rgb_profile(DISPLAY_P3),
    "Adobe RGB": rgb_profile(ADOBE_RGB, 2.19921875),
    "ProPhoto": rgb_profile(PROPHOTO, 1.8),
    "linear": rgb_profile(SRGB, 1.0),
}
P3, PROPHOTO_18, LINEAR_GREY = RGB["Display P3"], RGB["ProPhoto"], grey_profile(1.0)
