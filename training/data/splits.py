"""Class and split of each file in a folder."""

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from normzoo.errors import DataError

#: Share of each class without `val/`.
VAL_SHARE = 0.1
SPLIT_SEED = 0
#: Parts of a data set -> their names, in any case.
PARTS = {
    "train": {"train", "training", "training_set"},
    "val": {"val", "valid", "validation", "validation_set", "dev"},
    "test": {"test", "testing", "test_set"},
}
#: System folders; never a class.
LEFT_BEHIND = {"__macosx", "__pycache__", "@eadir"}
#: Table of files and labels, as in image folders of the Hugging Face Hub: in each part, or one beside them.
METADATA = "metadata.csv"
#: Files beside images that are not images.
_NO_IMAGES = {".md", ".txt", ".json", ".xml", ".html", ".pdf", ".ini", ".db", ".zip"}
#: Why a system file was skipped: it is listed, but not reported or counted.
HIDDEN = "It is hidden."


@dataclass(frozen=True)
class ImageFile:
    """A possible image of a class."""

    split: str | None  # None: not decided yet
    label: int
    name: str  # below the folder, with slashes
    path: Path


@dataclass(frozen=True)
class Found:
    """Classes by name, possible images, and skipped files with the reason."""

    classes: tuple[str, ...]
    files: list[ImageFile]
    skipped: list[tuple[str, str]]

    @property
    def told(self) -> list[tuple[str, str]]:
        """The skipped files, except for common system files."""
        return [each for each in self.skipped if each[1] != HIDDEN]


def find_files(folder: Path) -> Found:
    """Find the images of a folder: `train/<class>/…` with or without `val/<class>/…`, or `<class>/…`.

    Each part may instead have a `metadata.csv` with the columns `file_name` and `label`.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Give a folder with one folder of images per class.")
    train, val = _parts(folder)
    skipped: list[tuple[str, str]] = []
    shared = folder / METADATA if val and (folder / METADATA).is_file() else None
    by_split = {"train" if val else None: _labelled(train, folder, shared, skipped)}
    if val:
        by_split["val"] = _labelled(val, folder, shared, skipped)
        skipped += [each for each in _loose_files(folder, folder) if each[0] != METADATA or not shared]
    classes = tuple(sorted(next(iter(by_split.values()))))
    if len(classes) < 2:
        raise DataError(
            f"{train} must hold folders for at least 2 classes, or a {METADATA} with the columns file_name and label; got "
            f"{', '.join(classes) or 'none'}."
        )
    if val and (unknown := sorted(by_split["val"].keys() - set(classes))):
        raise DataError(f"{val} has classes that are not in {train.name}: {', '.join(unknown)}.")
    files = [file for split, found in by_split.items() for file in _files(split, folder, classes, found)]
    return Found(classes, sorted(files, key=lambda file: file.name), sorted(skipped))


def _parts(folder: Path) -> tuple[Path, Path | None]:
    """The folder of training images, and that of validation images if there is one."""
    folders = _folders(folder)
    named = {kind: [path for path in folders if path.name.lower() in names] for kind, names in PARTS.items()}
    others = [path.name for path in folders if not any(path in paths for paths in named.values())]
    if named["train"] and others:
        raise DataError(
            f"{folder} has {named['train'][0].name} beside {', '.join(others)}. If these are classes, put them into "
            "train/<class>/…; if train is a class, rename it."
        )
    if not named["train"] and not others and (named["val"] or named["test"]):
        raise DataError(f"{folder} has {', '.join(path.name for path in folders)}, but no train. Add train/<class>/….")
    if not named["train"]:
        return folder, None
    for paths in (named["train"], named["val"]):
        if len(paths) > 1:
            raise DataError(f"{folder} has both {' and '.join(path.name for path in paths)}. Keep one of them.")
    return named["train"][0], next(iter(named["val"]), None)


def find_test_files(folder: Path, classes: tuple[str, ...]) -> list[ImageFile]:
    """Find the test images of a folder, `test/<class>/…` or `<class>/…`; training never uses them."""
    part = next((path for path in _folders(folder) if path.name.lower() in PARTS["test"]), folder)
    found = _labelled(part, folder, None, [])
    if unknown := sorted(found.keys() - set(classes)):
        raise DataError(f"{part} has classes that the networks were not trained on: {', '.join(unknown)}.")
    if not any(found.values()):
        raise DataError(f"{part} must hold folders named like the classes, with images.")
    return _files("test", folder, classes, found)


def _files(split: str | None, folder: Path, classes: tuple[str, ...], found: dict[str, list[Path]]) -> list[ImageFile]:
    return [
        ImageFile(split, classes.index(name), as_text(path.relative_to(folder).as_posix()), path)
        for name, paths in found.items()
        for path in paths
    ]


def _labelled(part: Path, folder: Path, shared: Path | None, skipped: list[tuple[str, str]]) -> dict[str, list[Path]]:
    """Class -> its files, in one part of a data set."""
    table = part / METADATA
    if table.is_file() or shared:
        return _from_metadata(table if table.is_file() else shared or table, part, folder, skipped)
    folders = _class_folders(part)
    loose = _loose_files(part, folder)
    if not folders and loose:
        raise DataError(
            f"{part} holds {len(loose)} files but no class folders. Put the images of each class into one folder, "
            f"or write a {METADATA} with the columns file_name and label."
        )
    skipped += loose
    closed = {os.path.realpath(path) for path in (*folders.values(), part, *part.absolute().parents)}
    return {name: list(_walk(path, folder, closed - {os.path.realpath(path)}, skipped)) for name, path in folders.items()}


def _from_metadata(table: Path, part: Path, folder: Path, skipped: list[tuple[str, str]]) -> dict[str, list[Path]]:
    there = {_comparable(path.relative_to(table.parent).as_posix()): path for path in _walk(part, folder, set(), skipped)}
    there.pop(METADATA, None)
    found: dict[str, list[Path]] = {}
    missing = []
    for name, label in _read_metadata(table):
        path = there.pop(_comparable(name), None)
        shown = as_text(f"{part.name}/{name}" if table.parent == part else name)
        if path is None and table.parent != part and not _comparable(name).startswith(f"{part.name}/"):
            continue  # of the other part
        if path is None:
            missing.append(name)
            skipped.append((shown, f"{METADATA} lists it, but it does not exist."))
        elif label and label.isprintable():
            found.setdefault(label, []).append(path)
        else:
            skipped.append((shown, f"{METADATA} has no label for it."))
    if missing and not found:
        raise DataError(
            f"{part} has none of the {len(missing)} files listed in {table}, such as {as_text(missing[0])!r}. file_name must "
            "be a path relative to the table's folder, with the extension."
        )
    skipped += [(as_text(path.relative_to(folder).as_posix()), f"{METADATA} does not list it.") for path in there.values()]
    return found


def _comparable(name: str) -> str:
    """Path below a folder, normalized across systems."""
    return posixpath.normpath(unicodedata.normalize("NFC", name.replace("\\", "/")))


def _read_metadata(table: Path) -> list[tuple[str, str]]:
    try:
        rows = pd.read_csv(table, usecols=["file_name", "label"], dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f'{table} must be in UTF-8; in Excel save it as "CSV UTF-8".') from error
    except (OSError, ValueError) as error:
        raise DataError(f"{table} must have comma-separated columns file_name and label in every row ({error}).") from error
    return list(zip(rows["file_name"], map(_decoded, rows["label"].str.strip()), strict=True))


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name.lower() not in LEFT_BEHIND
    )


def _class_folders(folder: Path) -> dict[str, Path]:
    paths = _folders(folder)
    folders = {_decoded(unicodedata.normalize("NFC", path.name)): path for path in paths}
    if len(folders) < len(paths):
        raise DataError(f"{folder} has two folders with names that look the same. Rename one.")
    for name in folders:
        if not name.isprintable():
            raise DataError(f"{folder} has a folder with a control character in its name: {name!r}. Rename it.")
    return dict(sorted(folders.items()))


def _loose_files(part: Path, folder: Path) -> list[tuple[str, str]]:
    return [
        (as_text(path.relative_to(folder).as_posix()), "It is not in a class folder.")
        for path in sorted(part.iterdir())
        if path.is_file() and not path.name.startswith(".")
    ]


def _walk(start: Path, folder: Path, closed: set[str], skipped: list[tuple[str, str]]) -> Iterator[Path]:
    """Every file below a folder except hidden ones; links are followed, and each folder is visited once.

    Args:
        closed: real paths that no link may lead to: other classes, and parents of the data set.
    """
    seen = set()
    for parent, folders, names in os.walk(start, followlinks=True):
        real = os.path.realpath(parent)
        if real in closed:
            name = as_text(Path(parent).relative_to(folder).as_posix())
            skipped.append((name, "It is a link to a folder with other classes."))
        if real in seen or real in closed:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name.lower() not in LEFT_BEHIND)
        for name in names:
            path = Path(parent, name)
            reason = _why_not(path)
            if reason:
                skipped.append((as_text(path.relative_to(folder).as_posix()), reason))
            elif name != METADATA:
                yield path


def _why_not(path: Path) -> str:
    """Why a file is skipped; empty if it is not."""
    if path.name.startswith("."):
        return HIDDEN
    if path.is_symlink() and not path.exists():
        return "It is a broken link."
    if path.suffix.lower() in _NO_IMAGES or path.stem.upper() in ("README", "LICENSE"):
        return "Its name is not that of an image."
    return "" if path.is_file() else "It is not a file."


def as_text(name: str) -> str:
    """Name of a file as printable text, also if it is invalid in the system's encoding."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in _decoded(name))


def _decoded(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def decide_splits(classes: tuple[str, ...], files: list[ImageFile], hashes: list[str]) -> list[str]:
    """The split of every file: that of its folder, or drawn.

    Files with copies are never drawn for validation, since a copy would be in training.
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


def check_classes(folder: Path, classes: tuple[str, ...], files: list[ImageFile], splits: list[str]) -> list[str]:
    """Require training images in every class, and validation images.

    Returns:
        a warning, if some classes have no validation image.
    """
    by_split = {
        split: {file.label for file, each in zip(files, splits, strict=True) if each == split} for split in ("train", "val")
    }
    if empty := [name for label, name in enumerate(classes) if label not in by_split["train"]]:
        raise DataError(f"No image to train on in {folder} for {', '.join(empty)}. Add some, or remove the folder.")
    if not by_split["val"]:
        if splits.count("train") >= 2 * len(classes):
            raise DataError(
                f"No validation image in {folder}: every image has copies, which stay together in training. Remove the "
                "copies, or put validation images into a folder val."
            )
        raise DataError(f"No validation image in {folder}. Put at least 2 images into each class, or add a folder val.")
    missing = [name for label, name in enumerate(classes) if label not in by_split["val"]]
    if not missing:
        return []
    return [
        f"{len(missing)} of {len(classes)} classes have no validation image ({', '.join(missing)}): macro F1 is over the "
        f"others."
    ]
