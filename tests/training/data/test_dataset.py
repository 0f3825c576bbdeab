"""The image cache: built whole or not at all, the same from any copy of the archive, refused when damaged."""

import dataclasses
import hashlib
import io
import json
import socket
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from normzoo.errors import ConfigError, DataError
from tests.support.image_files import save, zipped
from tests.support.small_disk import small_disk
from tests.support.tiny import load_tiny
from training.data import dataset as data_module
from training.data.dataset import FORMAT_VERSION, fetch, hold_out, load, made_up_data
from training.data.sources import CIFAR_CLASSES, CIFAR_COMMIT, SOURCES, SYNSETS, download

ROOT, URL = "tiny-imagenet-200", "http://127.0.0.1:1/none.zip"
UNUSED_SYNSET = "n99999999"
USED = list(SYNSETS)[:3]


def jpeg(seed, size=64):
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return save(Image.fromarray(pixels), "JPEG")


def tiny_imagenet_files():
    """path -> bytes of an archive with two training images and a validation image of three used classes, and of another."""
    files, annotations = {}, []
    for number, synset in enumerate([*USED, UNUSED_SYNSET]):
        for i in range(2):
            files[f"{ROOT}/train/{synset}/images/{synset}_{i}.JPEG"] = jpeg(10 * number + i)
        files[f"{ROOT}/train/{synset}/{synset}_boxes.txt"] = b"not an image"
        files[f"{ROOT}/val/images/val_{number}.JPEG"] = jpeg(10 * number + 9)
        annotations.append(f"val_{number}.JPEG\t{synset}\t0\t0\t62\t62\n")
    files[f"{ROOT}/val/val_annotations.txt"] = "".join(annotations).encode()
    files[f"{ROOT}/test/images/test_0.JPEG"] = jpeg(99)
    return files


def used_files(files):
    """Those that the reader takes."""
    numbers = range(len(USED))
    val = {f"{ROOT}/val/images/val_{number}.JPEG" for number in numbers}
    return {p: c for p, c in files.items() if p in val or (p.endswith(".JPEG") and any(f"/train/{s}/" in p for s in USED))}


def digest_of(files):
    lines = [f"{path}\t{hashlib.sha256(files[path]).hexdigest()}\n" for path in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def tiny_source(files):
    """The source of `tiny-imagenet-25`, expecting these files."""
    used = used_files(files)
    num_train = sum("/train/" in path for path in used)
    return dataclasses.replace(
        SOURCES["tiny-imagenet-25"], url=URL, num_train=num_train, num_val=len(used) - num_train, digest=digest_of(used)
    )


def write_cifar_archive(path):
    """Write an archive like CIFAR-10's, one training and one validation image a class, and give its source."""
    root = f"CIFAR-10-images-{CIFAR_COMMIT}"
    files = {
        f"{root}/{split}/{name}/0000.jpg": jpeg(100 * (split == "test") + number, 32)
        for split in ("train", "test")
        for number, name in enumerate(CIFAR_CLASSES)
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {**files, f"{root}/README.md": b"words"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return dataclasses.replace(SOURCES["cifar-10"], num_train=10, num_val=10, digest=digest_of(files))


NAME = "tiny-imagenet-25"
FILES = tiny_imagenet_files()


@pytest.fixture
def _expected(monkeypatch):
    """`FILES` are what is expected, wherever they come from."""
    monkeypatch.setitem(SOURCES, NAME, tiny_source(FILES))


@pytest.fixture
def archive(_expected, tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(zipped(FILES))
    return str(path)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return load_tiny(tmp_path_factory.mktemp("data"))


def test_cache_holds_the_images_and_what_they_are(archive, root):
    fetch(NAME, archive=archive, root=root)
    data = load(NAME, root=root)
    assert [data.labels[split].tolist() for split in ("train", "val")] == [[0, 0, 1, 1, 2, 2], [0, 1, 2]]
    assert data.pixels["train"].shape == (6, 32, 32, 3)
    assert (data.pixels["train"].dtype, data.labels["train"].dtype) == (torch.uint8, torch.int64)
    assert (data.name, data.digest) == (NAME, SOURCES[NAME].digest)
    assert data.classes[:2] == ("goldfish", "king penguin")
    described = data.describe()
    assert (described["num_train"], described["num_val"]) == (6, 3)


def test_data_set_of_64_pixels_has_the_same_images_as_they_are(archive, root, monkeypatch):
    large = f"{NAME}-64px"
    assert SOURCES[large].image_size == 64
    monkeypatch.setitem(SOURCES, large, dataclasses.replace(SOURCES[NAME], image_size=64))
    fetch(large, archive=archive, root=root)
    data = load(large, root=root)
    first = min(path for path in used_files(FILES) if f"/train/{USED[0]}/" in path)
    assert np.array_equal(data.pixels["train"][0].numpy(), np.asarray(Image.open(io.BytesIO(FILES[first]))))
    with pytest.raises(DataError, match=r"tiny-imagenet-25 is missing. Fetch it with: .* fetch tiny-imagenet-25$"):
        load(NAME, root=root)


def test_mean_and_deviation_are_those_of_the_training_pixels(archive, root):
    fetch(NAME, archive=archive, root=root)
    data = load(NAME, root=root)
    values = data.pixels["train"].double().reshape(-1, 3) / 255
    torch.testing.assert_close(torch.tensor(data.mean, dtype=torch.float64), values.mean(0), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.tensor(data.std, dtype=torch.float64), values.std(0, correction=0), atol=1e-6, rtol=0)


def test_cache_does_not_depend_on_what_else_an_archive_holds_and_in_which_order(archive, root):
    first = fetch(NAME, archive=archive, root=root)
    annotations = {path: content for path, content in FILES.items() if path.endswith("annotations.txt")}
    other = {**dict(reversed(used_files(FILES).items())), **annotations}
    Path(archive).write_bytes(zipped(other))
    second = fetch(NAME, archive=archive, root=root / "other")
    names = sorted(path.name for path in first.iterdir())
    assert names == ["dataset.json", "train_labels.npy", "train_pixels.npy", "val_labels.npy", "val_pixels.npy"]
    assert [(first / name).read_bytes() for name in names] == [(second / name).read_bytes() for name in names]


def test_cifar_10_archive_is_read(tmp_path, root, monkeypatch):
    path = tmp_path / "cifar.tar.gz"
    monkeypatch.setitem(SOURCES, "cifar-10", write_cifar_archive(path))
    fetch("cifar-10", archive=str(path), root=root)
    data = load("cifar-10", root=root)
    assert data.labels["train"].tolist() == data.labels["val"].tolist() == list(range(10))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="not the expected archive or is incomplete"):
        fetch("cifar-10", archive=str(path), root=root / "again")


def test_disk_that_fills_up_is_an_error_that_says_so_and_leaves_nothing(archive, tmp_path):
    with small_disk(tmp_path / "disk", 512) as disk:  # the cache takes 9 * 192 kB
        with pytest.raises(DataError, match="No space left on device"):
            fetch(NAME, 256, archive=archive, root=disk)
        assert list(disk.iterdir()) == []


def test_folder_that_cannot_be_written_is_said(archive, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="Could not write"):
        fetch(NAME, archive=archive, root=tmp_path / "file")


@pytest.mark.parametrize("moment", ["to_pixels", "colour_statistics", "_save_array"])
def test_interrupted_build_leaves_nothing(moment, archive, root, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(data_module, moment, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            fetch(NAME, archive=archive, root=root)
    assert not root.exists() or list(root.iterdir()) == []
    assert fetch(NAME, archive=archive, root=root).is_dir()


def changed(**changes):
    def apply(folder):
        description = {**json.loads((folder / "dataset.json").read_text()), **changes}
        kept = {key: value for key, value in description.items() if value is not None}
        (folder / "dataset.json").write_text(json.dumps(kept))

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "val_labels.npy").unlink(),
        lambda folder: (folder / "train_pixels.npy").write_bytes(b""),
        lambda folder: (folder / "train_pixels.npy").write_bytes((folder / "train_pixels.npy").read_bytes()[:-1]),
        lambda folder: (folder / "dataset.json").write_text("{"),
        lambda folder: (folder / "dataset.json").write_text("[]"),
        changed(format_version=FORMAT_VERSION + 1),
        changed(classes=None),
        changed(colour="red"),
    ],
)
def test_damaged_cache_is_refused_with_what_to_do(damage, tmp_path):
    load_tiny(tmp_path)
    damage(tmp_path / "tiny-16px")
    with pytest.raises(DataError, match=r"The cache .*tiny-16px is damaged .*Delete it and fetch it again"):
        load("tiny", 16, tmp_path)


def test_hold_out_parts_the_training_images_by_its_seed_alone(tiny):
    held = hold_out(tiny, 0.25)
    assert torch.bincount(held.labels["val"]).tolist() == [6] * 4
    assert torch.bincount(held.labels["train"]).tolist() == [18] * 4
    assert (held.name, held.holdout, held.digest) == ("tiny", 0.25, tiny.digest)
    parts = [image.numpy().tobytes() for split in ("train", "val") for image in held.pixels[split]]
    assert sorted(parts) == sorted(image.numpy().tobytes() for image in tiny.pixels["train"])
    torch.manual_seed(1)
    first = hold_out(tiny, 0.25).pixels["val"]
    torch.manual_seed(2)
    assert torch.equal(first, hold_out(tiny, 0.25).pixels["val"])
    assert not torch.equal(first, hold_out(tiny, 0.25, seed=1).pixels["val"])


@pytest.mark.parametrize("share", [0.001, 0.999, 1.5, -0.1])
def test_hold_out_leaves_images_of_every_class_on_both_sides(share, tiny):
    with pytest.raises(ConfigError, match="holdout"):
        hold_out(tiny, share)


def test_few_images_and_one_class_of_most_are_told_before_training():
    def remarks(*counts):
        labels = {"train": torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))}
        return dataclasses.replace(made_up_data(4, 16), classes=tuple("abcd"[: len(counts)]), labels=labels).remarks()

    assert remarks(100, 90) == remarks(25, 25, 25) == []
    assert ["90%" in line for line in remarks(900, 50, 50)] == [True]
    assert ["1 of 3 classes" in line for line in remarks(30, 30, 10)] == [True]


ARCHIVE = zipped(FILES)


class Response(io.BytesIO):
    headers: dict


@pytest.fixture
def web(_expected, monkeypatch):
    """What is fetched from anywhere, how long it is said to be, and what was asked for."""
    web = SimpleNamespace(content=ARCHIVE, length=len(ARCHIVE), asked=[])

    def urlopen(url, timeout):
        web.asked.append(url)
        response = Response(web.content)
        response.headers = {"Content-Length": web.length}
        return response

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return web


def test_twenty_five_classes_in_the_order_of_the_design():
    classes = list(SYNSETS.values())
    assert (len(classes), classes[0], classes[7], classes[24]) == (25, "goldfish", "Arabian camel", "umbrella")
    assert SOURCES[NAME].classes == tuple(classes)


def test_fetch_downloads_once_whatever_the_image_size(web, tmp_path):
    folder = fetch(NAME, root=tmp_path)
    assert folder == tmp_path / "tiny-imagenet-25-32px"
    assert fetch(NAME, root=tmp_path) == folder
    assert fetch(NAME, 16, root=tmp_path) != folder
    assert web.asked == [SOURCES[NAME].url]
    assert [path.read_bytes() for path in (tmp_path / "downloads").iterdir()] == [ARCHIVE]


def test_an_interrupted_download_leaves_nothing_and_the_next_call_fetches_it(web, tmp_path):
    web.content = ARCHIVE[: len(ARCHIVE) // 2]
    with pytest.raises(DataError, match=f"after {len(web.content):,} of {len(ARCHIVE):,} bytes.*--archive PATH"):
        download(URL, tmp_path)
    assert list(tmp_path.iterdir()) == []
    web.content, web.length = ARCHIVE, None
    assert download(URL, tmp_path).read_bytes() == ARCHIVE


def test_no_server_is_said_with_what_to_do(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match=r"Could not fetch .*--archive PATH"):
            download(f"http://127.0.0.1:{unused.getsockname()[1]}/a.zip", tmp_path)


def test_a_disk_that_fills_up_while_downloading_is_said(web, tmp_path):
    web.content = bytes(200_000)
    with small_disk(tmp_path / "disk", 100) as disk:
        with pytest.raises(DataError, match="No space left on device"):
            download(URL, disk)
        assert list(disk.iterdir()) == []


def without(path):
    return {key: content for key, content in FILES.items() if key != path}


def damaged():
    """An archive whose packed bytes are no longer what they were."""
    content = bytearray(zipped(FILES, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.infolist()[0]
    start = member.header_offset + 30 + len(member.filename)
    content[start : start + 200] = bytes(200)
    return bytes(content)


FIRST = f"{ROOT}/train/{USED[0]}/images/{USED[0]}_0.JPEG"


WRONG = {
    "no zip": lambda: b"<html>Moved</html>",
    "empty": lambda: b"",
    "other zip": lambda: zipped({"holiday.JPEG": jpeg(0)}),
    "truncated": lambda: ARCHIVE[: len(ARCHIVE) // 2],
    "damaged": damaged,
    "garbled list": lambda: zipped({**FILES, f"{ROOT}/val/val_annotations.txt": b"\xff\xfe\n"}),
    "short list": lambda: zipped({**FILES, f"{ROOT}/val/val_annotations.txt": b"val_0.JPEG\n"}),
    "one image less": lambda: zipped(without(FIRST)),
    "one image more": lambda: zipped({**FILES, FIRST.replace("_0.", "_7."): jpeg(0)}),
    "another image": lambda: zipped({**FILES, FIRST: jpeg(12345)}),
    "no image": lambda: zipped({**FILES, FIRST: b"not a JPEG"}),
}


@pytest.mark.usefixtures("_expected")
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_archive_is_refused_with_what_to_do_and_leaves_nothing(kind, tmp_path):
    archive, root = tmp_path / "archive.zip", tmp_path / "data"
    archive.write_bytes(WRONG[kind]())
    with pytest.raises(DataError) as caught:
        fetch(NAME, archive=str(archive), root=root)
    assert str(archive) in str(caught.value)
    assert "--archive PATH-OR-URL." in str(caught.value)
    assert not root.exists() or list(root.iterdir()) == []
