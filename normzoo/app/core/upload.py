"""The photo that the page works on: the component, and from what it sends to a picture."""

import functools
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from normzoo.app.core import examples
from normzoo.app.core.batching import COMPUTING
from normzoo.errors import ImageError
from normzoo.images.preprocess import load_image

#: Pictures that are kept decoded: what a visitor asks about a photo comes in several events at once.
KEPT = 4

#: How events are set up that look into the networks with the photo: they take turns, and only the last choice counts.
INSIGHT: dict[str, Any] = {
    "preprocess": False,  # the project's own loader opens the file, not Gradio's
    "show_progress": "minimal",
    "trigger_mode": "always_last",
    "concurrency_id": "insight",
}


def build() -> gr.Image:
    """The component, for a tab to place with `render`; an example is in it already."""
    return gr.Image(
        str(examples.EXAMPLES[0].path),
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        label="Photo",
        placeholder="Drop a photo here, or click to choose one",
        height=300,
        buttons=["fullscreen"],
        alt_text="The photo to classify",
        elem_id="photo",
        render=False,
    )


def photo_path(photo: object) -> Path | None:
    """Where Gradio put an upload; None where there is no photo.

    Raises:
        ImageError: something else came in its place, such as a `data:` URL.
    """
    if photo is None:
        return None
    path = photo.get("path") if isinstance(photo, dict) else None
    if not isinstance(path, str) or not path:
        raise ImageError("The photo did not arrive as a file; choose it again.")
    return Path(path)


def open_photo(photo: dict[str, Any] | None) -> Image.Image | None:
    """The picture that the component sent; None where there is none. It is shared: nobody may change it.

    Raises:
        ImageError: what came is no photo.
    """
    path = photo_path(photo)
    return None if path is None else _decode(path)


def photo_name(photo: dict[str, Any] | None) -> str:
    """The name of the photo's file, as its visitor chose it: untrusted."""
    path = photo_path(photo)
    return "" if path is None else path.name


@functools.lru_cache(maxsize=KEPT)
def _decode(path: Path) -> Image.Image:
    """The picture in a file. Gradio keeps an upload in a folder named after the hash of its bytes: it never changes."""
    with COMPUTING:
        return load_image(path)
