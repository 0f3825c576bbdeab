"""The page, in Gradio: one module per tab. The only place that imports gradio."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normzoo.app.core.errors import GuardedBlocks


def build_demo(root: Path | None = None) -> "GuardedBlocks":
    """The whole page, ready to launch.

    Args:
        root: the folder of the packaged checkpoints; None takes `normzoo.pretrained.registry.checkpoints_root()`.
    """
    # Before gradio is imported, which is why it is imported here: it would call home.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    # A summary of the last 10,000 events, which nobody sees, would be computed after each event.
    os.environ |= {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9)}
    from normzoo.app.core.catalog import Catalog
    from normzoo.app.page import build

    return build(Catalog(root))
