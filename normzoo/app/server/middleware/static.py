"""Files that Gradio ships, compressed once: to compress the largest takes a fifth of a second."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from normzoo.app.server.middleware.body import header

Messages = tuple[dict[str, Any], bytes]
Ask = Callable[[list[tuple[bytes, bytes]]], Awaitable[list[Any]]]

#: Those that Gradio compresses, by the end of their path.
_COMPRESSED = (".html", ".js", ".css", ".json", ".md", ".txt", ".svg")
#: Of a request: they would have it answered in another way than the others.
_DROPPED = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range", b"if-range")


class StaticFiles:
    """Compressed files, the last that were asked for up to so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, bytes], Messages] = OrderedDict()
        self._bytes = 0
        self._compressing = asyncio.Lock()

    @staticmethod
    def takes(scope: Any) -> bool:
        """Whether a request for a static file is one that Gradio would compress."""
        return scope["method"] == "GET" and scope["path"].lower().endswith(_COMPRESSED)

    async def answer(self, scope: Any, ask: Ask) -> tuple[list[Any], int]:
        """The ASGI messages of an answer, and how many bytes were compressed for it.

        Args:
            ask: has Gradio answer a request with these headers.
        """
        asked = header(scope, b"accept-encoding")
        encoding = next((name for name in (b"br", b"gzip") if name in asked), b"identity")
        key, fresh = (scope["path"], encoding), 0
        if key not in self._kept:
            async with self._compressing:
                if key not in self._kept:
                    headers = [pair for pair in scope["headers"] if pair[0] not in _DROPPED] + [(b"accept-encoding", encoding)]
                    start, *rest = await ask(headers)
                    body = b"".join(message.get("body", b"") for message in rest)
                    if start["status"] != 200 or encoding == b"identity":
                        return [start, {"type": "http.response.body", "body": body}], 0
                    self._keep(key, (start, body))
                    fresh = len(body)
        start, body = self._kept[key]
        self._kept.move_to_end(key)
        tag = dict(start["headers"]).get(b"etag")
        if tag and header(scope, b"if-none-match") == tag:
            start = {**start, "status": 304, "headers": [pair for pair in start["headers"] if pair[0] != b"content-length"]}
            body = b""
        return [start, {"type": "http.response.body", "body": body}], fresh

    def _keep(self, key: tuple[str, bytes], messages: Messages) -> None:
        start, body = messages
        headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        self._kept[key] = ({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]}, body)
        self._bytes += len(body)
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            self._bytes -= len(self._kept.popitem(last=False)[1][1])
