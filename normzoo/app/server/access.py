"""What every request passes: ASGI around ASGI, from the first byte to the end of serving."""

import asyncio
import contextlib
import errno
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from normzoo.app.core.work import VISITOR, Visitor
from normzoo.app.server.answer import Answer, Policy, Send
from normzoo.app.server.request import Body, Kind, Receive, Refusal, boundary_of, check_event, find_kind, header, is_upload
from normzoo.app.server.settings import Limits
from normzoo.app.server.uploads import Uploads
from normzoo.app.server.visitors import FORWARDED, Sessions, Visitors, client_ip

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

    def __init__(
        self, app: Application, uploads: Path, limits: Limits, policy: Policy, sweep: Callable[[], None] = lambda: None
    ) -> None:
        self._app = app
        self._uploads = uploads
        self._limits = limits
        self._policy = policy
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
        answer = Answer(send, kind, body, self._policy)
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
    uploads: Path, limits: Limits, policy: Policy, sweep: Callable[[], None]
) -> Callable[[Any], contextlib.AbstractAsyncContextManager[None]]:
    """A lifespan for Gradio's application that puts the gate around all of it, its own middleware included."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        gate = app.middleware_stack = AccessMiddleware(app.middleware_stack, uploads, limits, policy, sweep)
        gate._loop = asyncio.get_running_loop()
        yield

    return lifespan
