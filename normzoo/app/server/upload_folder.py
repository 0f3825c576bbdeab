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
#: Gradio removes what it knows of after an hour (`delete_cache` of the page); this removes what it lost sight of.
MAX_AGE_SECONDS = 70 * 60
#: What an upload that was broken off leaves in the folder itself; none takes this long.
MAX_UNFINISHED_SECONDS = 15 * 60
#: Photos of all visitors, at most half of what these and the free room of the disk make; beyond it the oldest go first.
MAX_BYTES = 1_000_000_000
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

    def keep(self) -> None:
        """Leave what is there now for as long as the page runs: the photos that the page itself opens with."""
        self._kept |= {path for path, _ in _files(self.path)}

    def start_sweeping(self) -> threading.Thread:
        """Sweep now and then, in the background."""
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

    def close(self) -> None:
        """Remove the folder."""
        self._closed.set()
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def _sweep_on(self) -> None:
        while not self._closed.wait(SWEEP_SECONDS):
            with contextlib.suppress(OSError):
                self.sweep()


class Unfinished:
    """What uploads leave in the folder itself while they last; an upload that is refused or fails leaves it behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._under_way = 0
        self._is_left = False

    @contextlib.contextmanager
    def upload(self, has_failed: Callable[[], bool]) -> Iterator[None]:
        """An upload; once none is under way, what failed ones have left is removed.

        Args:
            has_failed: asked where nothing was raised.
        """
        self._under_way += 1
        is_whole = False
        try:
            yield
            is_whole = not has_failed()
        finally:
            self._under_way -= 1
            self._is_left |= not is_whole
            if self._is_left and not self._under_way:
                self._is_left = False
                for path in self._folder.glob(f"{tempfile.gettempprefix()}*"):
                    with contextlib.suppress(OSError):  # a folder, or gone meanwhile
                        os.truncate(path, 0)  # Gradio may have it open still, which would keep its room taken
                        path.unlink()


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
