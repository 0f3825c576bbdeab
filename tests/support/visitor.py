"""A visitor without a browser: the requests that the page sends, over real HTTP, and any other."""

import http.client
import itertools
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

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
