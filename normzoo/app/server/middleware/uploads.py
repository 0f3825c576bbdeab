"""Uploads while they arrive: bounded together and for each visitor, and removed at once where they come to nothing."""

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import IO, Any

from normzoo.app.server.middleware.body import Body
from normzoo.app.server.middleware.limits import Limits
from normzoo.app.server.middleware.refusal import Refusal

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
