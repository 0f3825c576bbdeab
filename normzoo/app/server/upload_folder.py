"""Where uploaded photos lie: a folder of this process alone, swept while the page runs and removed when it ends."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX, _LOCK = "normzoo-", ".lock"
#: The one clock of a photo: what was made of it in memory goes with its file.
MAX_AGE_SECONDS = 60 * 60
#: What an upload that was broken off leaves in the folder itself; none takes this long.
MAX_UNFINISHED_SECONDS = 15 * 60
#: Photos of all visitors, at most half of what these and the free room of the disk make; beyond it the oldest go first.
MAX_BYTES = 400_000_000
SWEEP_SECONDS = 15


class UploadFolder:
    """A folder for uploads below `parent`; what processes that were killed left there is removed first."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent.resolve()))
        self._lock = FileLock(self.path / _LOCK, thread_local=False)
        self._lock.acquire()
        self._kept = {self.path / _LOCK}
        self._closed = threading.Event()
        self._forget: Callable[[], None] = lambda: None

    def keep(self) -> None:
        """Leave what is there now for as long as the page runs: the photos that the page itself opens with."""
        self._kept |= {path for path, _ in _files(self.path)}

    def start_sweeping(self, forget: Callable[[], None] = lambda: None) -> threading.Thread:
        """Sweep now and then, in the background.

        Args:
            forget: is called after each sweep, and forgets what was made of files that are gone.
        """
        self._forget = forget
        thread = threading.Thread(target=self._sweep_on, name="sweep", daemon=True)
        thread.start()
        return thread

    def sweep(self, now: float | None = None, max_bytes: int = MAX_BYTES) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        now = time.time() if now is None else now
        files = [(path, stat) for path, stat in _files(self.path) if path not in self._kept]
        total = sum(stat.st_size for _, stat in files)
        max_bytes = min(max_bytes, (total + shutil.disk_usage(self.path).free) // 2)
        for path, stat in sorted(files, key=lambda file: file[1].st_mtime):
            limit = MAX_UNFINISHED_SECONDS if path.parent == self.path else MAX_AGE_SECONDS
            if now - stat.st_mtime > limit or total > max_bytes:
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= stat.st_size
        for folder in self.path.iterdir():
            with contextlib.suppress(OSError):  # most are not empty
                if now - folder.stat().st_mtime > MAX_UNFINISHED_SECONDS:
                    folder.rmdir()
        self._forget()

    def close(self) -> None:
        """Remove the folder."""
        self._closed.set()
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def _sweep_on(self) -> None:
        while not self._closed.wait(SWEEP_SECONDS):
            with contextlib.suppress(OSError):
                self.sweep()


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if path.is_file():
                yield path, path.stat()


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of processes that live no more: their locks are free."""
    for path in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError, Timeout), FileLock(path, blocking=False):
            shutil.rmtree(path.parent, ignore_errors=True)
