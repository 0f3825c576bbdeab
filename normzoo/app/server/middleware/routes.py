"""The addresses that the page needs, each with what may be sent there. Gradio has more; those are closed."""

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any


class Kind(Enum):
    """What a request is for, and so what is checked."""

    PAGE = "page"  # the HTML, which needs its scripts marked
    READ = "read"  # a description of the page, made anew for each request
    STATIC = "static"  # a file that Gradio ships
    STREAM = "stream"  # stays open
    FILE = "file"  # an uploaded photo
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
    ("GET", rf"{_API}/file=(?P<path>.+)", Kind.FILE),
    ("POST", rf"{_API}/(queue/join|call/(v2/)?\w+|cancel|reset)/?", Kind.EVENT),
    ("POST", rf"{_API}/upload", Kind.UPLOAD),
)
_COMPILED = [(method, re.compile(pattern, re.ASCII | re.DOTALL), kind) for method, pattern, kind in _ROUTES]


@dataclass(frozen=True)
class Route:
    """An open address, and the file that it asks for where it asks for one."""

    kind: Kind
    file: str = ""


def find_route(scope: Any) -> Route | None:
    """The route of an ASGI request; None where there is none."""
    path, root = scope["path"], scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    for allowed, pattern, kind in _COMPILED:
        if method == allowed and (match := pattern.fullmatch(path)):
            return Route(kind, match.groupdict().get("path", ""))
    return None


def is_upload(path: object, folder: PurePath) -> bool:
    """Whether this is where Gradio keeps an uploaded file: `folder/<hash of the bytes>/<name>`."""
    if not isinstance(path, str) or "\0" in path:
        return False
    file = PurePath(path)
    return (
        file.parents[1:2] == (folder,) and re.fullmatch(r"[0-9a-f]{16,128}", file.parent.name) is not None and file.name != ".."
    )
