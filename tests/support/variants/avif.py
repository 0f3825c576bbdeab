"""AVIF: sizes, subsampling, ranges, alpha, sequences, turns, profiles and colour codes.

Two things are written so that Chromium 156 reads them right: it takes alpha, and a sequence, for narrow range even where the
file says full. So alpha is all or nothing here, and sequences are narrow.
"""

import struct

from tests.support.image_files import exif, quadrants, save, turned
from tests.support.variants import profiles
from tests.support.variants.profiles import LINEAR_GREY, PROPHOTO_18
from tests.support.variants.scene import HEIGHT, WIDTH, scene

_CODES = ((12, 13), (9, 14), (9, 16), (9, 18), (1, 1), (1, 8), (2, 2), (12, 4), (12, 16), (10, 13), (4, 4), (6, 6), (8, 13))


def files():
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
    for codes in _CODES:
        yield f"with codes {codes}", plain[:at] + struct.pack(">HH", *codes) + plain[at + 4 :]
    for matrix in (0, 1, 5, 6, 9):
        yield f"with matrix {matrix}", plain[: at + 4] + struct.pack(">H", matrix) + plain[at + 6 :]
