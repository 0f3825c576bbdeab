"""Images read by the `datasets` library: from the Hugging Face Hub, Parquet files and WebDataset shards."""

import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from normzoo.errors import DataError
from normzoo.pretrained.serialization import new_folder
from training.data.splits import TEST_NAMES, TRAIN_NAMES, VAL_NAMES

PREFIX = "hf://datasets/"
#: Folder of the images, below that of the caches.
UNPACKED = "unpacked"
#: Hidden file in the unpacked folder: its source.
SOURCE = ".source"
_PLACES = {"train": TRAIN_NAMES, "val": VAL_NAMES, "test": TEST_NAMES}
_LABELS = ("label", "labels", "cls", "class", "target", "category")


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
    before = (folder / SOURCE).read_text(encoding="utf-8").splitlines() if (folder / SOURCE).is_file() else []
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
            part = next((part for part, names in _PLACES.items() if split.lower() in names), None)
            if part is None:
                say(f"{name}: split {split!r} is skipped; only train, validation and test are used.")
            else:
                _write(rows, temporary / part, name)
        shutil.rmtree(temporary / "cache", ignore_errors=True)
        (temporary / SOURCE).write_text("\n".join(state), encoding="utf-8")
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
