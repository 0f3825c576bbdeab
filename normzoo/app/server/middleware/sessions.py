"""Pages that ask and never listen: Gradio would keep every answer for them."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator

from normzoo.app.server.middleware.limits import Limits
from normzoo.app.server.middleware.refusal import Refusal


class Sessions:
    """How many answers wait for each session; while it has a stream open to receive them it may ask on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unread: OrderedDict[str, int] = OrderedDict()
        self._streams: dict[str, int] = {}

    def ask(self, session: str) -> None:
        """Count an event of this session.

        Raises:
            Refusal: 429, too many answers wait already.
        """
        unread = self._unread.pop(session, 0)
        self._unread[session] = min(unread + 1, self._limits.unread_events)
        if len(self._unread) > self._limits.remembered:
            self._unread.popitem(last=False)
        if unread >= self._limits.unread_events and session not in self._streams:
            raise Refusal(429, "This page asked for more than it came to fetch; reload it and try again.")

    def is_listening(self, session: str) -> bool:
        """Whether this session has a stream open."""
        return session in self._streams

    @contextlib.contextmanager
    def listen(self, session: str, is_whole: Callable[[], bool]) -> Iterator[None]:
        """A stream on which this session receives its answers.

        Args:
            is_whole: at its end, whether all answers went out: one that was refused or left early took none.
        """
        self._streams[session] = self._streams.get(session, 0) + 1
        try:
            yield
            if is_whole():
                self._unread.pop(session, None)
        finally:
            self._streams[session] -= 1
            if not self._streams[session]:
                del self._streams[session]
