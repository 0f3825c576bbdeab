"""The security headers of every answer."""

import re
from dataclasses import dataclass

from normzoo.app.server.middleware.routes import Kind

#: Who may show the page in a frame: Spaces shows it in one on huggingface.co.
FRAME_ANCESTORS = "'self' https://huggingface.co https://*.hf.space"

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
