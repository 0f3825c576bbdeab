"""Colours that are not those of sRGB: converted as browsers do, in little time, whatever the profile."""

import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from normzoo import load_image
from normzoo.app.core.examples import EXAMPLES
from normzoo.images.convert import MAX_PROFILE_BYTES, minimal_icc_profile
from normzoo.images.preprocess import to_pixels
from tests.images.test_preprocess import scene
from tests.support import profiles
from tests.support.image_files import plain, png_chunk, save

#: How red, green, blue of 200, 100, 50 look in Chromium.
LOOKS = {
    "sRGB": (200, 100, 50),
    "Display P3": (215, 93, 31),
    "Adobe RGB": (227, 100, 42),
    "ProPhoto": (255, 80, 47),
    "linear": (229, 168, 122),
}


def converted(picture, primaries, gamma):
    """The same in float64, pixel by pixel."""
    to_srgb = np.linalg.inv(profiles.matrix_of(profiles.SRGB)) @ profiles.matrix_of(primaries)
    light = np.clip((np.asarray(picture) / 255) ** gamma @ to_srgb.T, 0, 1)
    return Image.fromarray(
        np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)).astype("u1")
    )


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", LOOKS)
def test_a_profile_is_applied(name, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    file = save(plain((200, 100, 50)), kind, icc_profile=profiles.RGB[name], **options)
    np.testing.assert_allclose(load_image(file, allow_tiff=True).getpixel((3, 3)), LOOKS[name], atol=1)


def test_the_colours_of_a_press_are_applied():
    ink = save(plain((0, 255, 0, 128), "CMYK"), "JPEG", quality=100, icc_profile=profiles.cmyk_profile())
    assert load_image(ink).getpixel((3, 3)) == pytest.approx((115, 53, 80), abs=3)
    assert load_image(save(plain((0, 255, 0, 128), "CMYK"), "JPEG", quality=100)).getpixel((3, 3)) == (127, 0, 127)


@pytest.mark.parametrize(
    ("primaries", "gamma"), [(profiles.DISPLAY_P3, 2.2), (profiles.PROPHOTO, 1.8)], ids=["Display P3", "ProPhoto"]
)
def test_converting_a_reduced_photo_is_as_good_as_reducing_a_converted_one(primaries, gamma):
    with Image.open(EXAMPLES[0].path) as file:
        photo = file.resize((1500, 1200))
    seen = to_pixels(load_image(save(photo, "PNG", icc_profile=profiles.rgb_profile(primaries, gamma))), 32)
    wanted = to_pixels(load_image(save(converted(photo, primaries, gamma), "PNG")), 32)
    assert np.abs(seen.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_the_heaviest_profile_takes_little_time(mode):
    inputs, steps = (3, 86) if mode == "RGB" else (4, 28)
    table = np.random.default_rng(0).bytes(2 * 3 * steps**inputs)
    head = b"mft2\0\0\0\0" + bytes((inputs, 3, steps, 0)) + struct.pack(">9i", *(65536 * (k % 4 == 0) for k in range(9)))
    lut = head + struct.pack(">2H", 2, 2) + struct.pack(">2H", 0, 65535) * inputs + table + struct.pack(">2H", 0, 65535) * 3
    profile = profiles.profile(b"RGB " if mode == "RGB" else b"CMYK", {b"A2B0": lut}, b"Lab ", 0x02400000)
    assert 0.9 * MAX_PROFILE_BYTES < len(profile) <= MAX_PROFILE_BYTES
    file = save(scene(4096, 3072).convert(mode), "JPEG", quality=50, icc_profile=profile)
    unmanaged = save(scene(4096, 3072).convert(mode), "JPEG", quality=50)
    started = time.thread_time()
    image = load_image(file)
    assert time.thread_time() - started < 1.5
    assert image != load_image(unmanaged)


def test_a_profile_that_is_too_large_is_left_out():
    profile = profiles.larger(profiles.PROPHOTO_18, bytes(MAX_PROFILE_BYTES))
    assert load_image(save(plain((200, 100, 50)), "PNG", icc_profile=profile)).getpixel((3, 3)) == (200, 100, 50)


def test_littlecms_is_given_no_tag_that_browsers_do_not_read():
    profile = profiles.larger(profiles.P3, b"ballast")
    assert b"zzzz" in profile
    assert minimal_icc_profile(profile) == minimal_icc_profile(profiles.P3)


@pytest.mark.process
@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.sampled_from([profiles.P3, profiles.LINEAR_GREY, profiles.cmyk_profile()]), st.data())
def test_any_mutation_of_a_profile_gives_a_picture(profile, data):
    broken = bytearray(profile)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(broken) - 4))
        broken[place : place + 4] = data.draw(
            st.sampled_from([bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1", b"mAB "])
        )
    mode = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}[profile[16:20]]
    assert load_image(save(plain(90, mode), "JPEG", icc_profile=bytes(broken))).size == (16, 12)


def test_colours_told_by_numbers_are_applied():
    whole = save(plain((200, 100, 50)), "PNG")
    for chunk, look in (
        (png_chunk(b"cICP", bytes((12, 13, 0, 1))), LOOKS["Display P3"]),
        (png_chunk(b"gAMA", struct.pack(">I", 100_000)), LOOKS["linear"]),
    ):
        np.testing.assert_allclose(load_image(whole[:33] + chunk + whole[33:]).getpixel((3, 3)), look, atol=1)
