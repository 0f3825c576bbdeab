"""The image cache: a data set as two memory-mapped arrays of pixels, built once."""

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from normzoo.errors import ConfigError, DataError
from normzoo.images import to_pixels
from training.archives import Source, digest, download, get_source, read_entries

SPLITS = ("train", "val")
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ImageData:
    """A data set in memory: for each split pixels, uint8 (N, H, W, 3), and labels, int64 (N,)."""

    name: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    note: str
    pixels: dict[str, Tensor]
    labels: dict[str, Tensor]

    def describe(self) -> dict[str, object]:
        """What a stored result says about the images it was made from."""
        sizes = {f"num_{split}": len(self.labels[split]) for split in SPLITS}
        return {"name": self.name, "digest": self.digest, "note": self.note, **sizes}


def data_root() -> Path:
    """Where caches live: `$NORMZOO_DATA`, or `data/` here."""
    return Path(os.environ.get("NORMZOO_DATA", "data"))


def cache_folder(name: str, image_size: int, root: Path | None = None) -> Path:
    """The folder of one data set at one image size."""
    return (root or data_root()) / f"{name}-{image_size}px"


def fetch(name: str, image_size: int = 32, archive: str | None = None, root: Path | None = None) -> Path:
    """Download what is missing, verify it, and build the cache; does nothing where the cache is there.

    Args:
        archive: the path or URL of a copy of the official archive; None takes the official one.

    Raises:
        DataError: no connection, no room, or other files than expected; nothing half-written stays.
    """
    source = get_source(name)
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
            raise DataError(f"There is no archive at {location}. Pass --archive PATH-OR-URL, or leave it out to download.")
    build_cache(name, source, path, folder, image_size)
    return folder


def build_cache(name: str, source: Source, archive: Path, folder: Path, image_size: int) -> None:
    """Decode the used files of `archive` into `folder`, which appears whole or not at all."""
    counts = {"train": source.num_train, "val": source.num_val}
    with _new_folder(folder) as temporary:
        shape = (image_size, image_size, 3)
        pixels = {
            s: np.lib.format.open_memmap(temporary / f"{s}_pixels.npy", "w+", np.uint8, (counts[s], *shape)) for s in SPLITS
        }
        labels = {s: np.empty(counts[s], np.int64) for s in SPLITS}
        hashes: dict[str, str] = {}
        filled = dict.fromkeys(SPLITS, 0)
        for split, label, path, content in tqdm(
            _sorted_entries(source, archive), total=sum(counts.values()), unit="image", desc=f"reading {name}"
        ):
            hashes[path] = hashlib.sha256(content).hexdigest()
            i = filled[split]
            if i == counts[split]:
                raise DataError(f"{archive.name} has more than {counts[split]} {split} images: it is not the expected archive.")
            pixels[split][i] = to_pixels(Image.open(io.BytesIO(content)).convert("RGB"), image_size)
            labels[split][i] = label
            filled[split] += 1
        if filled != counts:
            raise DataError(f"{archive.name} has {filled} of {counts} images: it is incomplete. Fetch it again.")
        found = digest(hashes)
        if found != source.digest:
            raise DataError(
                f"The images of {archive.name} are not the expected ones (digest {found[:16]}…, not {source.digest[:16]}…)."
            )
        full_scale = pixels["train"].reshape(-1, 3).astype(np.float64) / 255
        for split in SPLITS:
            pixels[split].flush()
            np.save(temporary / f"{split}_labels.npy", labels[split])
        description = {
            "format_version": FORMAT_VERSION,
            "name": name,
            "classes": source.classes,
            "image_size": image_size,
            "mean": full_scale.mean(0).round(6).tolist(),
            "std": full_scale.std(0).round(6).tolist(),
            "digest": found,
            "note": source.note,
        }
        (temporary / "dataset.json").write_text(json.dumps(description, indent=1, ensure_ascii=False))


def _sorted_entries(source: Source, archive: Path) -> Iterator[tuple[str, int, str, bytes]]:
    """Archives list the same files in different orders: the order here is that of (split, class, path)."""
    yield from sorted(read_entries(source, archive), key=lambda entry: entry[:3])


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place `folder` when the block ends well, and vanishes otherwise."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        os.replace(temporary, folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DataError(f"No room left in {folder.parent}: free some space and call again.") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(name: str, image_size: int = 32, root: Path | None = None) -> ImageData:
    """The cached data set, pixels mapped from the disk.

    Raises:
        DataError: it was not fetched yet, or is damaged.
    """
    folder = cache_folder(name, image_size, root)
    try:
        description = json.loads((folder / "dataset.json").read_text())
        pixels = {s: torch.from_numpy(np.load(folder / f"{s}_pixels.npy", mmap_mode="c")) for s in SPLITS}
        labels = {s: torch.from_numpy(np.load(folder / f"{s}_labels.npy")) for s in SPLITS}
    except FileNotFoundError as error:
        raise DataError(f"{name} is not here yet. Fetch it with: python -m training data fetch {name}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"The cache {folder} is damaged ({error}). Delete it and fetch again.") from error
    return ImageData(
        name=description["name"],
        classes=tuple(description["classes"]),
        image_size=description["image_size"],
        mean=tuple(description["mean"]),
        std=tuple(description["std"]),
        digest=description["digest"],
        note=description["note"],
        pixels=pixels,
        labels=labels,
    )


def hold_out(data: ImageData, share: float, seed: int = 0) -> ImageData:
    """The training images alone, split anew: a seeded share of every class becomes the validation images.

    Raises:
        ConfigError: the share leaves a class without images on either side.
    """
    draw = torch.Generator().manual_seed(seed)
    labels = data.labels["train"]
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(len(data.classes)):
        members = (labels == label).nonzero().flatten()
        count = round(len(members) * share)
        if not 0 < count < len(members):
            raise ConfigError(f"a holdout of {share} leaves no image of a class on one side; choose a share between 0 and 1.")
        held[members[torch.randperm(len(members), generator=draw)[:count]]] = True
    parts = {"train": ~held, "val": held}
    return dataclasses.replace(
        data,
        name=f"{data.name},holdout={share}",
        note=f"{data.note} A share of the training images in place of the validation images.",
        pixels={split: data.pixels["train"][part] for split, part in parts.items()},
        labels={split: labels[part] for split, part in parts.items()},
    )
