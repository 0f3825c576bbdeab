"""Files in a ZIP archive, read into memory within limits; no name becomes a path."""

import contextlib
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from normzoo.errors import ImageError
from normzoo.images.limits import MAX_BYTES, in_sentences

#: Limits of one archive: files, their total size, and its table of contents.
MAX_FILES = 1_000
MAX_TOTAL_BYTES = 200_000_000
MAX_CONTENTS_BYTES = 250_000

_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"
_TAIL_BYTES = 22 + 65_535  # the end record and its comment
_DAMAGED = "This archive is damaged or of an unsupported kind; pack the photos again as a plain .zip."
#: System files of file managers.
_CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class ArchivedFile:
    """A file in an archive: its name, the name of its folder, and its bytes. The names are untrusted."""

    name: str
    folder: str  # empty at the top
    content: bytes


def list_archive(path: Path, most: int) -> list[int]:
    """Declared sizes in bytes of the files that `read_archive` yields."""
    with _opened(path, most) as (_, entries):
        return [entry.file_size for entry in entries]


def read_archive(path: Path, most: int, only: object = None) -> Iterator[ArchivedFile]:
    """Yield the files of an archive, without folders and system files.

    A file above the limit of one photo is cut off after it, and refused by the loader.

    Args:
        most: largest number of files.
        only: position of the file to read; None: all.
    """
    with _opened(path, most) as (archive, entries):
        left = MAX_TOTAL_BYTES
        for position, entry in enumerate(entries):
            if only is not None and only != position:
                continue
            with in_sentences(_DAMAGED, _DAMAGED), archive.open(entry) as file:  # what it declares of its size may be wrong
                content = file.read(MAX_BYTES + 1)
            left -= len(content)
            if left < 0:
                raise _too_large()
            place = PurePosixPath(entry.filename.replace("\\", "/"))
            yield ArchivedFile(place.name, place.parent.name, content)


@contextlib.contextmanager
def _opened(path: Path, most: int) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """The archive and its files, after checking its table of contents."""
    with open(path, "rb") as file:
        with in_sentences(_DAMAGED, _DAMAGED):
            _check_contents(file)
            archive = zipfile.ZipFile(file)
            entries = [entry for entry in archive.infolist() if not _is_clutter(entry.filename) and not entry.is_dir()]
            _check(entries, most)
        with archive:
            yield archive, entries


def is_archive(path: Path) -> bool:
    """Does a file begin like a ZIP archive?"""
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\x03\x04", _END)


def _check_contents(file: BinaryIO) -> None:
    """Check the declared size of the table of contents, since Python creates an object for every entry."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES - 20))
    tail = file.read()
    if _END_64 in tail:
        raise ImageError(_DAMAGED)
    position = tail.find(_END)
    while position >= 0:
        if int.from_bytes(tail[position + 12 : position + 16], "little") > MAX_CONTENTS_BYTES:
            raise ImageError(f"This archive holds more than {MAX_FILES:,} files; pack fewer.")
        position = tail.find(_END, position + 1)


def _check(entries: list[zipfile.ZipInfo], most: int) -> None:
    if not entries:
        raise ImageError("This archive holds no photo; choose another.")
    if len(entries) > most:
        raise ImageError(f"This archive holds {len(entries):,} files, more than the {most:,} allowed; pack fewer.")
    if any(entry.flag_bits & 1 for entry in entries):
        raise ImageError("This archive is encrypted; pack the photos again without a password.")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise ImageError(_DAMAGED)  # others declare how much memory they need, and fail in other ways
    if any(stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) for entry in entries):
        raise ImageError("This archive holds links or devices; pack the photos themselves.")
    if sum(entry.file_size for entry in entries) > MAX_TOTAL_BYTES:
        raise _too_large()


def _too_large() -> ImageError:
    return ImageError(
        f"This archive unpacks to more than the {MAX_TOTAL_BYTES // 10**6} MB allowed; pack fewer or smaller photos."
    )


def _is_clutter(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return not name or parts[0] in _CLUTTER or parts[-1] in _CLUTTER or parts[-1].startswith(".")
