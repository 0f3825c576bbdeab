"""Reading what a visitor sends, no further than allowed."""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from normzoo.app.server.middleware.limits import Limits
from normzoo.app.server.middleware.refusal import Refusal

Receive = Callable[[], Awaitable[Any]]

# As browsers and HTTP libraries write it: nothing that two parsers could read in two ways.
_MULTIPART = re.compile(rb'multipart/form-data; ?boundary=("?)([\w\'+,./:=?-]{1,70})\1', re.ASCII | re.IGNORECASE)
#: A refused body is read on for a while, since a browser that is cut off while it sends shows no answer.
_DRAIN_SECONDS = 5


class Body:
    """The body of one request.

    It is the `receive` of an ASGI application, and raises a `Refusal` when the body is longer, slower or in more parts than
    allowed.

    """

    def __init__(self, receive: Receive, limits: Limits, max_bytes: int) -> None:
        self._receive = receive
        self._limits = limits
        self._max_bytes = max_bytes
        self._separator = b""
        self._tail = b""
        self._separators = 0
        self._deadline = time.monotonic() + limits.body_seconds
        self._timeout: asyncio.Timeout | None = None
        self._moved_size = 0
        self._given_up: Refusal | None = None
        #: When it last came on by `limits.moved_bytes`.
        self.moved_at = time.monotonic()
        #: Called with the size of each part that arrives; may raise a `Refusal`.
        self.on_chunk: list[Callable[[int], object]] = []
        self.size = 0
        self.is_complete = False
        self.has_left = False
        self.refusal: Refusal | None = None

    def check_declared(self, scope: Any) -> None:
        """Look at the Content-Length, before anything is read.

        Raises:
            Refusal: 413, it is more than allowed.
        """
        length = header(scope, b"content-length")
        if length.isdigit() and int(length) > self._max_bytes:
            raise Refusal(413)

    def separate_by(self, boundary: bytes) -> None:
        """Count the parts of a multipart body, which this separates."""
        self._separator = b"--" + boundary

    async def __call__(self) -> Any:
        """The next ASGI message."""
        if self.is_complete:
            message = await self._receive()
            self.has_left = message["type"] == "http.disconnect"
            return message
        try:
            until = min(self.moved_at + self._limits.idle_seconds, self._deadline)
            async with asyncio.timeout(max(0, until - time.monotonic())) as self._timeout:
                message = await self._receive()
            self._check(message)
        except TimeoutError:
            self.refusal = self._given_up or Refusal(408)
            raise self.refusal from None
        except Refusal as refusal:
            self.refusal = refusal
            raise
        return message

    def give_up(self, refusal: Refusal | None = None) -> None:
        """Wait no longer for what does not come, and tell that in words of its own."""
        self._deadline = 0
        self._given_up = refusal or Refusal(408)
        if self._timeout and not self.is_complete:
            with contextlib.suppress(RuntimeError):  # it is just over
                self._timeout.reschedule(asyncio.get_running_loop().time())

    async def read(self) -> bytes:
        """The whole body."""
        parts = []
        while not self.is_complete and not self.has_left:
            parts.append((await self()).get("body", b""))
        return b"".join(parts)

    async def drain(self) -> bool:
        """Read on without keeping anything, for a moment; gives whether the visitor is still there."""
        deadline = time.monotonic() + (_DRAIN_SECONDS if self._given_up is None else 0)
        size = 0
        while not self.is_complete and not self.has_left and size <= 2 * self._limits.upload_bytes:
            try:
                async with asyncio.timeout(max(0, deadline - time.monotonic())):
                    message = await self._receive()
            except TimeoutError:
                break
            size += len(self._note(message))
        return not self.has_left

    def _note(self, message: Any) -> bytes:
        self.has_left = message["type"] == "http.disconnect"
        self.is_complete = not self.has_left and not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    def _check(self, message: Any) -> None:
        chunk = self._note(message)
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise Refusal(413)
        if self.size - self._moved_size >= self._limits.moved_bytes:
            self._moved_size, self.moved_at = self.size, time.monotonic()
        for told in self.on_chunk:
            told(len(chunk))
        if self._separator:
            seen = self._tail + chunk
            self._separators += seen.count(self._separator)
            self._tail = seen[-len(self._separator) + 1 :]
            if self._separators > self._limits.upload_files + 1:  # the last one closes
                raise Refusal(413, f"Too many files at once; choose {self._limits.upload_files} at most.")


def boundary_of(scope: Any) -> bytes:
    """What separates the parts of an upload.

    Raises:
        Refusal: 400, it is not multipart.
    """
    match = _MULTIPART.fullmatch(header(scope, b"content-type"))
    if match is None:
        raise Refusal(400)
    return match[2]


def header(scope: Any, name: bytes) -> bytes:
    """A header of a request; empty where it is missing or there is more than one."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else b""
