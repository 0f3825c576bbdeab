"""Whatever the bytes: a picture within the limits, or one plain sentence."""

import os
import re
import struct
import subprocess
import sys
import time
import traceback
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from normzoo.errors import ImageError
from normzoo.images.convert import MAX_SIDE
from normzoo.images.limits import MAX_BYTES
from normzoo.images.preprocess import load_image
from tests.support.image_files import FORMATS, NASTIES, SIGNATURES, exif, plain, save, whole
from tests.support.memory_patterns import ENVIRONMENT

EXAMPLES = settings(deadline=None, derandomize=True, max_examples=300)


def outcome(data):
    """The picture or the sentence, either of them checked."""
    try:
        image = load_image(data, allow_tiff=True)
    except ImageError as error:
        assert_plain_sentence(str(error))
        assert_not_our_slip(error.__cause__)
        return str(error)
    assert type(image) is Image.Image
    assert (image.mode, image.info, image.format) == ("RGB", {}, None)
    assert not image.getexif()
    assert 1 <= min(image.size) <= max(image.size) <= MAX_SIDE
    pixels = np.asarray(image)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (image.height, image.width, 3))
    return image


def assert_plain_sentence(text):
    assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", text), text
    assert ". " not in text, f"more than one sentence: {text}"
    assert not re.search(r"[/\\<>_]|Error|Exception|PIL|Pillow|0x|decod|buffer|byte", text), f"jargon: {text}"
    assert re.search(r"choose|save|make|crop", text), f"does not say what to do: {text}"


def assert_not_our_slip(cause):
    """What `load_image` caught was raised by Pillow, not by a mistake in our own code."""
    if isinstance(cause, AssertionError | AttributeError | ImportError | NameError):
        assert "normzoo" not in traceback.extract_tb(cause.__traceback__)[-1].filename, repr(cause)


@pytest.mark.parametrize("name", NASTIES)
def test_every_nasty_file_gives_its_picture_or_its_sentence(name):
    nasty = NASTIES[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # as on a server, where a warning is no error
        result = outcome(nasty.make())

    ours = (Image.DecompressionBombWarning, RuntimeWarning, BytesWarning, ResourceWarning)
    assert not [str(warning.message) for warning in caught if issubclass(warning.category, ours)]
    if nasty.error:
        assert isinstance(result, str), f"gave a picture: {result}"
        assert nasty.error in result
    else:
        assert isinstance(result, Image.Image), result
        assert result.size == nasty.size
        for place, colour in nasty.pixels.items():
            np.testing.assert_allclose(result.getpixel(place), colour, atol=3, err_msg=f"at {place}")


@pytest.mark.parametrize("name", [name for name in NASTIES if "bomb" in name or "flood" in name])
def test_a_bomb_costs_little_memory_and_a_flood_little_time(name):
    data = NASTIES[name].make()
    started = time.thread_time()
    outcome(data)
    assert time.thread_time() - started < 3
    tracemalloc.start()
    try:
        outcome(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "flood" in name or peak < 100e6, f"{peak / 1e6:.0f} MB"


def test_nasty_files_do_not_disturb_each_other_in_threads():
    names = [name for name in NASTIES if "bomb" not in name and "flood" not in name]
    alone = {name: _comparable(outcome(NASTIES[name].make())) for name in names}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda name: _comparable(outcome(NASTIES[name].make())), names * 2))
    assert together == [alone[name] for name in names * 2]


def _comparable(result):
    return result if isinstance(result, str) else result.tobytes()


def test_no_other_decoder_runs_and_no_program_starts(monkeypatch):
    Image.init()  # gradio does this: every plugin that Pillow has is registered

    def forbidden(*_, **__):
        pytest.fail("A decoder outside the list, or a program, was started.")

    for name in set(Image.OPEN) - {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "DIB"}:
        monkeypatch.setitem(Image.OPEN, name, (forbidden, None))
    for program in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, program, forbidden)
    for nasty in NASTIES.values():
        if nasty.error == "not a picture":
            assert isinstance(outcome(nasty.make()), str)


@pytest.mark.parametrize("name", [name for name in NASTIES if name.startswith(("tiff", "bmp"))])
def test_a_visitor_s_tiff_or_bmp_is_never_decoded(name, monkeypatch):
    for plugin in ("TiffImageFile", "BmpImageFile"):
        monkeypatch.setattr(f"normzoo.images.formats.{plugin}", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(ImageError, match=r"(TIFF|BMP) pictures are not supported"):
        load_image(NASTIES[name].make())


@pytest.mark.process
def test_no_memory_shows_in_any_picture():
    environment = os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.memory_patterns"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) files decoded over 3 patterns", done.stderr)[1]) > 4500


def test_errors_are_chained_for_the_log():
    with pytest.raises(ImageError) as caught:
        load_image(whole("png")[:60])
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("kind", FORMATS)
def test_the_name_of_a_file_does_not_matter(kind, tmp_path):
    path = tmp_path / "photo.svg"
    path.write_bytes(whole(kind))
    sources = (path, str(path), whole(kind))
    assert len({load_image(source, allow_tiff=True).tobytes() for source in sources}) == 1


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_opened(make, tmp_path):
    make(tmp_path / "photo.jpg")
    for path in (tmp_path / "photo.jpg", "nul\0byte.jpg"):
        with pytest.raises(ImageError, match="could not be opened") as caught:
            load_image(path)
        assert_plain_sentence(str(caught.value))


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("was opened"))
    with pytest.raises(ImageError, match="20 MB"):
        load_image(path)


VALID = [whole(kind) for kind in FORMATS] + [
    save(plain(size=(40, 40)), "JPEG", progressive=True, exif=exif(6)),
    save(plain((255, 0, 0, 128), "RGBA"), "PNG"),
    save(plain(), "GIF", save_all=True, append_images=[plain((0, 0, 255))]),
    NASTIES["tiff floats in 0…1"].make(),
    NASTIES["tiff turned 6"].make(),
]


@EXAMPLES
@given(st.sampled_from([b"", *SIGNATURES.values()]), st.binary(max_size=2000))
def test_any_bytes_give_a_picture_or_a_sentence(signature, rest):
    outcome(signature + rest)


@EXAMPLES
@given(st.data())
def test_any_mutation_of_a_picture_gives_a_picture_or_a_sentence(data):
    file = bytearray(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(file)))
        length = data.draw(st.sampled_from([1, 2, 4, 30]))
        match data.draw(st.sampled_from(["overwrite", "insert", "delete", "repeat", "extreme"])):
            case "overwrite":
                file[place : place + length] = data.draw(st.binary(min_size=length, max_size=length))
            case "insert":
                file[place:place] = data.draw(st.binary(max_size=length))
            case "delete":
                del file[place : place + length]
            case "repeat":
                file[place:place] = file[place : place + length] * 3
            case "extreme":
                value = data.draw(st.sampled_from([0, 1, 0x7FFF, 0x7FFFFFFF, 0xFFFFFFFF]))
                file[place : place + 4] = struct.pack(data.draw(st.sampled_from(["<I", ">I"])), value)
    outcome(bytes(file))


@EXAMPLES
@given(st.sampled_from(VALID), st.floats(0, 1, exclude_max=True))
def test_any_truncation_gives_a_picture_or_a_sentence(file, share):
    outcome(file[: int(share * len(file))])


@EXAMPLES
@given(
    st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False), st.sampled_from(["PNG", "BMP", "TIFF", "WEBP"])
)
def test_a_small_lossless_picture_comes_through_unchanged(width, height, random, kind):
    image = Image.frombytes("RGB", (width, height), random.randbytes(3 * width * height))
    file = save(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert load_image(file, allow_tiff=True).tobytes() == image.tobytes()


@settings(EXAMPLES, max_examples=60)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 255))
def test_any_size_is_reduced_to_the_same_mean(width, height, level):
    result = outcome(save(Image.new("L", (width, height), level), "PNG"))
    assert isinstance(result, Image.Image)
    assert result.getextrema() == ((level, level),) * 3
    if max(width, height) <= MAX_SIDE:
        assert result.size == (width, height)
    elif max(width, height) <= 4 * min(width, height):
        assert max(result.size) > MAX_SIDE // 2
        assert result.width / result.height == pytest.approx(width / height, rel=0.01)
