"""The photo on the page: the picture as it was decoded, and the buttons for another one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from PIL import Image

from normzoo.app.components.data_urls import jpeg_url
from normzoo.app.components.html import render
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import UNDOCUMENTED
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.core.permalink import Linked
from normzoo.app.core.upload import chosen_path, open_photo
from normzoo.errors import ConfigError

#: Longest side of the picture that is shown; sharp on a screen of two pixels to one.
PREVIEW_PIXELS = 640

#: Tells `upload.js` that it may ask about the next choice.
ANSWERED = 'document.dispatchEvent(new Event("photo-answered"));'


def build(chooser: Chooser) -> Dependency:
    """Place the picture and the buttons, an example at first; gives the event in which every choice of a photo ends."""
    preview = gr.HTML(show(EXAMPLES[0].path), js_on_load=None, elem_id="photo")
    gr.HTML(render("photo_controls.html"), js_on_load=None)

    @guarded
    def choose_photo(choice: object) -> tuple[Path | None, str]:
        """Put what was chosen in the place of the photo, if it is a picture; if not, nothing changes."""
        path = chosen_path(choice)
        return path, show(path)

    chosen = chooser.photo_choice.select(
        choose_photo,
        chooser.photo_choice,
        [chooser.photo, preview],
        preprocess=False,
        api_name="choose_photo",
        **UNDOCUMENTED,
    )
    names = [example.path.stem for example in EXAMPLES]
    chooser.add_to_link(
        Linked(
            "photo",
            chosen,
            [chooser.photo_choice],
            f'{json.dumps(["", *names[1:]])}[given[0].example] ?? ""',  # a photo of somebody's own is in no link
            lambda _, name: open_example(name, names),
            [chooser.photo, preview],
        )
    )
    chosen.failure(None, js=f"() => {{ {ANSWERED} }}", api_name="photo_refused", **UNDOCUMENTED)
    return chosen


def open_example(name: str, names: Sequence[str]) -> list[Any]:
    """Return the file of an example, and how it is shown.

    Raises:
        ConfigError: there is no such example.
    """
    if name not in names:
        raise ConfigError(f"Unknown example. Choose one of: {', '.join(names)}.")
    path = EXAMPLES[names.index(name)].path
    return [str(path), show(path)]


def show(path: Path | None) -> str:
    """Return as HTML what the networks get to see of a photo, so upright and on white, and its name.

    Raises:
        ImageError: it is no picture.
    """
    picture = open_photo(None if path is None else {"path": str(path)})
    if path is None or picture is None:
        return render("photo.html", photo=None)
    small = picture.copy()
    small.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS), Image.Resampling.BOX)
    return render("photo.html", photo={"url": jpeg_url(small), "name": path.name})
