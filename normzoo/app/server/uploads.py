"""Uploads: the folder of this process alone, swept while the page runs, and those that are still arriving."""

import contextlib
import importlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from normzoo.app.server.request import Body, Refusal
from normzoo.app.server.settings import UPLOADS_BYTES, Limits

_PREFIX, _LOCK = "normzoo-", ".lock"
#: The one clock of a photo: what was made of it in memory goes with its file.
MAX_AGE_SECONDS = 60 * 60
#: What an upload that was broken off leaves in the folder itself; none takes this long.
MAX_UNFINISHED_SECONDS = 15 * 60
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

    def sweep(self, now: float | None = None, max_bytes: int = UPLOADS_BYTES) -> None:
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


_TOO_MANY = "Too many photos are arriving from your address at once; wait until some of them are here."


class Upload:
    """One upload, and the files that Gradio writes it to."""

    def __init__(self, visitor: str, body: Body) -> None:
        self.visitor = visitor
        self.body = body
        self.size = 0
        self._files: list[IO[bytes]] = []

    def keep(self, file: IO[bytes]) -> None:
        """Remember a file that was opened for this upload."""
        self._files.append(file)

    def remove(self) -> None:
        """Give the room back that it takes."""
        self.size = 0
        for file in self._files:
            with contextlib.suppress(OSError, ValueError):  # gone, or closed, meanwhile
                file.close()
            with contextlib.suppress(OSError):
                os.unlink(file.name)


_current: ContextVar[Upload] = ContextVar("upload")


class Uploads:
    """All that are under way. Gradio's parser is watched for the files that it opens."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._under_way: list[Upload] = []
        _watch_files()

    @contextlib.contextmanager
    def receive(self, visitor: str, body: Body, has_failed: Callable[[], bool]) -> Iterator[None]:
        """An upload, from its first byte until it is where Gradio keeps it, or has failed and is removed.

        Args:
            has_failed: asked where nothing was raised.
        """
        upload = Upload(visitor, body)
        self._under_way.append(upload)
        body.on_chunk.append(lambda size: self._grow(upload, size))
        token = _current.set(upload)
        is_whole = False
        try:
            yield
            is_whole = not has_failed()
        finally:
            _current.reset(token)
            self._under_way.remove(upload)
            if not is_whole:
                upload.remove()

    def give_up(self, refusal: Refusal) -> None:
        """End all that are under way."""
        for upload in self._under_way:
            upload.body.give_up(refusal)

    def _grow(self, upload: Upload, size: int) -> None:
        upload.size += size
        if sum(each.size for each in self._under_way if each.visitor == upload.visitor) > self._limits.unfinished_per_visitor:
            raise Refusal(429, _TOO_MANY)
        while sum(each.size for each in self._under_way) > self._limits.unfinished:
            slowest = min((each for each in self._under_way if each.size), key=lambda each: each.body.moved_at)
            if slowest is upload or self._clock() - slowest.body.moved_at < self._limits.stalled_seconds:
                raise Refusal(507)
            slowest.body.give_up()
            slowest.remove()


def _watch_files() -> None:
    """Have the temporary files of Gradio's multipart parser remembered with the upload that they are for."""
    route_utils: Any = importlib.import_module("gradio.route_utils")
    make = route_utils.NamedTemporaryFile
    if hasattr(make, "is_watched"):
        return

    def watched(*args: Any, **kwargs: Any) -> Any:
        file = make(*args, **kwargs)
        if upload := _current.get(None):
            upload.keep(file)
        return file

    watched.is_watched = True  # type: ignore[attr-defined]
    route_utils.NamedTemporaryFile = watched
