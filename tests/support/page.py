"""The page without a process of its own."""

import contextlib
import socket


def free_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(demo, **settings):
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
