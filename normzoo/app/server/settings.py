"""All bounds of the page, and what a host may choose by environment variables; a wrong one is told in a sentence."""

import errno
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from normzoo.app.core.work import DECODED_BYTES, SMALL_BYTES
from normzoo.errors import ConfigError
from normzoo.images.limits import MAX_BYTES

#: Who may show the page in a frame: Spaces shows it in one on huggingface.co.
FRAME_ANCESTORS = "'self' https://huggingface.co https://*.hf.space"
#: Photos of all visitors, at most half of what these and the free room of the disk make; beyond it the oldest go first.
UPLOADS_BYTES = 400_000_000
MAX_THREADS = 256
#: What a host may choose by environment variables, and what each must be.
_MUST = {
    "GRADIO_SERVER_NAME": "an address of this machine, such as 0.0.0.0",
    "GRADIO_SERVER_PORT": "a port from 1 to 65535",
    "GRADIO_ROOT_PATH": "a path such as /zoo, or a URL",
    "NORMZOO_MAX_FILE_SIZE": "a size such as 5mb",
    "NORMZOO_THREADS": f"a number from 1 to {MAX_THREADS}",
    "NORMZOO_RATE_LIMIT": "a number of requests, 0 for no limit",
    "NORMZOO_TRUST_PROXY": "0 or 1",
    "NORMZOO_FRAME_ANCESTORS": "'self' and sites such as https://lms.example.edu or https://*.example.edu, separated by spaces",
}


def _named(variable: str, **bounds: Any) -> Any:
    return Field(validation_alias=variable, **bounds)


@dataclass(frozen=True)
class Limits:
    """The bounds of the gate. A host may choose those that name an environment variable."""

    # Requests that make work, which one visitor may sustain; 0 lifts the limit, for a load test. A photo takes three and one
    # more for each megabyte. On two cores this leaves half of the page to the others.
    requests_per_second: Annotated[float, _named("NORMZOO_RATE_LIMIT", ge=0, allow_inf_nan=False)] = 10
    # For each second of a core that a visitor's events take besides: decoding, and networks.
    requests_per_core_second: float = 20
    # As many at once on top of that: a class of thirty behind one address all drop a photo in the same minute.
    burst: int = 400
    # The host's proxy sets X-Forwarded-For; without a proxy anyone could, so not by default.
    trust_proxy: Annotated[bool, BeforeValidator(("0", "1").index), _named("NORMZOO_TRUST_PROXY")] = False
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


#: Visitors that Gradio keeps in mind, at about 0.3 MB each; who has been away the longest is forgotten.
SESSIONS = 200
#: What the page takes in memory at most, in bytes, with all of it asked for at once; uploads count where they lie on a tmpfs.
MEMORY = {
    "the process with its networks": 450_000_000,
    "what the allocator keeps of what was freed": 150_000_000,
    "a large picture that is decoded, and a small one beside it": 650_000_000,
    "photos of which something is kept": DECODED_BYTES + 2 * SMALL_BYTES,
    "compressed scripts and styles": Limits.static_bytes,
    "sessions": SESSIONS * 300_000,
    "bodies of requests": Limits.open_requests * Limits.event_bytes,
    "uploads": UPLOADS_BYTES,
    "uploads under way": Limits.unfinished,
}
#: What hosts are advised to give it.
ADVISED_BYTES = 2 << 30
#: Tried one after the other where no port is set.
PORTS = range(7860, 7960)
_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_SITE = rf"'self'|https://(\*\.)?{_LABEL}(\.{_LABEL})*(:([1-9]\d{{0,4}}|\*))?"


def _sites(text: str) -> str:
    """Sources for the directive `frame-ancestors`: nothing else may stand in a header, and nobody's `*` lets in everyone."""
    sites = ["'self'" if site == "self" else site for site in text.split()]
    if not all(re.fullmatch(_SITE, site, re.IGNORECASE | re.ASCII) for site in sites):
        raise ValueError
    for site in sites:
        _ = urlsplit(site.removesuffix(":*")).port  # raises ValueError for one that is none
    return " ".join(sites)


@dataclass(frozen=True)
class Settings:
    """What the page is started with."""

    # 0.0.0.0 in a container, :: for IPv6 as well
    host: Annotated[str, AfterValidator(lambda text: text.strip("[]")), _named("GRADIO_SERVER_NAME")] = "127.0.0.1"
    # None takes the first free one from 7860 on
    port: Annotated[int | None, _named("GRADIO_SERVER_PORT", ge=1, le=65535)] = None
    # behind a proxy that serves the page below a path
    root_path: Annotated[
        str | None, AfterValidator(lambda path: path and path.rstrip("/")), _named("GRADIO_ROOT_PATH", pattern="^(/|https?://)")
    ] = None
    # of one upload
    max_file_size: Annotated[str, _named("NORMZOO_MAX_FILE_SIZE", pattern="(?i)^0*[1-9][0-9]*[ \t]*(b|kb|mb|gb)$")] = "20mb"
    # of one prediction: the networks are too small for more to help
    threads: Annotated[int, _named("NORMZOO_THREADS", ge=1, le=MAX_THREADS)] = 1
    # the sites that may show the page in a frame
    frame_ancestors: Annotated[str, AfterValidator(_sites), _named("NORMZOO_FRAME_ANCESTORS")] = FRAME_ANCESTORS
    limits: Limits = field(default_factory=Limits)
    on_spaces: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """The settings, with defaults for what is not set or empty."""
        given: dict[str, Any] = {name: text for name in _MUST if (text := environment.get(name, "").strip())}
        on_spaces = environment.get("SYSTEM") == "spaces"  # Hugging Face sets it, and Gradio goes by it as well
        try:
            limits = TypeAdapter(Limits).validate_python({"NORMZOO_TRUST_PROXY": "01"[on_spaces], **given})
            return TypeAdapter(cls).validate_python({**given, "limits": limits, "on_spaces": on_spaces})
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            raise ConfigError(f"{name} must be {_MUST[name]}, got {given[name]!r}.") from None


def find_port(host: str, port: int | None) -> int:
    """The port to serve at: the one that is wanted, or else the first free one."""
    for number in PORTS if port is None else [port]:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                # On Windows that would let a taken port look free.
                probe.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR), 1)
                probe.bind(address)
        except (OSError, UnicodeError) as error:
            code = error.errno if isinstance(error, OSError) else None
            if code in (errno.EACCES, errno.EPERM):
                raise ConfigError(
                    f"GRADIO_SERVER_PORT must be a port that this user may open, such as 7860, got {number}."
                ) from None
            if code != errno.EADDRINUSE:
                raise ConfigError(
                    f"GRADIO_SERVER_NAME must be an address of this machine, such as 0.0.0.0, got {host!r}."
                ) from None
        else:
            return number
    taken = f"port {port} is" if port else f"the ports from {PORTS[0]} to {PORTS[-1]} are"
    raise ConfigError(f"GRADIO_SERVER_PORT must be a free port, but {taken} taken; stop what uses it or set another.")
