"""The gate itself: ASGI around ASGI."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import PurePath
from typing import Any
from urllib.parse import parse_qs

from normzoo.app.server.middleware.answer import Answer, Send
from normzoo.app.server.middleware.body import Body, Receive, boundary_of, header
from normzoo.app.server.middleware.limits import Limits
from normzoo.app.server.middleware.payload import check_event
from normzoo.app.server.middleware.refusal import Refusal
from normzoo.app.server.middleware.routes import Kind, Route, find_route, is_upload
from normzoo.app.server.middleware.sessions import Sessions
from normzoo.app.server.middleware.visitors import FORWARDED, Visitors, visitor

Application = Callable[[Any, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

#: Dropped before Gradio sees it: without it, Gradio lets no other site's script read an answer.
_ORIGIN = b"origin"
_BYTES_PER_TOKEN = 1_000_000


class Gate:
    """Lets through what the page needs, answers the rest in one sentence, and puts the security headers on everything.

    Args:
        app: Gradio's application.
        uploads: the folder in which Gradio keeps uploaded files.
    """

    def __init__(self, app: Application, uploads: PurePath, limits: Limits, on_spaces: bool = False) -> None:
        self._app = app
        self._uploads = uploads
        self._limits = limits
        self._on_spaces = on_spaces
        self._visitors = Visitors(limits)
        self._sessions = Sessions(limits)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Any, receive: Receive, send: Send) -> None:
        route = find_route(scope)
        is_photo = route is not None and route.kind is Kind.UPLOAD
        body = Body(receive, self._limits, self._limits.upload_bytes if is_photo else self._limits.event_bytes)
        answer = Answer(send, route.kind if route else None, body, self._on_spaces)
        try:
            async with contextlib.AsyncExitStack() as stack:
                receive = await self._admit(scope, route, body, stack)
                await self._app({**scope, "headers": self._trusted_headers(scope)}, receive, answer.send)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except Exception as error:
            if not body.has_left:
                logger.error("A request failed", exc_info=None if answer.has_started else error)
                await answer.refuse(Refusal(500))
                await answer.end()

    async def _admit(self, scope: Any, route: Route | None, body: Body, stack: contextlib.AsyncExitStack) -> Receive:
        """Check a request; gives what Gradio receives of it. What is entered on the stack ends with the answer.

        Raises:
            Refusal: it goes no further.
        """
        if len(scope["path"].encode()) + len(scope["query_string"]) > self._limits.url_bytes:
            raise Refusal(414)
        who = visitor(scope, self._limits.trust_proxy)
        stack.enter_context(self._visitors.request(who))
        if route is None:
            raise Refusal(404)
        if route.kind is Kind.FILE and not is_upload(route.file, self._uploads):
            raise Refusal(403)
        if route.kind is Kind.STREAM:
            session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
            if scope["path"].endswith("/queue/data"):
                stack.enter_context(self._sessions.listen(session))
        # Gradio remembers every upload that someone asks the progress of.
        if route.kind in (Kind.PAGE, Kind.READ, Kind.EVENT, Kind.UPLOAD) or scope["path"].endswith("/upload_progress"):
            self._visitors.charge(who)
        if route.kind not in (Kind.EVENT, Kind.UPLOAD):
            return body

        if header(scope, b"sec-fetch-site") == b"cross-site":
            raise Refusal(403, "The page's functions cannot be used from another site.")
        body.check_declared(scope)
        if route.kind is Kind.UPLOAD:
            body.separate_by(boundary_of(scope))
            stack.callback(lambda: self._visitors.spend(who, body.size / _BYTES_PER_TOKEN))
            return body
        content = await body.read()
        session = check_event(content, lambda path: is_upload(path, self._uploads))
        if session:
            self._sessions.ask(session)
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


def around(uploads: PurePath, limits: Limits, on_spaces: bool) -> Callable[[Any], contextlib.AbstractAsyncContextManager[None]]:
    """A lifespan for Gradio's application that puts the gate around all of it, its own middleware included."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = Gate(app.middleware_stack, uploads, limits, on_spaces)
        yield

    return lifespan
