"""What every request passes, and every answer: ASGI around ASGI, from the first byte to the end of serving."""

import asyncio
import contextlib
import errno
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from normzoo.app.core.work import VISITOR, Visitor
from normzoo.app.server.request import (
    FORWARDED,
    Body,
    Kind,
    Receive,
    Refusal,
    Sessions,
    Visitors,
    boundary_of,
    check_event,
    client_ip,
    find_kind,
    header,
    is_upload,
)
from normzoo.app.server.settings import Settings
from normzoo.app.server.uploads import Uploads

Send = Callable[[Any], Awaitable[None]]
Messages = tuple[dict[str, Any], bytes]
Ask = Callable[[list[tuple[bytes, bytes]]], Awaitable[list[Any]]]

# Gradio compiles the templates of its HTML components in the browser, and sets styles on elements everywhere.
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "media-src": "'self' data: blob:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self'",
    "manifest-src": "'self'",
    "frame-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'none'",
}
# On a Space, Gradio shows the Space's name and likes on top.
_SPACES = {"img-src": "https://huggingface.co https://cdn-avatars.huggingface.co", "connect-src": "https://huggingface.co"}


_FIXED = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"camera=(self), clipboard-read=(self), clipboard-write=(self), fullscreen=(self), "
        b"display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
]
_SCRIPT = re.compile(rb"<script\b")
# Gradio would speak the browser's language, and say so of the whole page, whose words are English.
_SPEAK_ENGLISH = b'<head><script>Object.defineProperty(navigator, "language", {value: "en"})</script>'


def security_headers(kind: Kind | None, nonce: str, settings: Settings) -> list[tuple[bytes, bytes]]:
    """The headers to add to an answer.

    Args:
        kind: what was asked for; None where it is an error.
        nonce: what marks the page's own inline scripts; all others stay dead.
    """
    if kind in (Kind.PAGE, Kind.STATIC):
        policy = _POLICY | {"frame-ancestors": settings.frame_ancestors}
        if nonce:
            policy["script-src"] += f" 'nonce-{nonce}'"
        if settings.on_spaces:
            policy |= {directive: f"{policy[directive]} {hosts}" for directive, hosts in _SPACES.items()}
        text = "; ".join(f"{directive} {sources}" for directive, sources in policy.items())
    else:
        # Data: should a browser open it as a page, nothing in it runs.
        text = f"default-src 'none'; sandbox; frame-ancestors {settings.frame_ancestors}"
    return [(b"content-security-policy", text.encode()), *_FIXED]


def finish_page(page: bytes, nonce: str) -> bytes:
    """The page in one language, with the nonce on each of its script elements: in Gradio's data `<` is escaped."""
    return _SCRIPT.sub(b'<script nonce="' + nonce.encode() + b'"', page.replace(b"<head>", _SPEAK_ENGLISH, 1))


#: Gradio answers 500 to an event that it does not know, and to one with inputs of other names.
_NO_SUCH_EVENT = "The page may have no such function, or it takes other inputs; reload the page and try again."


class Answer:
    """Puts the headers on an answer, the nonce into the page, and a sentence in place of an error's own words.

    Args:
        kind: what was asked for; None where there is nothing at that address.
        body: of the request; where it was refused while Gradio read it, that is the error to tell.
    """

    def __init__(self, send: Send, kind: Kind | None, body: Body, settings: Settings) -> None:
        self._send = send
        self._kind = kind
        self._body = body
        self._settings = settings
        self._nonce = secrets.token_urlsafe(16) if kind is Kind.PAGE else ""
        self.has_started = False
        #: Whether it went out to its end while the visitor was there: afterwards servers call everyone gone.
        self.is_heard = False
        self._is_complete = False
        self._error = 0
        self._start: Any = None
        self._page: list[bytes] = []

    async def send(self, message: Any) -> None:
        """Take an ASGI message from Gradio."""
        if message["type"] == "http.response.start":
            self._error = message["status"] if message["status"] >= 400 else 0
            self._start = {**message, "headers": [*message.get("headers", ()), *self._headers(self._kind)]}
            if not self._error and self._kind is not Kind.PAGE:
                await self._put(self._start)
        elif self._error:
            pass  # its own words are not told: `end` has others
        elif self._kind is Kind.PAGE:
            self._page.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._put_page()
        else:
            await self._put(message)

    @property
    def is_error(self) -> bool:
        """Whether Gradio answered with an error."""
        return self._error != 0

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a sentence, unless an answer is under way or the visitor has left."""
        if self.has_started or not await self._body.drain():
            return
        start, body = (self._body.refusal or refusal).messages(as_text=self._kind in (Kind.PAGE, Kind.UPLOAD))
        start["headers"] += self._headers(None)
        await self._put(start)
        await self._put(body)

    async def end(self) -> None:
        """Tell in a sentence what Gradio answered with an error; complete a stream that it broke off."""
        if self._error:
            is_unknown = self._kind is Kind.EVENT and self._error == 500
            await self.refuse(Refusal(self._error, _NO_SUCH_EVENT if is_unknown else ""))
        if self._kind is Kind.STREAM and self.has_started and not self._is_complete:
            await self._put({"type": "http.response.body", "body": b""})

    async def _put(self, message: Any) -> None:
        self.has_started = True
        self._is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        self.is_heard = self._is_complete and not self._body.has_left
        await self._send(message)

    async def _put_page(self) -> None:
        page = finish_page(b"".join(self._page), self._nonce)
        kept = [(name, value) for name, value in self._start["headers"] if name not in (b"content-length", b"cache-control")]
        # A cache that kept the page would keep the nonce.
        headers = [*kept, (b"content-length", str(len(page)).encode()), (b"cache-control", b"no-store")]
        await self._put({**self._start, "headers": headers})
        await self._put({"type": "http.response.body", "body": page})

    def _headers(self, kind: Kind | None) -> list[tuple[bytes, bytes]]:
        return security_headers(kind, self._nonce if kind else "", self._settings)


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
                    is_whole = bool(rest) and not rest[-1].get("more_body", False)
                    if start["status"] != 200 or encoding == b"identity" or not is_whole:
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


RESTARTING = "The page is being restarted; try again in a minute."
_LOOK_SECONDS = 0.05
#: Until a stream has carried the last sentence out.
_FLUSH_SECONDS = 1


async def finish_events(queue: Any, seconds: float) -> None:
    """End all events of Gradio's queue, in the event loop that serves it.

    Args:
        seconds: how long what is under way may take.
    """
    waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
    for each in queue.event_queue_per_concurrency_id.values():
        each.queue.clear()
    _refuse(queue, waiting)
    await _until(lambda: not any(queue.active_jobs), seconds)
    _refuse(queue, [event for job in queue.active_jobs if job for event in job])
    await _until(lambda: not any(queue.pending_event_ids_session.values()), _FLUSH_SECONDS)


def _refuse(queue: Any, events: list[Any]) -> None:
    from gradio.server_messages import ProcessCompletedMessage

    for event in events:
        queue.send_message(event, ProcessCompletedMessage(output={"error": RESTARTING}, success=False))
        event.alive = False


async def _until(is_over: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_over() and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)


Application = Callable[[Any, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

#: Dropped before Gradio sees it: without it, Gradio lets no other site's script read an answer.
_ORIGIN = b"origin"
_BYTES_PER_TOKEN = 1_000_000
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class AccessMiddleware:
    """Lets through what the page needs, answers the rest in one sentence, and puts the security headers on everything.

    Args:
        app: Gradio's application.
        uploads: the folder in which Gradio keeps uploaded files.
        sweep: removes what is too much of them.
    """

    def __init__(self, app: Application, uploads: Path, settings: Settings, sweep: Callable[[], None] = lambda: None) -> None:
        limits = settings.limits
        self._app = app
        self._uploads = uploads
        self._limits = limits
        self._settings = settings
        self._visitors = Visitors(limits)
        self._sessions = Sessions(limits)
        self._under_way = Uploads(limits)
        self._sweep = sweep
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing = False
        self._static = StaticFiles(limits.static_bytes)
        self._unswept = 0

    def close(self, queue: Any, seconds: float) -> None:
        """Let nobody in any more, and end what visitors have asked for; called from another thread.

        Args:
            queue: Gradio's.
            seconds: how long what is computed may take.
        """
        if self._loop is not None:
            with contextlib.suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._close(queue, seconds), self._loop).result(seconds + 2)

    async def _close(self, queue: Any, seconds: float) -> None:
        self._is_closing = True
        self._under_way.give_up(Refusal(503, RESTARTING))
        await finish_events(queue, seconds)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Any, receive: Receive, send: Send) -> None:
        kind = find_kind(scope)
        body = Body(receive, self._limits, self._limits.upload_bytes if kind is Kind.UPLOAD else self._limits.event_bytes)
        answer = Answer(send, kind, body, self._settings)
        try:
            async with contextlib.AsyncExitStack() as stack:
                receive = await self._admit(scope, kind, body, answer, stack)
                scope["headers"] = self._trusted_headers(scope)
                if kind is Kind.STATIC and self._static.takes(scope):
                    await self._send_static(scope, answer)
                else:
                    await self._app(scope, receive, answer.send)
            await answer.end()
            if kind is Kind.UPLOAD:
                self._unswept += body.size
                if self._unswept >= self._limits.swept_bytes:
                    self._unswept = 0
                    await asyncio.to_thread(self._sweep)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except Exception as error:
            if body.has_left:
                return
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                logger.error("There is no room for a photo in %s: %s", self._uploads, error)
                await answer.refuse(Refusal(507))
            else:
                # Where Gradio has begun to answer, it is most often a slip of a visitor, or the end: the cause is enough.
                is_answered = answer.has_started or answer.is_error
                logger.error("A request failed: %r", error.__cause__ or error, exc_info=None if is_answered else error)
            await answer.end()
            await answer.refuse(Refusal(500))

    async def _send_static(self, scope: Any, answer: Answer) -> None:
        """Answer with a file, and charge for what is sent, and four times for what had to be compressed for it."""
        who = client_ip(scope, self._limits.trust_proxy)

        async def ask(headers: list[tuple[bytes, bytes]]) -> list[Any]:
            messages: list[Any] = []
            requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

            async def keep(message: Any) -> None:
                messages.append(message)

            async def stay() -> Any:
                """What is kept for all must not end where the first who asked hangs up."""
                return next(requests, None) or await asyncio.Event().wait()

            await self._app({**scope, "headers": headers}, stay, keep)
            return messages

        messages, compressed = await self._static.answer(scope, ask)
        sent = sum(len(message.get("body", b"")) for message in messages)
        self._visitors.spend(who, (sent + 3 * compressed) / _BYTES_PER_TOKEN)
        for message in messages:
            await answer.send(message)

    async def _admit(
        self, scope: Any, kind: Kind | None, body: Body, answer: Answer, stack: contextlib.AsyncExitStack
    ) -> Receive:
        """Check a request; gives what Gradio receives of it. What is entered on the stack ends with the answer.

        Raises:
            Refusal: it goes no further.
        """
        if len(scope["path"].encode()) + len(scope["query_string"]) > self._limits.url_bytes:
            raise Refusal(414)
        who = client_ip(scope, self._limits.trust_proxy)
        stack.enter_context(self._visitors.request(who))
        if kind is None:
            raise Refusal(404)
        if self._is_closing and kind is not Kind.STREAM:
            raise Refusal(503, RESTARTING)
        if scope["path"].endswith("/queue/data"):
            sessions = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("session_hash", [])
            if len(sessions) != 1:  # of two, Gradio might take the other
                raise Refusal(400)
            stack.enter_context(self._sessions.listen(sessions[0], lambda: answer.is_heard))
        elif (
            kind is Kind.STREAM and "/call/" in scope["path"]
        ):  # of one event, whose session is the event itself where a program names none
            stack.enter_context(self._sessions.listen(scope["path"].rpartition("/")[2], lambda: answer.is_heard))
        # Gradio remembers every upload that someone asks the progress of.
        if kind in (Kind.PAGE, Kind.READ, Kind.EVENT, Kind.UPLOAD) or scope["path"].endswith("/upload_progress"):
            self._visitors.charge(who)
        # Not before it is deep in debt: a page that is open loads scripts as they are needed.
        if kind is Kind.STATIC and self._visitors.spend(who, 0) < -self._limits.burst:
            raise Refusal(429)
        if kind not in (Kind.EVENT, Kind.UPLOAD):
            return body

        if header(scope, b"sec-fetch-site") == b"cross-site":
            raise Refusal(403, "The page's functions cannot be used from another site.")
        body.check_declared(scope)
        if kind is Kind.UPLOAD:
            body.separate_by(boundary_of(scope))
            body.on_chunk.append(lambda size: self._visitors.spend(who, size / _BYTES_PER_TOKEN))
            stack.enter_context(self._under_way.receive(who, body, lambda: answer.is_error))
            return body
        content = await body.read()
        session = check_event(content, lambda path: is_upload(path, self._uploads))
        if session:
            self._sessions.ask(session)
        price = self._limits.requests_per_core_second
        scope[VISITOR] = Visitor(lambda seconds: self._visitors.spend(who, seconds * price), self._sessions.is_listening)
        return _replay(content, body)

    def _trusted_headers(self, scope: Any) -> list[tuple[bytes, bytes]]:
        dropped = (_ORIGIN,) if self._limits.trust_proxy else (_ORIGIN, *FORWARDED)
        return [(name, value) for name, value in scope["headers"] if name not in dropped]


def _replay(content: bytes, body: Body) -> Receive:
    messages = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> Any:
        message = next(messages, None)
        return await body() if message is None else message

    return receive


def around(
    uploads: Path, settings: Settings, sweep: Callable[[], None]
) -> Callable[[Any], contextlib.AbstractAsyncContextManager[None]]:
    """A lifespan for Gradio's application that puts the gate around all of it, its own middleware included."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        gate = app.middleware_stack = AccessMiddleware(app.middleware_stack, uploads, settings, sweep)
        gate._loop = asyncio.get_running_loop()
        yield

    return lifespan
