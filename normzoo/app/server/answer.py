"""The answer to one request, on its way out: security headers on all, and a sentence in place of an error."""

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from normzoo.app.server.request import Body, Kind, Refusal
from normzoo.app.server.settings import FRAME_ANCESTORS

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


@dataclass(frozen=True)
class Policy:
    """What of the headers depends on the host."""

    on_spaces: bool = False
    frame_ancestors: str = FRAME_ANCESTORS


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


def security_headers(kind: Kind | None, nonce: str, host: Policy) -> list[tuple[bytes, bytes]]:
    """The headers to add to an answer.

    Args:
        kind: what was asked for; None where it is an error.
        nonce: what marks the page's own inline scripts; all others stay dead.
        host: what depends on it.
    """
    if kind in (Kind.PAGE, Kind.STATIC):
        policy = _POLICY | {"frame-ancestors": host.frame_ancestors}
        if nonce:
            policy["script-src"] += f" 'nonce-{nonce}'"
        if host.on_spaces:
            policy |= {directive: f"{policy[directive]} {hosts}" for directive, hosts in _SPACES.items()}
        text = "; ".join(f"{directive} {sources}" for directive, sources in policy.items())
    else:
        # Data: should a browser open it as a page, nothing in it runs.
        text = f"default-src 'none'; sandbox; frame-ancestors {host.frame_ancestors}"
    return [(b"content-security-policy", text.encode()), *_FIXED]


def finish_page(page: bytes, nonce: str) -> bytes:
    """The page in one language, with the nonce on each of its script elements: in Gradio's data `<` is escaped."""
    return _SCRIPT.sub(b'<script nonce="' + nonce.encode() + b'"', page.replace(b"<head>", _SPEAK_ENGLISH, 1))


Send = Callable[[Any], Awaitable[None]]

#: Gradio answers 500 to an event that it does not know, and to one with inputs of other names.
_NO_SUCH_EVENT = "The page may have no such function, or it takes other inputs; reload the page and try again."


class Answer:
    """Puts the headers on an answer, the nonce into the page, and a sentence in place of an error's own words.

    Args:
        kind: what was asked for; None where there is nothing at that address.
        body: of the request; where it was refused while Gradio read it, that is the error to tell.
    """

    def __init__(self, send: Send, kind: Kind | None, body: Body, policy: Policy) -> None:
        self._send = send
        self._kind = kind
        self._body = body
        self._policy = policy
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
        return security_headers(kind, self._nonce if kind else "", self._policy)
