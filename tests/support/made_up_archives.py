"""Small archives laid out like the public ones, of images made here."""

import dataclasses
import hashlib
import io
import tarfile
import zipfile

import numpy as np
from PIL import Image

from training.data.sources import CIFAR_CLASSES, CIFAR_COMMIT, SOURCES, SYNSETS

ROOT = "tiny-imagenet-200"
UNUSED_SYNSET = "n99999999"
USED = list(SYNSETS)[:3]


def jpeg(seed, size=64):
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


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


def zip_bytes(files, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def tiny_source(files, url="http://127.0.0.1:1/none.zip"):
    """The source of `tiny-imagenet-25`, expecting these files."""
    used = used_files(files)
    num_train = sum("/train/" in path for path in used)
    return dataclasses.replace(
        SOURCES["tiny-imagenet-25"], url=url, num_train=num_train, num_val=len(used) - num_train, digest=digest_of(used)
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
