"""Who sends a request, whether it is more than one visitor's share, and who comes to fetch the answers."""

import contextlib
import ipaddress
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from normzoo.app.server.request import Refusal
from normzoo.app.server.settings import Limits

#: What only a proxy should set. Without one in front these would be a visitor's own claims.
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server", b"x-real-ip")

#: As some proxies write an address, with another port for every connection.
_WITH_PORT = re.compile(r"^(\d+(?:\.\d+){3}):\d+$", re.ASCII)


def client_ip(scope: Any, trust_proxy: bool) -> str:
    """The address that counts for a request; of IPv6 the network of a home, which has more addresses than can be counted.

    Behind a proxy it is the last public address of X-Forwarded-For: the ones before it are the visitor's own words, the
    private ones after it are the host's.
    """
    peer = scope.get("client")
    address = peer[0] if peer else ""
    if trust_proxy:
        lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [_WITH_PORT.sub(r"\1", hop.strip()) for hop in ",".join(lines).split(",") if hop.strip()]
        public = [hop for hop in hops if (ip := _parse(hop)) is not None and ip.is_global]
        address = (public or hops or [address])[-1][:64]
    ip = _parse(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip or address)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


class Visitors:
    """A token bucket for each visitor, and how many of their requests are under way."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # visitor -> tokens, at this time
        self._open: Counter[str] = Counter()

    def charge(self, visitor: str) -> None:
        """Take a token from the visitor's bucket."""
        tokens = self.spend(visitor, 0)
        if tokens < 1:
            raise Refusal(429, retry_seconds=(1 - tokens) / self._limits.requests_per_second)
        self.spend(visitor, 1)

    def spend(self, visitor: str, tokens: float) -> float:
        """Take tokens from the visitor's bucket, into debt where it has not as many; gives what is left."""
        rate, burst, now = self._limits.requests_per_second, self._limits.burst, self._clock()
        if not rate:
            return burst
        with self._lock:  # events are charged from the threads that compute them
            left, since = self._buckets.pop(visitor, (burst, now))
            left = min(burst, left + (now - since) * rate) - tokens
            self._buckets[visitor] = (left, now)
            if len(self._buckets) > self._limits.remembered:
                self._buckets.popitem(last=False)
            return left

    @contextlib.contextmanager
    def request(self, visitor: str) -> Iterator[None]:
        """One request of this visitor, under way for as long as the block lasts."""
        if self._open.total() >= self._limits.open_requests:
            raise Refusal(503)
        if self._open[visitor] >= self._limits.open_requests_per_visitor:
            raise Refusal(429)
        self._open[visitor] += 1
        try:
            yield
        finally:
            self._open[visitor] -= 1
            if not self._open[visitor]:
                del self._open[visitor]


class Sessions:
    """How many answers wait for each session; while it has a stream open to receive them it may ask on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unread: OrderedDict[str, int] = OrderedDict()
        self._streams: dict[str, int] = {}

    def ask(self, session: str) -> None:
        """Count an event of this session."""
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
