"""Serving the page to strangers: a folder for uploads from the start, and a tidy end at SIGTERM as at Ctrl-C."""

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

from normzoo.allocator import limit_malloc_arenas
from normzoo.app.server.settings import SESSIONS, Settings, find_port
from normzoo.app.server.uploads import UploadFolder
from normzoo.errors import ConfigError, NormZooError
from normzoo.nn.own_norm import name_own_norms

if TYPE_CHECKING:
    from normzoo.app.core.errors import GuardedBlocks

#: Events that may wait; the next one is told that the page is busy.
QUEUE_SIZE = 160
#: Of the allocator: no more than two threads compute at a time.
ARENAS = 2


def main() -> None:
    """Serve the page as the environment says, until the process is told to stop."""
    try:
        launch(Settings.from_environment())
    except NormZooError as error:
        raise SystemExit(str(error)) from None


def launch(settings: Settings) -> None:
    """Serve the page until the process is told to stop."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    limit_malloc_arenas(ARENAS)
    find_port(settings.host, settings.port)  # before seconds are spent on imports
    with lifetime() as life:
        import torch

        from normzoo.app import build_demo
        from normzoo.pretrained.registry import checkpoints_root

        torch.set_num_threads(settings.threads)
        name_own_norms()
        root = checkpoints_root()
        if (place := os.environ.get("NORMZOO_CHECKPOINTS")) and not root.is_dir():
            raise ConfigError(f"NORMZOO_CHECKPOINTS must be a folder that is there, or hf://user/repo, got {place!r}.")
        life.clear_proxy_env()
        life.demo = build_demo(root)
        register_for_zerogpu()  # brings Gradio, which must not be imported before `build_demo` has it keep quiet
        from normzoo.app.core.upload import forget_missing

        demo = life.demo
        print(f"NormZoo is at {serve(demo, settings, root, life.uploads.sweep)}", flush=True)
        life.wait(lambda: forget_missing(demo))


def serve(demo: "GuardedBlocks", settings: Settings, root: Path | None = None, sweep: Callable[[], None] = lambda: None) -> str:
    """Start serving in the background; gives the address.

    Nothing but the page: no sharing, telemetry, monitoring, history or file of the project, and the queue is the only way in.

    Args:
        root: where the checkpoints of the page lie; none of their files is ever served.
        sweep: is called when many bytes were uploaded.
    """
    import gradio as gr
    from gradio.themes.utils import fonts
    from gradio.utils import get_upload_folder

    from normzoo.app.core import examples
    from normzoo.app.server.access import around

    port = find_port(settings.host, settings.port)
    # Told each second how long the queue is: told after every answer, a hundred who wait cost more than the answers.
    demo.queue(max_size=QUEUE_SIZE, default_concurrency_limit=1, api_open=False, status_update_rate=1)
    # Only a font that Gradio serves itself, in bold: its file of the default theme's half-bold holds no Latin letters. Indigo,
    # not orange, which is one of the variants' colours and too light for white letters on it.
    font = fonts.LocalFont("IBM Plex Sans", weights=(400, 700))
    theme = gr.themes.Default(primary_hue="indigo", font=[font, "ui-sans-serif", "system-ui", "sans-serif"])
    button = {"button_primary_background_fill": "*primary_600", "button_primary_background_fill_hover": "*primary_700"}
    try:
        _, url, _ = demo.launch(
            server_name=f"[{settings.host}]" if ":" in settings.host else settings.host,
            server_port=port,
            root_path=settings.root_path,
            theme=theme.set(**button),
            css_paths=[Path(__file__).parents[1] / "components/page.css"],
            max_file_size=settings.max_file_size,
            allowed_paths=[str(examples.FOLDER)],
            # Few: Gradio resolves each of them for every file. What is not allowed is refused without them.
            blocked_paths=[str(root)] if root else [],
            share=False,
            show_error=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=["api"],
            ssr_mode=False,
            num_workers=0,  # they would serve files past the gate
            pwa=False,
            mcp_server=False,
            i18n=gr.I18n(en={"common.complete": "Done."}),  # which Gradio 6.31 tells screen readers by its key
            favicon_path=None,  # Gradio resizes one to any size that a request names
            state_session_capacity=SESSIONS,
            app_kwargs={"openapi_url": None, "lifespan": around(Path(get_upload_folder()), settings, sweep)},
            prevent_thread_lock=True,
            quiet=True,
        )
    except OSError as error:  # somebody else took it meanwhile
        raise ConfigError(f"Port {port} could not be opened ({error}); try again, or set GRADIO_SERVER_PORT.") from error
    return url


def register_for_zerogpu() -> None:
    """Declare that function where Hugging Face's package is there, which only it brings; elsewhere do nothing.

    A ZeroGPU Space that declares none is stopped. The page never calls it: the networks answer in milliseconds on the
    processor, while a GPU would have to be waited for, and counts against what a visitor may use in a day.
    """
    try:
        import spaces
    except ImportError:
        return
    spaces.GPU(gpu_name, duration=1)


def gpu_name() -> str:
    """The GPU that this process was given."""
    import torch

    return torch.cuda.get_device_name()


#: What is computed when the process is told to stop may take as long, then what is sent; it ends in any case before a container
#: is killed, which is after ten.
FINISH_SECONDS, GRACE_SECONDS, END_SECONDS = 3, 1, 8
#: How often the waiting main thread looks whether a signal has come that did not wake it.
WAKE_SECONDS = 1


class ServerProcess:
    """What has to be tidied up in the end."""

    def __init__(self, uploads: UploadFolder) -> None:
        self.uploads = uploads
        self.demo: GuardedBlocks | None = None

    def clear_proxy_env(self) -> None:
        """Forget the host's proxies: Gradio asks its own server whether it is there, and would ask them instead."""
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]

    def wait(self, forget: Callable[[], None] = lambda: None) -> None:
        """Serve until the process is told to stop.

        Args:
            forget: forgets what was made of uploads that are gone; called after each sweep.
        """
        self.uploads.keep()
        self.uploads.start_sweeping(forget)
        told_to_stop = threading.Event()  # never set: a signal raises
        while not told_to_stop.wait(WAKE_SECONDS):
            pass

    def end(self) -> None:
        """Stop serving and remove the uploads."""
        if self.demo is not None and self.demo.is_running:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            last_resort = threading.Timer(END_SECONDS, os._exit, [1])
            last_resort.daemon = True
            last_resort.start()
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a traceback for every answer that is cut off
            gate: Any = self.demo.app.middleware_stack
            gate.close(self.demo._queue, FINISH_SECONDS)
            self.demo.server.config.timeout_graceful_shutdown = GRACE_SECONDS
            self.demo.close(verbose=False)
        self.uploads.close()


@contextlib.contextmanager
def lifetime() -> Iterator[ServerProcess]:
    """To be entered before Gradio is imported; the process ends with the block, unless that raises.

    Uploads go to a new folder below `$GRADIO_TEMP_DIR`, or below the system's.
    """
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
        pass
    finally:
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
