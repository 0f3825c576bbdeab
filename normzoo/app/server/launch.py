"""Starting the page: its settings, and how it is served to strangers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from normzoo.allocator import share_heaps
from normzoo.app.server.lifecycle import lifetime
from normzoo.app.server.middleware.limits import Limits, on_spaces
from normzoo.app.server.zerogpu import register_for_zerogpu
from normzoo.errors import NormZooError
from normzoo.nn.named_norms import name_own_norms

if TYPE_CHECKING:
    import gradio as gr

#: Events that may wait; the next one is told that the page is busy.
QUEUE_SIZE = 64
#: Visitors that Gradio keeps in mind, at about 0.3 MB each; who has been away the longest is forgotten.
SESSIONS = 200
#: Of the allocator: no more than two threads compute at a time.
HEAPS = 2


@dataclass(frozen=True)
class Settings:
    """What a host may choose, by environment variables."""

    host: str = "127.0.0.1"  # GRADIO_SERVER_NAME; 0.0.0.0 in a container
    port: int | None = None  # GRADIO_SERVER_PORT; None takes the first free one from 7860 on
    root_path: str | None = None  # GRADIO_ROOT_PATH, behind a proxy that serves the page below a path
    max_file_size: str = "20mb"  # NORMZOO_MAX_FILE_SIZE, of one upload
    threads: int = 1  # NORMZOO_THREADS, of one prediction: the networks are too small for more to help
    limits: Limits = field(default_factory=Limits)  # NORMZOO_RATE_LIMIT, NORMZOO_TRUST_PROXY
    on_spaces: bool = False  # SYSTEM, which Hugging Face sets

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """The settings, with defaults for what is not set or empty."""
        port = environment.get("GRADIO_SERVER_PORT")
        return cls(
            host=environment.get("GRADIO_SERVER_NAME") or cls.host,
            port=int(port) if port else cls.port,
            root_path=environment.get("GRADIO_ROOT_PATH") or cls.root_path,
            max_file_size=environment.get("NORMZOO_MAX_FILE_SIZE") or cls.max_file_size,
            threads=int(environment.get("NORMZOO_THREADS") or cls.threads),
            limits=Limits.from_environment(environment),
            on_spaces=on_spaces(environment),
        )


def launch(settings: Settings) -> None:
    """Serve the page until the process is told to stop.

    Raises:
        SystemExit: the networks cannot be had; with the sentence that says why.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    share_heaps(HEAPS)
    with lifetime() as life:
        import torch

        from normzoo.app import build_demo
        from normzoo.pretrained.registry import checkpoints_root

        torch.set_num_threads(settings.threads)
        try:
            name_own_norms()
            root = checkpoints_root()
        except NormZooError as error:
            raise SystemExit(str(error)) from None
        life.demo = build_demo(root)
        register_for_zerogpu()  # brings Gradio, which must not be imported before `build_demo` has it keep quiet
        print(f"NormZoo is at {serve(life.demo, settings, root)}", flush=True)
        life.wait()


def serve(demo: "gr.Blocks", settings: Settings, root: Path | None = None) -> str:
    """Start serving in the background; gives the address.

    Nothing but the page: no sharing, telemetry, monitoring, history or file of the project, and the queue is the only way in.

    Args:
        root: where the checkpoints of the page lie; none of their files is ever served.
    """
    from gradio.utils import get_upload_folder

    from normzoo.app.components.theme import STYLE_SHEET, theme
    from normzoo.app.core import examples
    from normzoo.app.server.middleware.middleware import around

    package = Path(__file__).parents[2]
    demo.queue(max_size=QUEUE_SIZE, default_concurrency_limit=1, api_open=False)
    _, url, _ = demo.launch(
        server_name=settings.host,
        server_port=settings.port,
        root_path=settings.root_path,
        theme=theme(),
        css_paths=[STYLE_SHEET],
        max_file_size=settings.max_file_size,
        allowed_paths=[str(examples.FOLDER)],
        # All of the package but the example photos, which lie in it.
        blocked_paths=[str(path) for path in (*([root] if root else []), *package.rglob("*.py"))],
        share=False,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=["api"],
        ssr_mode=False,
        num_workers=0,  # they would serve files past the gate
        pwa=False,
        mcp_server=False,
        favicon_path=None,  # Gradio resizes one to any size that a request names
        state_session_capacity=SESSIONS,
        app_kwargs={
            "openapi_url": None,
            "lifespan": around(Path(get_upload_folder()), settings.limits, settings.on_spaces),
        },
        prevent_thread_lock=True,
        quiet=True,
    )
    return url
