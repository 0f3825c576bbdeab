"""The page without a process of its own."""

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradio as gr


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def served(demo: "gr.Blocks", **settings: Any) -> Iterator[str]:
    """Serve a page from threads of this process; gives its address.

    Args:
        settings: fields of `Settings`.
    """
    from normzoo.app.server.launch import serve
    from normzoo.app.server.settings import Settings

    try:
        yield serve(demo, Settings(port=free_port(), **settings))
    finally:
        demo.close()
