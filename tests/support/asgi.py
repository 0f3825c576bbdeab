"""An ASGI application that answers what it is told, and a visitor that asks it; no server in between."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.support.visitor import Reply


@dataclass
class App:
    """Stands for Gradio: reads the whole body, then answers."""

    status: int = 200
    body: bytes = b"ok"
    error: Exception | None = None
    scopes: list[dict[str, Any]] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        received, more = b"", True
        while more:
            message = await receive()
            received += message.get("body", b"")
            more = message.get("more_body", False)
        self.received.append(received)
        if self.error:
            raise self.error
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": self.body[:3], "more_body": True})
        await send({"type": "http.response.body", "body": self.body[3:]})


def ask(app, method, path, chunks=(b"",), headers=None, client="192.0.2.1", root_path="", hang_up=False, stall=False):
    """One request; None where it was left without an answer.

    Args:
        hang_up: the visitor leaves after the last chunk, before the body is complete.
        stall: nothing comes after the last chunk.
    """
    parts = list(chunks)
    incoming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if hang_up:
        incoming.append({"type": "http.disconnect"})
    elif not stall:
        incoming[-1]["more_body"] = False
    sent = []

    async def receive():
        if incoming:
            return incoming.pop(0)
        if stall:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    bare, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": bare,
        "root_path": root_path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": (client, 50000),
    }
    asyncio.run(app(scope, receive, send))
    if not sent:
        return None
    body = b"".join(message.get("body", b"") for message in sent[1:])
    pairs = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    assert len(dict(pairs)) == len(pairs), "a header came twice"
    return Reply(sent[0]["status"], dict(pairs), body)
