"""JPEG: subsampling, progression, colour spaces as JFIF and Adobe tell them, EXIF, profiles, more pictures behind."""

import itertools

from tests.support.image_files import exif, jpeg_segment, quadrants, save, tiff, turned, with_segments
from tests.support.variants import profiles
from tests.support.variants.profiles import LINEAR_GREY, P3, PROPHOTO_18
from tests.support.variants.scene import scene


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


def _exif():
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


def files():
    for sampling, progressive, quality in itertools.product(("4:4:4", "4:2:2", "4:2:0", "4:1:1"), (False, True), (50, 95)):
        options = {"subsampling": sampling, "progressive": progressive, "quality": quality}
        yield " ".join(map(str, options.values())), save(scene(size=(67, 43)), "JPEG", **options)
    yield "with restarts", save(scene(size=(67, 43)), "JPEG", restart_marker_blocks=1)
    yield from itertools.chain(_colour_spaces(), _exif(), _profiles())
    plain = save(scene(), "JPEG", quality=90)
    yield "with a picture behind (MPO)", save(scene(), "MPO", save_all=True, append_images=[quadrants()])
    yield "with 59 pictures behind (MPO)", save(scene(), "MPO", save_all=True, append_images=[scene()] * 59)
    yield "with junk between segments", with_segments(plain, plain[2:20], b"\x11\x22\x33", jpeg_segment(0xFE, b"x"))
    yield "with junk before its end", plain[:-2] + b"abcdefgh" + plain[-2:]
    yield "with 60 comments", with_segments(plain, *[jpeg_segment(0xFE, b"x" * 100)] * 60)
    yield "with fill bytes", with_segments(plain, b"\xff" * 500)
    yield "with pixels missing, but ended", plain[:-200] + b"\xff\xd9"
