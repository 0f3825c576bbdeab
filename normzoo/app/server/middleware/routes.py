"""The addresses that the page needs, each with what may be sent there. Gradio has more; those are closed."""

import re
from enum import Enum
from pathlib import PurePath
from typing import Any


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
