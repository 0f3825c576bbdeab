"""The part of Classify that shows which parts of the photo speak for an answer: class-activation maps."""

from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from normzoo.app.components.data_urls import jpeg_url, png_url
from normzoo.app.components.html import render
from normzoo.app.core.batching import COMPUTING
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import INSIGHT, Part
from normzoo.app.core.upload import open_photo
from normzoo.inference.class_activation import ActivationMap, activation_maps
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

OWN_ANSWER = "Each network's own answer"
PHOTO_PIXELS = 192
#: Colour-blind people can tell these two apart.
FOR, AGAINST = (178, 24, 43), (33, 102, 172)
STRONGEST_OPACITY = 0.85

INTRODUCTION = """
<h2>What in the photo speaks for it?</h2>
<p class="explanation">Each network ends by averaging its last feature maps and weighing them. So its score for a class, the
logit, is exactly a sum over places in the photo and one number, the bias, that no photo changes.</p>
"""


def build(catalog: Catalog, default: ModelSet, example: Image.Image) -> tuple[gr.Dropdown, gr.HTML]:
    """Place the part, with the maps of the example in it; `follow` sets up its events."""
    gr.HTML(INTRODUCTION, js_on_load=None, elem_classes="section")
    wanted = gr.Dropdown([OWN_ANSWER, *classes_of(default)], value=OWN_ANSWER, label="Class to explain", elem_id="map-class")
    start, _ = draw(catalog, default, main_variants_of(default), example, OWN_ANSWER)
    return wanted, gr.HTML(start, js_on_load=None, elem_id="maps")


def follow(catalog: Catalog, chooser: Chooser, wanted: gr.Dropdown, shown: gr.HTML) -> Part:
    """Draw the maps anew when another class is to be explained; gives what a new answer to a photo has to start."""
    numbers = gr.JSON(visible=False)

    @guarded
    def explain(
        photo: dict[str, Any] | None, model_set: str, variants: list[str] | None, label: str | None
    ) -> tuple[str, dict[str, Any]]:
        """Class-activation maps: what each part of a photo adds to each network's logit of a class.

        label: a class that the networks know; empty for the one that each finds most probable. Gives HTML for the page, and
        the same as data: the map, (h, w), and the bias, which together sum to the logit.
        """
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        if picture is None:
            return "", {}
        return draw(catalog, chosen_set, chosen(chosen_set, variants), picture, label)

    part = chooser.follow(
        explain,
        [chooser.photo, *chooser.inputs, wanted],
        [shown, numbers],
        choices=(),
        also=[wanted.input],
        api_name="activation_maps",
        show_progress_on=shown,
        **INSIGHT,
    )
    chooser.list_of_set(lambda other: [gr.Dropdown([OWN_ANSWER, *classes_of(other)], value=OWN_ANSWER)], [wanted])
    return part


def draw(
    catalog: Catalog, model_set: ModelSet, variants: list[str], photo: Image.Image, label: str | None
) -> tuple[str, dict[str, Any]]:
    """The maps of all networks on one scale, as HTML, and as data for the API.

    Raises:
        ConfigError: the networks do not know the class.
    """
    models, _ = catalog.load(model_set, variants)
    with COMPUTING:
        maps = activation_maps(models, photo, None if label in (None, "", OWN_ANSWER) else label)
    if not maps:
        return "", {}
    strongest = max(float(np.abs(found.evidence).max()) for found in maps.values())
    square = _square(photo)
    height, width = next(iter(maps.values())).evidence.shape
    shown = [
        {"found": found, "url": png_url(overlay(found.evidence, strongest)), "where": _strongest_place(found)}
        for found in maps.values()
    ]
    return (
        render("maps.html", photo_url=jpeg_url(square), maps=shown, strongest=f"{strongest:.2f}", size=f"{height}×{width}"),
        {variant: _as_data(found) for variant, found in maps.items()},
    )


def overlay(evidence: np.ndarray, strongest: float) -> np.ndarray:
    """Evidence as colours to lay over a photo: what is for the class red, against it blue, the more the less see-through.

    Returns:
        uint8, (h, w, 4).
    """
    share = evidence / strongest if strongest > 0 else np.zeros_like(evidence)
    colours = np.where(share[..., None] >= 0, np.array(FOR), np.array(AGAINST))
    opacity = np.round(255 * STRONGEST_OPACITY * np.abs(share))[..., None]
    return np.concatenate([colours, opacity], axis=-1).astype(np.uint8)


def _strongest_place(found: ActivationMap) -> str:
    height, width = found.evidence.shape
    row, column = divmod(int(found.evidence.argmax()), width)
    return _where(row / height, column / width)


def _where(down: float, right: float) -> str:
    """A place in words; fractions of the height and the width."""
    rows = ("at the top", "in the middle", "at the bottom")
    columns = ("left", "", "right")
    words = f"{rows[min(2, int(3 * down))]} {columns[min(2, int(3 * right))]}".strip()
    return "in the centre" if words == "in the middle" else words


def _square(photo: Image.Image) -> Image.Image:
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    size = (min(side, PHOTO_PIXELS),) * 2
    return photo.resize(size, Image.Resampling.BOX, box=(left, top, left + side, top + side))


def _as_data(found: ActivationMap) -> dict[str, Any]:
    return {
        "name": short_name(found.variant),
        "class": found.label,
        "probability": round(found.probability, 6),
        "logit": round(found.logit, 6),
        "bias": round(found.bias, 6),
        "map": found.evidence.round(6).tolist(),
    }
