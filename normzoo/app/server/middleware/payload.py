"""What an event may carry: numbers, words, and photos that were uploaded before."""

import json
import re
from collections.abc import Callable
from typing import Any

from normzoo.app.server.middleware.refusal import Refusal

#: Where Gradio would open a file itself, or fetch one for the visitor.
_REFERENCE = re.compile(r"\s*(data|file|ftp|https?):", re.IGNORECASE)
_NO_UPLOAD = "This photo is no longer here, perhaps since the server was started anew; reload the page and choose it again."
_NO_FILE = "A photo has to come as a file, not as an address; save it first, then give the file's path to handle_file."


def check_event(body: bytes, is_upload: Callable[[object], bool]) -> str:
    """Refuse what the page never sends: no JSON object, a file that was not uploaded, a `data:` or other URL.

    Returns:
        The session that the event belongs to, empty where it names none.

    Raises:
        Refusal: 400, 403 or 422.
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
