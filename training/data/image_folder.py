"""A user's images in class folders, or read by the `datasets` library, as a cached data set."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from tqdm import tqdm

from normzoo.errors import DataError, ImageError
from normzoo.formatting import counted, to_csv
from normzoo.images.preprocess import load_image, to_pixels
from normzoo.pretrained.serialization import new_folder
from training.data.dataset import FILES, FORMAT_VERSION, SPLITS, ImageData, cache_folder, data_root, load, write_cache
from training.data.sources import SOURCES, digest
from training.data.splits import (
    PARTS,
    SPLIT_SEED,
    VAL_SHARE,
    Found,
    ImageFile,
    as_text,
    check_classes,
    decide_splits,
    find_files,
)

SKIPPED = "skipped"
#: In the cache: its folder, with a fingerprint.
SOURCE = "source.json"
#: Number of unreadable files to print; `files.csv` lists all.
MAX_NAMED = 10
PREFIX = "hf://datasets/"
#: Folder of the images, below that of the caches.
UNPACKED = "unpacked"
#: Hidden file in the unpacked folder: its source.
UNPACKED_FROM = ".source"
_LABELS = ("label", "labels", "cls", "class", "target", "category")


def open_images(name: str, image_size: int, say: Callable[[str], None] = print, root: Path | None = None) -> ImageData:
    """Return the cached data set of that name, or the images of a folder or packed data set."""
    if name not in SOURCES and is_packed(name):
        return load_folder(unpack(name, root or data_root(), say), image_size, say, root)
    path = Path(name).expanduser()
    if name not in SOURCES and path.is_dir():
        cache = cache_folder(name, image_size, root)
        # A bare name may be that of a cache, too: the folder is meant where the cache was made from it.
        if path.name != name or not cache.exists() or _read_source(cache).get("folder") == os.path.abspath(path):
            return load_folder(path, image_size, say, root)
    elif path.name != name:
        raise DataError(f"There is no folder {name}. Give a folder with one folder of images per class.")
    return load(name, image_size, root)


def load_folder(folder: Path, image_size: int, say: Callable[[str], None] = print, root: Path | None = None) -> ImageData:
    """Return the images of a folder; decode them at the first call and after changes.

    `train/<class>/…` with `val/<class>/…`; or `train/<class>/…` or `<class>/…` alone: then a tenth of each class, drawn with a
    fixed seed, is used for validation. `files.csv` in the cache lists every file with its split.
    """
    folder = Path(os.path.abspath(folder))
    name = _set_name(folder)
    cache = cache_folder(name, image_size, root)
    found = find_files(folder)
    state = _fingerprint(found)
    if _read_source(cache).get("fingerprint") != state:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cache.parent / f".{cache.name}.lock"):  # one process builds it, the others wait
            stored = _read_source(cache)
            if stored.get("fingerprint") != state:
                origin = stored.get("folder", "another data set")
                if cache.exists() and origin != str(folder) and (not stored or Path(origin).exists()):
                    raise DataError(f"{cache} already holds the images of {origin}. Rename {folder}, or delete that cache.")
                _build(folder, name, found, cache, image_size, {"folder": str(folder), "fingerprint": state}, say)
    return load(name, image_size, root)


def _set_name(folder: Path) -> str:
    """Name of the folder, as a valid name for a folder of results."""
    name = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", folder.name)).strip(".-") or "images"
    if name in SOURCES:
        raise DataError(f"{name} is the name of a data set of NormZoo. Rename {folder}.")
    return name


def _fingerprint(found: Found) -> str:
    """Return a hash that changes when a file is added, removed, rewritten or relabelled."""
    stats = [(file.name, file.split, file.label, (stat := file.path.stat()).st_size, stat.st_mtime_ns) for file in found.files]
    parts = [FORMAT_VERSION, VAL_SHARE, SPLIT_SEED, stats, found.classes, found.told]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read_source(cache: Path) -> dict[str, str]:
    try:
        source: dict[str, str] = json.loads((cache / SOURCE).read_text(encoding="utf-8"))
        return source
    except (OSError, ValueError):
        return {}


def _build(
    folder: Path, name: str, found: Found, cache: Path, image_size: int, source: dict[str, str], say: Callable[[str], None]
) -> None:
    classes, files = found.classes, found.files
    pixels = np.empty((len(files), image_size, image_size, 3), np.uint8)
    hashes, problems = [""] * len(files), [""] * len(files)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(lambda file: decode_file(file.path, image_size), files)
        for i, (square, sha, problem) in enumerate(tqdm(decoded, total=len(files), unit="image", desc=f"decoding {name}")):
            hashes[i], problems[i] = sha, problem
            if square is not None:
                pixels[i] = square
    decided = zip(decide_splits(classes, files, hashes), problems, strict=True)
    splits = [SKIPPED if problem else split for split, problem in decided]
    warnings = check_classes(folder, classes, files, splits) + _copies(files, classes, splits, hashes)
    chosen = {split: np.array([i for i, each in enumerate(splits) if each == split], dtype=np.int64) for split in SPLITS}
    labels = {split: np.array([files[i].label for i in chosen[split]], dtype=np.int64) for split in SPLITS}
    used = {f"{splits[i]}/{classes[file.label]}/{file.name}": hashes[i] for i, file in enumerate(files) if not problems[i]}
    note = " ".join([_note(folder, files, splits, len(found.told)), *warnings])
    skipped = sorted([(file.name, problem) for file, problem in zip(files, problems, strict=True) if problem] + found.told)
    rows = [(splits[i], classes[file.label], file.name, hashes[i], problems[i]) for i, file in enumerate(files)]
    rows += [(SKIPPED, "", file_name, "", problem) for file_name, problem in found.skipped]
    squares = {split: pixels[chosen[split]] for split in SPLITS}
    table = pd.DataFrame(rows, columns=["split", "class", "file", "sha256", "problem"])
    texts = {FILES: to_csv(table, lineterminator="\n"), SOURCE: json.dumps(source)}
    write_cache(cache, {"name": name, "classes": classes, "digest": digest(used), "note": note}, squares, labels, texts)
    counts = f"{len(labels['train'])} training and {len(labels['val'])} validation images"
    say(f"{name}: {len(classes)} classes, {counts} in {cache}.")
    for warning in warnings:
        say(warning)
    if skipped:
        say(f"{len(skipped)} of {len(files) + len(found.told)} files were skipped; {cache / FILES} lists them all:")
        for file_name, problem in skipped[:MAX_NAMED]:
            say(f"  {file_name}: {problem}")


def decode_file(path: Path, image_size: int) -> tuple[np.ndarray | None, str, str]:
    """The network's input square and the sha256 of the file, or what is wrong with it."""
    try:
        content = path.read_bytes()
        return to_pixels(load_image(content, allow_tiff=True), image_size), hashlib.sha256(content).hexdigest(), ""
    except ImageError as error:
        return None, "", str(error)
    except OSError as error:
        return None, "", f"It cannot be read ({error.strerror})."


def _note(folder: Path, files: list[ImageFile], splits: list[str], unread: int) -> str:
    """Return the description of the images that is stored with every result."""
    words = [f"The images of the folder {as_text(folder.name)!r}."]
    if files[0].split is None:
        words.append(f"Validation: {VAL_SHARE} of each class, drawn with seed {SPLIT_SEED}.")
    if skipped := splits.count(SKIPPED) + unread:
        words.append(f"{skipped} of {len(files) + unread} files were skipped.")
    return " ".join(words)


def _copies(files: list[ImageFile], classes: tuple[str, ...], splits: list[str], hashes: list[str]) -> list[str]:
    """Describe duplicate images: across classes, or in training and validation."""
    warnings = []
    labels: dict[str, set[int]] = {}
    for file, sha, split in zip(files, hashes, splits, strict=True):
        if split != SKIPPED:
            labels.setdefault(sha, set()).add(file.label)
    if torn := [sorted(each) for each in labels.values() if len(each) > 1]:
        names = " and ".join(classes[label] for label in torn[0])
        warnings.append(f"{counted(len(torn), 'image')} in two or more classes, such as one in {names}.")
    trained = {sha for sha, split in zip(hashes, splits, strict=True) if split == "train"}
    if known := sum(split == "val" and sha in trained for sha, split in zip(hashes, splits, strict=True)):
        warnings.append(f"{counted(known, 'validation image')} also among the training images.")
    return warnings


def is_packed(name: str) -> bool:
    """Is it a data set of the Hub, or a folder of Parquet files, .tar shards or `Dataset.save_to_disk`?"""
    folder = Path(name).expanduser()
    return name.startswith(PREFIX) or any(
        path.suffix in (".parquet", ".tar") or path.name in ("dataset_dict.json", "state.json")
        for path in (folder.iterdir() if folder.is_dir() else ())
    )


def unpack(name: str, root: Path, say: Callable[[str], None] = print) -> Path:
    """Write the image files of a data set once to a folder `train/<class>/…` and so on, and return it.

    Only splits named train, validation or test (or similar) are used. The images are not decoded.

    Args:
        name: `hf://datasets/user/name`, with or without `@revision`, or a folder.
        root: the folder of the caches.

    Raises:
        DataError: the library is missing, or the data set cannot be read or has no images or no labels.
    """
    is_remote = name.startswith(PREFIX)
    place = Path(re.sub(r"@.*", "", name)) if is_remote else Path(name).expanduser().resolve()
    folder = root / UNPACKED / place.name
    files = sorted(path for path in place.rglob("*") if path.is_file()) if not is_remote else []
    state = [name if is_remote else str(place), *(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files)]
    before = (folder / UNPACKED_FROM).read_text(encoding="utf-8").splitlines() if (folder / UNPACKED_FROM).is_file() else []
    if before == state:
        if is_remote:
            say(f"{name} is already unpacked in {folder}. Delete that folder to unpack it again.")
        return folder
    if importlib.util.find_spec("datasets") is None:
        raise DataError(f"{name} needs the datasets library: pip install datasets")
    if folder.exists() and before[:1] != state[:1]:
        raise DataError(f"{folder} already holds the images of another data set. Delete it, or rename one of them.")
    with new_folder(folder) as temporary:
        for split, rows in _load(name, temporary / "cache").items():
            part = next((part for part, names in PARTS.items() if split.lower() in names), None)
            if part is None:
                say(f"{name}: split {split!r} is skipped; only train, validation and test are used.")
            else:
                _write(rows, temporary / part, name)
        shutil.rmtree(temporary / "cache", ignore_errors=True)
        (temporary / UNPACKED_FROM).write_text("\n".join(state), encoding="utf-8")
    return folder


def _load(name: str, cache: Path) -> dict[str, Any]:
    """Return the splits: name -> rows."""
    import datasets  # brings pyarrow, which few need

    try:
        if name.startswith(PREFIX):
            repository, _, revision = name.removeprefix(PREFIX).partition("@")
            found = datasets.load_dataset(repository, revision=revision or None, cache_dir=str(cache))
        elif any((Path(name) / file).is_file() for file in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(name)
        else:
            found = datasets.load_dataset(str(Path(name).resolve()), cache_dir=str(cache))
    except Exception as error:  # the library's own, those of the network and of the disk have no common base
        raise DataError(f"{name} cannot be read as a data set ({' '.join(str(error).split())[:200]}).") from error
    return dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}


def _write(rows: Any, folder: Path, name: str) -> None:
    import datasets

    images = [column for column, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    labels = [column for column, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)]
    labels = labels or [column for column in _LABELS if column in rows.features]
    if not images or not labels:
        raise DataError(f"{name} must have a column of images and one of labels, got {', '.join(rows.features)}.")
    feature = rows.features[labels[0]]
    for number, row in enumerate(rows.cast_column(images[0], datasets.Image(decode=False))):
        label, image = row[labels[0]], row[images[0]]
        title = feature.int2str(label) if isinstance(feature, datasets.ClassLabel) else str(label)
        of_class = folder / (re.sub(r'[/\\:*?"<>|\x00-\x1f]', "-", title).strip(". ") or "unnamed")
        of_class.mkdir(parents=True, exist_ok=True)
        (of_class / f"{number:07d}").write_bytes(image["bytes"] or Path(image["path"]).read_bytes())
