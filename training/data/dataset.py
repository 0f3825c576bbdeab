"""The image cache: a data set as two memory-mapped arrays of pixels, built once."""

import dataclasses
import functools
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from normzoo.errors import ConfigError, DataError
from normzoo.images.preprocess import to_pixels
from normzoo.pretrained.serialization import new_folder
from training.data.sources import SOURCES, WHAT_TO_DO, Entry, Source, digest, download, get_source, own_image_size, read_entries

SPLITS = ("train", "val")
FORMAT_VERSION = 1
#: Limits of the image size in pixels; the last stage has a quarter of it.
MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 16, 1024
#: In the cache of a user's images: the split of each file.
FILES = "files.csv"


#: With fewer training images per class there is a warning.
FEW_IMAGES = 20


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set in memory: for each split pixels, uint8 (N, H, W, 3), and labels, int64 (N,)."""

    name: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    digest: str
    note: str
    pixels: dict[str, Tensor]
    labels: dict[str, Tensor]
    holdout: float = 0.0  # share of the training images used in place of the validation images
    files: Path | None = None  # a table that says which file is in which split, where that was decided here

    def describe(self) -> dict[str, object]:
        """Return the description of the images that is stored with results."""
        sizes = {f"num_{split}": len(self.labels[split]) for split in SPLITS}
        return {"name": self.name, "digest": self.digest, "note": self.note, **sizes}

    def remarks(self) -> list[str]:
        """Warnings before training: classes with few images, or one with most of them."""
        counts = self.labels["train"].bincount(minlength=len(self.classes))
        found, largest = [], int(counts.argmax())
        share = counts[largest].item() / max(1, int(counts.sum()))
        if share > max(0.5, 1.5 / len(self.classes)):
            found.append(
                f"{share:.0%} of the training images are {self.classes[largest]}: always predicting it is as accurate. Compare "
                "macro F1, which weighs all classes equally, or train with --class-weights balanced."
            )
        if few := int((counts < FEW_IMAGES).sum()):
            found.append(
                f"{few} of {len(self.classes)} classes have fewer than {FEW_IMAGES} training images, so results will vary "
                "between seeds. Use several seeds, or --start-from a packaged model set."
            )
        return found


def data_root() -> Path:
    """Folder of the caches: `$NORMZOO_DATA`, or `data/` in the current folder."""
    return Path(os.environ.get("NORMZOO_DATA", "data"))


def cache_folder(name: str, image_size: int, root: Path | None = None) -> Path:
    if not MIN_IMAGE_SIZE <= image_size <= MAX_IMAGE_SIZE:
        raise ConfigError(f"image_size must be between {MIN_IMAGE_SIZE} and {MAX_IMAGE_SIZE:,}, got {image_size}.")
    return (root or data_root()) / f"{name}-{image_size}px"


def fetch(name: str, image_size: int | None = None, archive: str | None = None, root: Path | None = None) -> Path:
    """Download what is missing, verify it, and build the cache, unless it exists.

    Args:
        image_size: side in pixels; None: the data set's own.
        archive: path or URL of a copy of the official archive; None: the official one.
    """
    source = get_source(name)
    image_size = source.image_size if image_size is None else image_size
    root = root or data_root()
    folder = cache_folder(name, image_size, root)
    if folder.exists():
        return folder
    location = archive or source.url
    if "://" in location:
        path = download(location, root / "downloads")
    else:
        path = Path(location)
        if not path.is_file():
            raise DataError(f"There is no archive at {location}. Give another --archive PATH-OR-URL, or omit it to download.")
    build_cache(name, source, path, folder, image_size)
    return folder


def build_cache(name: str, source: Source, archive: Path, folder: Path, image_size: int) -> None:
    """Decode the used files of `archive` into `folder`, atomically."""
    entries = _verified_entries(source, archive)
    pixels = {split: np.empty((count, image_size, image_size, 3), np.uint8) for split, count in _counts(source).items()}
    labels = {split: np.empty(count, np.int64) for split, count in _counts(source).items()}
    filled = dict.fromkeys(SPLITS, 0)
    for split, label, _, content in tqdm(entries, unit="image", desc=f"decoding {name}"):
        i = filled[split]
        pixels[split][i] = to_pixels(Image.open(io.BytesIO(content)).convert("RGB"), image_size)
        labels[split][i] = label
        filled[split] += 1
    write_cache(folder, {"name": name, "classes": source.classes, "digest": source.digest, "note": source.note}, pixels, labels)


def _verified_entries(source: Source, archive: Path) -> list[Entry]:
    """The used files of an archive, verified to be complete, sorted by (split, class, path)."""
    entries = sorted(read_entries(source, archive), key=lambda entry: entry[:3])
    found = {split: sum(entry[0] == split for entry in entries) for split in SPLITS}
    if found != _counts(source):
        raise DataError(f"{archive} holds {found} images, not {_counts(source)}: it is not the expected one. {WHAT_TO_DO}")
    hashes = {path: hashlib.sha256(content).hexdigest() for _, _, path, content in entries}
    if digest(hashes) != source.digest:
        raise DataError(
            f"{archive} holds other images than expected (digest {digest(hashes)[:16]}…, not {source.digest[:16]}…). "
            f"{WHAT_TO_DO}"
        )
    return entries


def _counts(source: Source) -> dict[str, int]:
    return {"train": source.num_train, "val": source.num_val}


def colour_statistics(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per colour, in fractions of full scale, from histograms."""
    values = np.arange(256) / 255
    shares = np.stack([np.bincount(pixels[..., colour].ravel(), minlength=256) for colour in range(3)]) / pixels[..., 0].size
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
    return mean.round(6).tolist(), std.round(6).tolist()


Arrays = dict[str, np.ndarray]


def write_cache(
    folder: Path, about: dict[str, Any], pixels: Arrays, labels: Arrays, texts: dict[str, str] | None = None
) -> None:
    """Write a data set atomically, with texts by file name; an older one is replaced.

    Args:
        about: its name, classes, digest and note.
    """
    mean, std = colour_statistics(pixels["train"])
    size = {"format_version": FORMAT_VERSION, "image_size": pixels["train"].shape[1]}
    description = {**size, **about, "mean": mean, "std": [max(value, 1 / 255) for value in std]}  # of a single colour it is 0
    try:
        with new_folder(folder) as temporary:
            for split in SPLITS:
                _save_array(temporary / f"{split}_pixels.npy", pixels[split])
                _save_array(temporary / f"{split}_labels.npy", labels[split])
            for name, text in {**(texts or {}), "dataset.json": json.dumps(description, indent=1, ensure_ascii=False)}.items():
                (temporary / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"Could not write {folder} ({error}). Fix this and run the command again.") from error


def _save_array(path: Path, array: np.ndarray) -> None:
    """As `np.save`, but with an error for a full disk (a mapped file would end the process)."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(np.ascontiguousarray(array).data)


def load(name: str, image_size: int | None = None, root: Path | None = None) -> ImageData:
    """Return the cached data set, with pixels mapped from the disk, by default at its own image size."""
    image_size = own_image_size(name) if image_size is None else image_size
    folder = cache_folder(name, image_size, root)
    try:
        description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        pixels = {s: torch.from_numpy(np.load(folder / f"{s}_pixels.npy", mmap_mode="c")) for s in SPLITS}
        labels = {s: torch.from_numpy(np.load(folder / f"{s}_labels.npy")) for s in SPLITS}
        if description.pop("format_version") != FORMAT_VERSION:
            raise ValueError("it was built by another version of NormZoo")
        for name_of_tuple in ("classes", "mean", "std"):
            description[name_of_tuple] = tuple(description[name_of_tuple])
        files = folder / FILES if (folder / FILES).exists() else None
        return ImageData(**description, pixels=pixels, labels=labels, files=files)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        if folder.exists():
            raise DataError(f"The cache {folder} is damaged ({error}). Delete it and fetch it again.") from error
        if name not in SOURCES:
            raise DataError(
                f"Unknown data set {name!r}. Choose one of: {', '.join(SOURCES)}. Or give a folder of images, such as ./{name}."
            ) from error
        size = "" if image_size == own_image_size(name) else f" --image-size {image_size}"
        raise DataError(f"{name} is missing. Fetch it with: python -m training data fetch {name}{size}") from error


@functools.lru_cache
def load_once(name: str, image_size: int, root: Path) -> ImageData:
    """Return the cached images, the same object at every call."""
    return load(name, image_size, root)


def images_of(name: str, image_size: int, holdout: float) -> ImageData:
    """Return the cached images of a run."""
    data = load(name, image_size)
    return hold_out(data, holdout) if holdout else data


def hold_out(data: ImageData, share: float, seed: int = 0) -> ImageData:
    """Return only the training images, split again: a seeded share of every class becomes the validation images."""
    if not 0 < share < 1:
        raise ConfigError(f"holdout must be between 0 and 1, got {share}.")
    draw = torch.Generator().manual_seed(seed)
    labels = data.labels["train"]
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(len(data.classes)):
        members = (labels == label).nonzero().flatten()
        count = round(len(members) * share)
        if not 0 < count < len(members):
            raise ConfigError(f"A holdout of {share} leaves a class without training or validation images. Choose another one.")
        held[members[torch.randperm(len(members), generator=draw)[:count]]] = True
    parts = {"train": ~held, "val": held}
    return dataclasses.replace(
        data,
        holdout=share,
        note=f"{data.note} Validation images: a share of the training images.",
        pixels={split: data.pixels["train"][part] for split, part in parts.items()},
        labels={split: labels[part] for split, part in parts.items()},
        files=None,  # it tells of the split before
    )


def made_up_data(count: int, image_size: int = 32) -> ImageData:
    """Return noise, to measure training speed: training images and 250 validation images, with brightness by class."""
    num_classes = 25
    draw = torch.Generator().manual_seed(0)
    pixels, labels = {}, {}
    for split, images in {"train": count, "val": 250}.items():
        labels[split] = torch.arange(images) % num_classes
        noise = torch.randint(0, 128, (images, image_size, image_size, 3), generator=draw)
        pixels[split] = (noise + labels[split].view(-1, 1, 1, 1) * 127 // num_classes).to(torch.uint8)
    names = tuple(f"class {i}" for i in range(num_classes))
    return ImageData("made-up", names, image_size, (0.5,) * 3, (0.25,) * 3, "0" * 64, "Noise.", pixels, labels)
