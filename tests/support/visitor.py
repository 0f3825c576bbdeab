"""The page without a browser: served from this process, asked over real HTTP, or by ASGI with no server in between."""

import asyncio
import contextlib
import html
import http.client
import itertools
import json
import re
import secrets
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

API = "/gradio_api"


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def sentence(self):
        """What an error says, in JSON or as text."""
        if self.headers["content-type"] != "application/json":
            return self.text
        detail = json.loads(self.body)["detail"]
        return str(detail[0]["message"] if self.status == 422 else detail)


class Failed(Exception):
    """An event that the server refused, or that ended in an error; the reply or the message is its argument."""


class Visitor:
    """One visitor with a session and a connection that is kept.

    Args:
        address: where the visitor says to come from, for a server that trusts a proxy.
    """

    def __init__(self, port, address="", timeout_seconds=120):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
        self._headers = {"X-Forwarded-For": address} if address else {}
        self.session = secrets.token_hex(6)

    def close(self):
        self._connection.close()

    def ask(self, method, path, body=None, headers=None):
        """One request; an iterable body is sent in chunks, without a length."""
        chunked = body is not None and not isinstance(body, bytes)
        sent = {**self._headers, **(headers or {}), **({"Transfer-Encoding": "chunked"} if chunked else {})}
        self._connection.request(method, path, body, sent, encode_chunked=chunked)
        response = self._connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

    def get(self, path, headers=None):
        return self.ask("GET", path, headers=headers)

    def post(self, path, value, headers=None):
        """Send JSON; bytes go as they are."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def upload(self, *files, name="photo.jpg", chunk_bytes=0):
        """Upload files in one request, in chunks of that size where one is given."""
        boundary = secrets.token_hex(16)
        head = f'Content-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: image/jpeg\r\n\r\n'
        body = b"".join(f"--{boundary}\r\n{head}".encode() + file + b"\r\n" for file in files) + f"--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if chunk_bytes:
            chunks = (body[start : start + chunk_bytes] for start in itertools.count(0, chunk_bytes))
            return self.ask("POST", f"{API}/upload", itertools.takewhile(bool, chunks), kind)
        return self.ask("POST", f"{API}/upload", body, kind)

    def functions(self):
        """The events of the page: name -> number."""
        config = json.loads(self.get("/config").body)
        return {dependency["api_name"]: dependency["id"] for dependency in config["dependencies"]}

    def join(self, function, data, **fields):
        """Ask for an event as the page does; the answer comes with `listen`."""
        event = {"data": data, "fn_index": function, "session_hash": self.session, "event_data": None, "trigger_id": None}
        return self.post(f"{API}/queue/join?", {**event, **fields})

    def listen(self):
        """The outputs of the event that was asked for.

        Raises:
            Failed: it ended in an error; with its message.
        """
        reply = self.get(f"{API}/queue/data?session_hash={self.session}")
        messages = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: ")]
        for message in messages:
            if message["msg"] == "process_completed":
                if not message["success"]:
                    raise Failed(message["output"].get("error"))
                return list(message["output"]["data"])
        raise Failed(messages)

    def run(self, function, data, **fields):
        """Ask for an event and wait for its outputs.

        Raises:
            Failed: it was refused, or ended in an error.
        """
        reply = self.join(function, data, **fields)
        if reply.status != 200:
            raise Failed(reply)
        return self.listen()


def file_value(path):
    """An uploaded file as the page names it in an event."""
    return {"path": path, "orig_name": "photo.jpg", "size": None, "mime_type": None, "meta": {"_type": "gradio.FileData"}}


def free_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(demo, **settings):
    """Serve a page from threads of this process; gives its address.

    Args:
        settings: fields of `Settings`.
    """
    from normzoo.app.server.launch import serve
    from normzoo.app.server.settings import Settings

    try:
        yield serve(demo, Settings(port=free_port(), **settings))
    finally:
        demo.close()


def words(text):
    """Return the text between the tags, with single spaces."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def end(process):
    """Ask a process to end, and end it where it does not."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
