"""Files of a folder: the class and the split of each."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from normzoo.errors import DataError

#: Of each class, where there is no `val/`.
VAL_SHARE = 0.1
SPLIT_SEED = 0
#: Folders of such names are parts of a data set, not classes.
_PARTS = {"train", "training", "training_set", "val", "valid", "validation", "validation_set", "test", "test_set", "testing"}


@dataclass(frozen=True)
class ImageFile:
    split: str | None  # None: not decided yet
    label: int
    name: str  # below the folder, with slashes
    path: Path


def find_files(folder: Path) -> tuple[tuple[str, ...], list[ImageFile]]:
    """The classes by name, and every file that may be an image."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Give one with a folder of images for each class in it.")
    has_parts = (folder / "train").is_dir()
    train = folder / "train" if has_parts else folder
    classes = _class_folders(train)
    if len(classes) < 2 or (not has_parts and {name.lower() for name in classes} <= _PARTS):
        raise DataError(
            f"{train} must hold a folder for each of at least 2 classes, got {', '.join(classes) or 'none'}. "
            "If the images are split already, the two parts must be called train and val."
        )
    val = _class_folders(folder / "val") if has_parts and (folder / "val").is_dir() else None
    if val is not None and (unknown := [name for name in val if name not in classes]):
        raise DataError(f"{folder / 'val'} has classes that train has not: {', '.join(unknown)}.")
    splits = {None: classes} if val is None else {"train": classes, "val": val}
    labels = {name: label for label, name in enumerate(classes)}
    files = [
        ImageFile(split, labels[name], as_text(path.relative_to(folder).as_posix()), path)
        for split, folders in splits.items()
        for name, class_folder in folders.items()
        for path in _walk(class_folder)
    ]
    return tuple(classes), sorted(files, key=lambda file: file.name)


def _class_folders(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    folders = {as_text(unicodedata.normalize("NFC", path.name)): path for path in paths}
    if len(folders) < len(paths):
        raise DataError(f"{folder} has two folders whose names look the same. Rename one.")
    return dict(sorted(folders.items()))


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, but for hidden ones; links are followed, each folder is entered once."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (Path(parent, name) for name in names if not name.startswith(".") and Path(parent, name).is_file())
        seen.add(real)


def as_text(name: str) -> str:
    """A file's name as text, also where it is none in the system's encoding."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def decide_splits(classes: tuple[str, ...], files: list[ImageFile], hashes: list[str]) -> list[str]:
    """The split of every file: that of its folder, or drawn.

    A file that is there twice is never drawn: both would be in training, or one would be known before it is asked for.
    """
    splits = [file.split or "train" for file in files]
    copies = Counter(hashes)
    draw = torch.Generator().manual_seed(SPLIT_SEED)
    for label in range(len(classes)):
        members = [i for i, file in enumerate(files) if file.split is None and file.label == label and hashes[i]]
        single = [i for i in members if copies[hashes[i]] == 1]
        count = min(max(1, round(len(members) * VAL_SHARE)), len(single), max(0, len(members) - 1))
        for position in torch.randperm(len(single), generator=draw)[:count].tolist():
            splits[single[position]] = "val"
    return splits


def check_classes(folder: Path, classes: tuple[str, ...], files: list[ImageFile], splits: list[str]) -> None:
    trained = {file.label for file, split in zip(files, splits, strict=True) if split == "train"}
    if empty := [name for label, name in enumerate(classes) if label not in trained]:
        raise DataError(f"No image to train on in {folder} for {', '.join(empty)}. Add some, or remove the folder.")
    if "val" not in splits:
        raise DataError(f"No image to validate on in {folder}. Add some: 2 or more in each class, or a folder val.")
