"""Pages that ask and never listen: Gradio would keep every answer for them."""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator

from normzoo.app.server.middleware.limits import Limits
from normzoo.app.server.middleware.refusal import Refusal


class Sessions:
    """How many answers wait for each session that has no stream open to receive them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unread: OrderedDict[str, int] = OrderedDict()
        self._streams: dict[str, int] = {}

    def ask(self, session: str) -> None:
        """Count an event of this session.

        Raises:
            Refusal: 429, too many answers wait already.
        """
        if session in self._streams:
            return
        unread = self._unread.pop(session, 0)
        self._unread[session] = min(unread + 1, self._limits.unread_events)
        if len(self._unread) > self._limits.remembered:
            self._unread.popitem(last=False)
        if unread >= self._limits.unread_events:
            raise Refusal(429, "This page asked for more than it came to fetch; reload it and try again.")

    @contextlib.contextmanager
    def listen(self, session: str) -> Iterator[None]:
        """A stream on which this session receives its answers."""
        self._unread.pop(session, None)
        self._streams[session] = self._streams.get(session, 0) + 1
        try:
            yield
        finally:
            self._streams[session] -= 1
            if not self._streams[session]:
                del self._streams[session]
