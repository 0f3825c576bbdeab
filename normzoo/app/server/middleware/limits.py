"""How much the page takes from its visitors, as data."""

from dataclasses import dataclass

from normzoo.images.limits import MAX_BYTES


@dataclass(frozen=True)
class Limits:
    """The bounds of the gate. A host may choose those that name an environment variable."""

    # NORMZOO_RATE_LIMIT: requests that make work, which one visitor may sustain; 0 lifts the limit, for a load test. A photo
    # takes three and one more for each megabyte. On two cores this leaves half of the page to the others.
    requests_per_second: float = 10
    # For each second of a core that a visitor's events take besides: decoding, and networks.
    requests_per_core_second: float = 20
    # As many at once on top of that: a class of thirty behind one address all drop a photo in the same minute.
    burst: int = 400
    # NORMZOO_TRUST_PROXY: the host's proxy sets X-Forwarded-For; without a proxy anyone could, so not by default.
    trust_proxy: bool = False
    # Body of an event, in bytes: the largest that the page sends has not one thousand, a `data:` photo would have more.
    event_bytes: int = 64_000
    # Body of an upload: the largest photo that the loader takes, and what multipart adds to it.
    upload_bytes: int = MAX_BYTES + 64_000
    # The page sends one at a time.
    upload_files: int = 4
    # Uploads that are under way, in bytes: the page sends four at once to the tab for many photos.
    unfinished_per_visitor: int = 90_000_000
    unfinished: int = 150_000_000
    # Until the whole body has arrived, and until it has come on by so many bytes, or ended.
    body_seconds: float = 300
    idle_seconds: float = 30
    moved_bytes: int = 64_000
    # Where others need the room, the one that has not come on for the longest is given up after this time.
    stalled_seconds: float = 5
    # Uploads of so many bytes together are followed by a sweep of the folder.
    swept_bytes: int = 20_000_000
    # Path and query, in bytes.
    url_bytes: int = 4_000
    # Scripts and styles that are kept compressed.
    static_bytes: int = 24_000_000
    # Answers under way, streams that stay open for as long as a page does included.
    open_requests: int = 800
    open_requests_per_visitor: int = 250
    # Events of one page whose answers nobody has come for.
    unread_events: int = 16
    # Visitors and pages that are remembered, the least recent forgotten first.
    remembered: int = 10_000
