"""WebP: lossy and lossless, alpha, animation, EXIF (which browsers pass over), profiles."""

import struct

from tests.support.image_files import exif, quadrants, save, turned
from tests.support.variants import profiles
from tests.support.variants.profiles import LINEAR_GREY, P3
from tests.support.variants.scene import HEIGHT, WIDTH, scene


def _chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _small_frames():
    """An animation whose frames are smaller than its canvas, with a background that does not count."""
    picture = save(scene(size=(10, 8)), "WEBP", lossless=True)[12:]
    numbers = b"".join(struct.pack("<I", number)[:3] for number in (3, 2, 9, 7, 100))  # place halved, size less one, time
    frame = _chunk(b"ANMF", numbers + b"\0" + picture)
    canvas = b"".join(struct.pack("<I", number)[:3] for number in (WIDTH - 1, HEIGHT - 1))
    head = _chunk(b"VP8X", b"\x12\0\0\0" + canvas) + _chunk(b"ANIM", b"\0\0\xff\xff\0\0")
    return _chunk(b"RIFF", b"WEBP" + head + frame * 2)


def files():
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
