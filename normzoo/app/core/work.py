"""The work that a visitor asks for: charged to the visitor, and no longer done once nobody waits for the answer."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from normzoo.errors import NormZooError

#: Held by whoever decodes a photo or runs networks: a small host has two cores, and a third thread would slow the others.
#: Not to be held while calling what holds it too.
COMPUTING = threading.BoundedSemaphore(2)
#: Pictures of more pixels are decoded one at a time: what a decoder needs grows with them, up to 500 MB.
LARGE_PIXELS = 8_000_000
#: Pictures that are kept decoded, and small ones of many photos, in bytes: what a visitor asks comes in several events at once.
DECODED_BYTES, SMALL_BYTES = 30_000_000, 60_000_000
_DECODING_LARGE = threading.Lock()
#: Under which key the server puts the visitor into the ASGI scope of a request.
VISITOR = "normzoo.visitor"
#: How long an event may be under way before its visitor has to listen for the answer.
PATIENCE_SECONDS = 10


class AbandonedError(NormZooError):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Visitor:
    """Whose work this is.

    Args:
        charge: takes so many seconds of a core from what the visitor may ask for.
        listens: whether a session has a stream open to receive its answers.
    """

    charge: Callable[[float], object]
    listens: Callable[[str], bool]
    since: float = field(default_factory=time.monotonic)


def check_wanted() -> None:
    """Raise where nobody waits for the answer of the event that this thread computes."""
    from gradio.context import LocalContext

    event_id, blocks = LocalContext.event_id.get(None), LocalContext.blocks.get(None)
    visitor = _visitor()
    event = blocks._queue.event_ids_to_events.get(event_id) if blocks and event_id else None
    if event is None or visitor is None:
        return
    is_late = time.monotonic() - visitor.since > PATIENCE_SECONDS
    if not event.alive or (is_late and not visitor.listens(event.session_hash)):
        raise AbandonedError("Nobody waits for this answer any more.")


@contextmanager
def computing(pixels: int = 0) -> Iterator[None]:
    """Hold `COMPUTING` for one part of an event's work, a photo that is decoded or networks, and charge its visitor for it.

    Args:
        pixels: of the picture that is decoded meanwhile.
    """
    check_wanted()
    is_large = pixels > LARGE_PIXELS
    if is_large:
        _DECODING_LARGE.acquire()
    try:
        with COMPUTING:
            check_wanted()
            start = time.thread_time()
            try:
                yield
            finally:
                if visitor := _visitor():
                    visitor.charge(time.thread_time() - start)
    finally:
        if is_large:
            _DECODING_LARGE.release()


def _visitor() -> Visitor | None:
    from gradio.context import LocalContext

    request: Any = getattr(LocalContext.request.get(None), "request", None)
    return request.scope.get(VISITOR) if request is not None else None
