"""The photo on the page: the picture as it was decoded, the buttons for another one, the strip of examples."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from PIL import Image

from normzoo.app.components.html import jpeg_url, render
from normzoo.app.core.controls import UNDOCUMENTED, Chooser, Linked
from normzoo.app.core.errors import check_choice, guarded
from normzoo.app.core.examples import EXAMPLES, PREPARED, Example
from normzoo.app.core.upload import chosen_path, open_photo

#: Longest side of the picture that is shown; sharp on a screen of two pixels to one.
PREVIEW_PIXELS = 640
THUMBNAIL_PIXELS = 112

#: Tells `upload.js` that it may ask about the next choice.
ANSWERED = 'document.dispatchEvent(new Event("photo-answered"));'


def build(chooser: Chooser) -> tuple[Dependency, gr.Textbox]:
    """Place the picture and the buttons, an example at first.

    Returns:
        the event in which every choice of a photo ends; and the class that its visitor says it shows, by its folder.
    """
    truth = gr.Textbox("", visible=False, label="truth")
    preview = gr.HTML(show(EXAMPLES[0].path), js_on_load=None, elem_id="photo")
    gr.HTML(render("photo_controls.html"), js_on_load=None)

    @guarded
    def choose_photo(choice: object) -> tuple[Path | None, str, str]:
        """Put what was chosen in the place of the photo, if it is a picture; if not, nothing changes."""
        path = chosen_path(choice)
        return path, show(path), _label(choice)

    chosen = chooser.photo_choice.select(
        choose_photo,
        chooser.photo_choice,
        [chooser.photo, preview, truth],
        api_name="choose_photo",
        **UNDOCUMENTED,
    )
    names = {prepared: [_in_link(photo) for photo in photos] for prepared, photos in PREPARED.items()}
    chooser.add_to_link(
        Linked(
            "photo",
            [chosen],
            [chooser.photo_choice],
            f'({json.dumps(names)}[given[0].set] ?? [])[given[0].number] ?? ""',  # a photo of somebody's own is in no link
            lambda _, name: open_prepared(name),
            [chooser.photo, preview, truth],
        )
    )
    chosen.failure(None, js=f"() => {{ {ANSWERED} }}", api_name="photo_refused", **UNDOCUMENTED)
    return chosen, truth


def _label(choice: Any) -> str:
    """The class of the folder that an upload lies in; empty where that names none."""
    label = choice.get("label")
    return label if isinstance(label, str) else ""


def strip_of_examples() -> str:
    """The buttons, which `upload.js` hears, with their pictures in them: nothing to fetch, nothing that moves on loading."""
    examples = [
        (example.title, json.dumps({"set": "examples", "number": number}), _thumbnail(example.path))
        for number, example in enumerate(EXAMPLES)
    ]
    return render("examples.html", examples=examples, size=THUMBNAIL_PIXELS)


def open_prepared(name: str) -> list[Any]:
    """Return the file of a photo that is here, by its name in a link, and how it is shown."""
    known = {_in_link(photo): photo for photos in PREPARED.values() for photo in photos}
    photo = known[check_choice("photo", name, known)]
    return [str(photo.path), show(photo.path), ""]


def _in_link(photo: Example) -> str:
    """Its name: cat, drawn/lemon-2."""
    return photo.file.removesuffix(photo.path.suffix)


def show(path: Path | None) -> str:
    """Return as HTML what the networks get to see of a photo, so upright and on white, and its name."""
    picture = open_photo(None if path is None else {"path": str(path)})
    if path is None or picture is None:
        return render("photo.html", photo=None)
    small = picture.copy()
    small.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS), Image.Resampling.BOX)
    return render("photo.html", photo={"url": jpeg_url(small), "name": path.name})


def _thumbnail(path: Path) -> str:
    with Image.open(path) as image:
        image.draft("RGB", (2 * THUMBNAIL_PIXELS, 2 * THUMBNAIL_PIXELS))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        return jpeg_url(image.convert("RGB").resize((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), box=box))
