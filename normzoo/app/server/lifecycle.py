"""The life of the process that serves: a folder for uploads from the start, and a tidy end at SIGTERM as at Ctrl-C."""

import atexit
import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normzoo.app.server.uploads import UploadFolder
from normzoo.errors import ConfigError

if TYPE_CHECKING:
    from normzoo.app.core.errors import GuardedBlocks

#: What is computed when the process is told to stop may take as long, then what is sent; it ends in any case before a container
#: is killed, which is after ten.
FINISH_SECONDS, GRACE_SECONDS, END_SECONDS = 3, 1, 8
#: How often the waiting main thread looks whether a signal has come that did not wake it.
WAKE_SECONDS = 1


class ServerProcess:
    """What has to be tidied up in the end."""

    def __init__(self, uploads: UploadFolder) -> None:
        self._uploads = uploads
        self._last_resort = threading.Timer(END_SECONDS, os._exit, [1])
        self.demo: GuardedBlocks | None = None

    def clear_proxy_env(self) -> None:
        """Forget the host's proxies: Gradio asks its own server whether it is there, and would ask them instead."""
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]

    def sweep(self) -> None:
        """Remove uploads that are too old, or too much."""
        self._uploads.sweep()

    def wait(self, forget: Callable[[], None] = lambda: None) -> None:
        """Serve until the process is told to stop.

        Args:
            forget: forgets what was made of uploads that are gone; called after each sweep.
        """
        self._uploads.keep()
        self._uploads.start_sweeping(forget)
        told_to_stop = threading.Event()  # never set: a signal raises
        while not told_to_stop.wait(WAKE_SECONDS):
            pass

    def end(self) -> None:
        """Stop serving and remove the uploads."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self._last_resort.daemon = True
        self._last_resort.start()
        if self.demo is not None and self.demo.is_running:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a traceback for every answer that is cut off
            gate: Any = self.demo.app.middleware_stack
            gate.close(self.demo._queue, FINISH_SECONDS)
            self.demo.server.config.timeout_graceful_shutdown = GRACE_SECONDS
            self.demo.close(verbose=False)
        self._uploads.close()

    def release(self) -> None:
        """Leave the process, such as a notebook's, to whoever it belongs to."""
        self._last_resort.cancel()


@contextlib.contextmanager
def lifetime() -> Iterator[ServerProcess]:
    """To be entered before Gradio is imported; the process ends with the block, unless that raises.

    Uploads go to a new folder below `$GRADIO_TEMP_DIR`, or below the system's.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parent = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    try:
        uploads = UploadFolder(Path(parent))
    except OSError as error:
        raise ConfigError(f"GRADIO_TEMP_DIR must be a folder to write to, got {parent!r} ({error.strerror}).") from None
    life = ServerProcess(uploads)
    _set_environment(uploads.path)
    try:
        yield life
    except KeyboardInterrupt:
        life.end()
    except BaseException:
        life.end()
        life.release()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        raise
    else:
        life.end()
    # All is tidy: to take torch and Gradio apart would cost another second of those that a host allows.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


def _set_environment(uploads: Path) -> None:
    """What Gradio and uvicorn read while they are imported; what a host sets reaches Gradio through `Settings` alone."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # the gate decides whether a proxy is believed
