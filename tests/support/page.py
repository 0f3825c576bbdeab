"""The page without a process of its own, what a person reads of its HTML, and the end of processes."""

import contextlib
import html
import re
import socket
import subprocess


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


def words(text):
    """Return the text between the tags, with single spaces."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def end(process):
    """Ask a process to end, and end it where it does not."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
