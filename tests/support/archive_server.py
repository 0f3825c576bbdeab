"""A web server on this machine that serves one file, and can fail in the ways that servers do."""

import contextlib
import http.server
import re
import threading
from dataclasses import dataclass, field


@dataclass
class ArchiveServer:
    """What is served, how it fails, and what was asked for so far."""

    content: bytes
    url: str = ""
    cut_after: int | None = None  # ends the connection after so many bytes of an answer
    takes_ranges: bool = True
    says_length: bool = True
    requests: list[str | None] = field(default_factory=list)  # the Range header of each

    def answer(self, asked):
        """Status, headers and body for a Range header."""
        self.requests.append(asked)
        whole = len(self.content)
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        if not match or not self.takes_ranges:
            return 200, {"Content-Length": str(whole)} if self.says_length else {}, self.content
        start = int(match[1])
        if start >= whole:
            return 416, {"Content-Range": f"bytes */{whole}", "Content-Length": "0"}, b""
        headers = {"Content-Range": f"bytes {start}-{whole - 1}/{whole}", "Content-Length": str(whole - start)}
        return 206, headers, self.content[start:]


@contextlib.contextmanager
def serve(content, name="tiny-imagenet-200.zip"):
    """Serve `content` at `url`; any other path is 404."""
    served = ArchiveServer(content)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != f"/{name}":
                self.send_error(404)
                return
            status, headers, body = served.answer(self.headers["Range"])
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body[: served.cut_after])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}/{name}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
