"""Files read strictly and written atomically."""

import contextlib
import csv
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from normzoo.errors import CheckpointError
from normzoo.formatting import csv_cell


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that replaces `folder` when the block succeeds, and is deleted otherwise."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        old = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(temporary, folder)
        except OSError:
            if old.exists():
                os.replace(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return all tensors of a safetensors file, and its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} is missing. Package the run again.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} is damaged. Download it or package the run again.") from error


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file with the same bytes for the same content (the library writes metadata in random order)."""
    content = bytearray(save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))
    start = 8  # the size of the header, then the header: JSON, padded with spaces
    end = start + int.from_bytes(content[:start], "little")
    header = json.loads(content[start:end])
    if metadata:
        header["__metadata__"] = metadata
    content[start:end] = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(end - start)
    path.write_bytes(content)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table with a header, creating its folder; may raise OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)


#: Columns of texts and of whole numbers, in any table; the others have numbers, some of which may be missing.
_TEXTS = {"split", "corruption", "recipe", "variant", "against", "images", "order", "batch", "change", "covers"}
_WHOLE = {"seed", "epoch", "epochs", "severity", "source_weight"}
_MAY_BE_MISSING = {"changed", "fpr95", "threshold", "known_flagged", "unknown_flagged", "noise_confidence"}


def read_rows(path: Path, columns: Iterable[str]) -> list[dict[str, Any]]:
    """Return these columns of a table as texts and numbers, NaN where one is missing."""

    def value(name: str, text: str) -> Any:
        return text if name in _TEXTS else int(text) if name in _WHOLE else float(text or "nan" * (name in _MAY_BE_MISSING))

    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [{name: value(name, row[name]) for name in columns} for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise CheckpointError(f"{path.name} is missing or damaged. Download, package or measure it again.") from error


def to_json(value: Any) -> str:
    """Return strict JSON: NaN and infinity are refused."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parse_json(text: str, name: str) -> dict[str, Any]:
    """Parse strict JSON with an object at the top."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is damaged ({error}). Download it or package the run again.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} has invalid content. Download it or package the run again.")
    return value


def file_sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path.name} is missing. Download it or package the run again.") from error


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name} is missing or damaged. Package the run again.") from error


def file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
