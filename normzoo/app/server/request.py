"""What a visitor sends: the addresses that there are, bodies read no further than allowed, each visitor's share."""

import asyncio
import contextlib
import ipaddress
import json
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from normzoo.app.server.settings import Limits

_SENTENCES = {
    400: "This request is not one that the page sends; reload the page and try again.",
    403: "This is not open to visitors.",
    404: "There is nothing at this address.",
    405: "There is nothing at this address.",
    408: "The photo took too long to arrive; try a smaller one or a better connection.",
    413: "This photo is too large; make it smaller or save it as JPEG and try again.",
    414: "This address is too long.",
    429: "Too many requests came from your address; wait a moment and try again.",
    503: "The page is busy with other visitors; wait a moment and try again.",
    507: "There is no room for another photo here at the moment; try again in a minute.",
}
_OTHERWISE = {4: _SENTENCES[400], 5: "Something went wrong here, not with you; try again."}
_RETRY_SECONDS = {429: 5, 503: 5}


@dataclass
class Refusal(Exception):
    """A request that goes no further.

    Args:
        sentence: what to say; empty for what is usually said with this status.
        retry_seconds: when it is worth to try again.
    """

    status: int
    sentence: str = ""
    retry_seconds: float = 0

    def messages(self, as_text: bool) -> list[dict[str, Any]]:
        """The ASGI messages that say it: JSON in which Gradio's page and clients find the sentence, or plain text."""
        sentence = self.sentence or _SENTENCES.get(self.status) or _OTHERWISE.get(self.status // 100, _SENTENCES[400])
        # With 422 alone, Gradio's Python client shows more than the status, and expects what fails to be listed.
        listed = [{"__type__": "validate", "is_valid": False, "parameter_name": "inputs", "message": sentence}]
        body = (sentence if as_text else json.dumps({"detail": listed if self.status == 422 else sentence})).encode()
        kind = b"text/plain; charset=utf-8" if as_text else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if retry := self.retry_seconds or _RETRY_SECONDS.get(self.status, 0):
            headers.append((b"retry-after", str(max(1, round(retry))).encode()))
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        return [start, {"type": "http.response.body", "body": body}]


class Kind(Enum):
    """What a request is for, and so what is checked."""

    PAGE = "page"  # the HTML, which needs its scripts marked
    READ = "read"  # a description of the page, made anew for each request
    STATIC = "static"  # a file that Gradio ships
    STREAM = "stream"  # stays open
    EVENT = "event"  # a small JSON body that makes the server work
    UPLOAD = "upload"  # a photo as multipart


_SESSION = r"[\w-]{1,64}"
_API = "/gradio_api"
_ROUTES = (
    ("GET", "/", Kind.PAGE),
    ("GET", rf"(/config|{_API}/info|{_API}/app_id)/?", Kind.READ),
    ("GET", r"/(assets|static|svelte)/.+", Kind.STATIC),
    ("GET", rf"/(favicon\.ico|manifest\.json|robots\.txt|theme\.css)|{_API}/theme\.css", Kind.STATIC),
    ("GET", rf"{_API}/(startup-events|queue/status)", Kind.STATIC),
    ("GET", rf"{_API}/(heartbeat/{_SESSION}|queue/data|upload_progress)", Kind.STREAM),
    ("GET", rf"{_API}/call/(v2/)?\w+/{_SESSION}", Kind.STREAM),
    ("POST", rf"{_API}/(queue/join|call/(v2/)?\w+|cancel|reset)/?", Kind.EVENT),
    ("POST", rf"{_API}/upload", Kind.UPLOAD),
)
_COMPILED = [(method, re.compile(pattern, re.ASCII | re.DOTALL), kind) for method, pattern, kind in _ROUTES]


def find_kind(scope: Any) -> Kind | None:
    """What an ASGI request is for; None where there is nothing at its address."""
    path, root = scope["path"], scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    is_head = scope["method"] == "HEAD"
    for method, pattern, kind in _COMPILED:
        if method == ("GET" if is_head else scope["method"]) and pattern.fullmatch(path):
            return None if is_head and kind is Kind.STREAM else kind
    return None


def is_upload(path: object, folder: PurePath) -> bool:
    """Whether this is where Gradio keeps an uploaded file: `folder/<hash of the bytes>/<name>`."""
    if not isinstance(path, str) or "\0" in path:
        return False
    file = PurePath(path)
    return (
        file.parents[1:2] == (folder,) and re.fullmatch(r"[0-9a-f]{16,128}", file.parent.name) is not None and file.name != ".."
    )


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
        """Look at the Content-Length, before anything is read."""
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
    """What separates the parts of an upload."""
    match = _MULTIPART.fullmatch(header(scope, b"content-type"))
    if match is None:
        raise Refusal(400)
    return match[2]


def header(scope: Any, name: bytes) -> bytes:
    """A header of a request; empty where it is missing or there is more than one."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else b""


#: Where Gradio would open a file itself, or fetch one for the visitor.
_REFERENCE = re.compile(r"\s*(data|file|ftp|https?):", re.IGNORECASE)
_NO_UPLOAD = "This photo is no longer here, perhaps since the server was started anew; reload the page and choose it again."
_NO_FILE = "A photo has to come as a file, not as an address; save it first, then give the file's path to handle_file."


def check_event(body: bytes, is_upload: Callable[[object], bool]) -> str:
    """Refuse what the page never sends: no JSON object, a file that was not uploaded, a `data:` or other URL.

    Returns:
        The session that the event belongs to, empty where it names none.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400) from None
    if not isinstance(event, dict):
        raise Refusal(400)
    session = event.get("session_hash")
    if session is not None and not (isinstance(session, str) and re.fullmatch(r"[\w-]{1,64}", session, re.ASCII)):
        raise Refusal(400)

    left: list[Any] = [event]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict):
            path = value.get("path")
            if path is not None and not (isinstance(path, str) and _REFERENCE.match(path)) and not is_upload(path):
                raise Refusal(403, _NO_UPLOAD)
            # The address of an upload, for the browser: Gradio goes by the path.
            left.extend(item for key, item in value.items() if key != "url" or not _is_address_of(item, value.get("path")))
        elif isinstance(value, str) and _REFERENCE.match(value):
            raise Refusal(422, _NO_FILE)
    return session or ""


def _is_address_of(url: object, path: object) -> bool:
    return isinstance(url, str) and isinstance(path, str) and not url.lstrip().lower().startswith("data:")


#: What only a proxy should set. Without one in front these would be a visitor's own claims.
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server", b"x-real-ip")

#: As some proxies write an address, with another port for every connection.
_WITH_PORT = re.compile(r"^(\d+(?:\.\d+){3}):\d+$", re.ASCII)


def client_ip(scope: Any, trust_proxy: bool) -> str:
    """The address that counts for a request; of IPv6 the network of a home, which has more addresses than can be counted.

    Behind a proxy it is the last public address of X-Forwarded-For: the ones before it are the visitor's own words, the
    private ones after it are the host's.
    """
    peer = scope.get("client")
    address = peer[0] if peer else ""
    if trust_proxy:
        lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [_WITH_PORT.sub(r"\1", hop.strip()) for hop in ",".join(lines).split(",") if hop.strip()]
        public = [hop for hop in hops if (ip := _parse(hop)) is not None and ip.is_global]
        address = (public or hops or [address])[-1][:64]
    ip = _parse(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip or address)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


class Visitors:
    """A token bucket for each visitor, and how many of their requests are under way."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # visitor -> tokens, at this time
        self._open: Counter[str] = Counter()

    def charge(self, visitor: str) -> None:
        """Take a token from the visitor's bucket."""
        tokens = self.spend(visitor, 0)
        if tokens < 1:
            raise Refusal(429, retry_seconds=(1 - tokens) / self._limits.requests_per_second)
        self.spend(visitor, 1)

    def spend(self, visitor: str, tokens: float) -> float:
        """Take tokens from the visitor's bucket, into debt where it has not as many; gives what is left."""
        rate, burst, now = self._limits.requests_per_second, self._limits.burst, self._clock()
        if not rate:
            return burst
        with self._lock:  # events are charged from the threads that compute them
            left, since = self._buckets.pop(visitor, (burst, now))
            left = min(burst, left + (now - since) * rate) - tokens
            self._buckets[visitor] = (left, now)
            if len(self._buckets) > self._limits.remembered:
                self._buckets.popitem(last=False)
            return left

    @contextlib.contextmanager
    def request(self, visitor: str) -> Iterator[None]:
        """One request of this visitor, under way for as long as the block lasts."""
        if self._open.total() >= self._limits.open_requests:
            raise Refusal(503)
        if self._open[visitor] >= self._limits.open_requests_per_visitor:
            raise Refusal(429)
        self._open[visitor] += 1
        try:
            yield
        finally:
            self._open[visitor] -= 1
            if not self._open[visitor]:
                del self._open[visitor]


class Sessions:
    """How many answers wait for each session; while it has a stream open to receive them it may ask on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unread: OrderedDict[str, int] = OrderedDict()
        self._streams: dict[str, int] = {}

    def ask(self, session: str) -> None:
        """Count an event of this session."""
        unread = self._unread.pop(session, 0)
        self._unread[session] = min(unread + 1, self._limits.unread_events)
        if len(self._unread) > self._limits.remembered:
            self._unread.popitem(last=False)
        if unread >= self._limits.unread_events and session not in self._streams:
            raise Refusal(429, "This page asked for more than it came to fetch; reload it and try again.")

    def is_listening(self, session: str) -> bool:
        """Whether this session has a stream open."""
        return session in self._streams

    @contextlib.contextmanager
    def listen(self, session: str, is_whole: Callable[[], bool]) -> Iterator[None]:
        """A stream on which this session receives its answers.

        Args:
            is_whole: at its end, whether all answers went out: one that was refused or left early took none.
        """
        self._streams[session] = self._streams.get(session, 0) + 1
        try:
            yield
            if is_whole():
                self._unread.pop(session, None)
        finally:
            self._streams[session] -= 1
            if not self._streams[session]:
                del self._streams[session]
