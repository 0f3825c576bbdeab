"""The part of Inside that shows the feature maps of one block, for two networks side by side."""

import math
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from normzoo.app.components import cards
from normzoo.app.components.data_urls import png_url
from normzoo.app.components.html import render
from normzoo.app.core.catalog import Catalog, main_variants_of, variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import check_choice, guarded
from normzoo.app.core.events import INSIGHT
from normzoo.app.core.upload import open_photo
from normzoo.app.core.work import computing
from normzoo.inference.value_trace import FeatureMaps, blocks, feature_maps
from normzoo.plotting.style import style_of
from normzoo.pretrained.registry import Model, ModelSet
from normzoo.variants import short_name

COLUMNS = 8

INTRODUCTION = """
<h2>Feature maps</h2>
<p class="explanation">What a block hands to the next one: a small picture for each channel. Black is 0, white the strongest
value of that network in this block; the grey between goes by the square root, so that weak values show. Two networks' channels
at the same place have nothing to do with each other.</p>
"""


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the part and set up its events."""
    gr.HTML(INTRODUCTION, js_on_load=None, elem_classes="section")
    with gr.Row():
        controls = [gr.Dropdown(**settings) for settings in _controls(catalog, default)]
    shown = gr.HTML(js_on_load=None, elem_id="features")

    @guarded
    def compare(photo: dict[str, Any] | None, model_set: str, block: str, left: str, right: str) -> str:
        """The feature maps of one block for a photo, of two networks side by side, as HTML.

        block: such as "stage 1, block 1". left, right: variants of the model set, such as bn.
        """
        picture = open_photo(photo)
        chosen_set = catalog.get(model_set)
        return "" if picture is None else draw(catalog, chosen_set, picture, block, left, right)

    chooser.follow(
        compare,
        [chooser.photo, chooser.model_set, *controls],
        shown,
        choices=["set"],
        also=[*(control.input for control in controls)],
        on_open=True,
        api_name="feature_maps",
        **INSIGHT,
    )
    chooser.list_of_set(lambda other: [gr.Dropdown(**settings) for settings in _controls(catalog, other)], controls)


def draw(catalog: Catalog, model_set: ModelSet, photo: Image.Image, block: str, left: object, right: object) -> str:
    """Both networks' maps, as HTML.

    Raises:
        ConfigError: no such variant or block.
    """
    sides = [_side(catalog, model_set, photo, block, variant) for variant in (left, right)]
    return f'<div class="features">{"".join(sides)}</div>'


def mosaic(values: np.ndarray) -> np.ndarray:
    """Maps side by side in rows of `COLUMNS`, grey by the square root, white the greatest value of all, see-through between.

    Args:
        values: at least 0, (C, h, w).

    Returns:
        uint8, (rows·(h+1) - 1, COLUMNS·(w+1) - 1, 4).
    """
    count, height, width = values.shape
    greatest = float(values.max())
    grey = np.round(255 * np.sqrt(values / greatest)) if greatest > 0 else np.zeros_like(values)
    rows = math.ceil(count / COLUMNS)
    canvas = np.zeros((rows * (height + 1), COLUMNS * (width + 1), 4), np.uint8)
    for number, tile in enumerate(grey):
        top, start = number // COLUMNS * (height + 1), number % COLUMNS * (width + 1)
        canvas[top : top + height, start : start + width, :3] = tile[..., None]
        canvas[top : top + height, start : start + width, 3] = 255
    return canvas[:-1, :-1]


def _side(catalog: Catalog, model_set: ModelSet, photo: Image.Image, block: str, variant: object) -> str:
    variant = check_choice("network", variant, variants_of(model_set))
    models, problems = catalog.load(model_set, [variant])
    if variant in problems:
        return f'<figure style="--variant: {style_of(variant).colour}">{cards.unavailable(problems)}</figure>'
    with computing():
        maps = feature_maps(models[variant], photo, block)
    return _figure(models[variant], maps)


def _figure(model: Model, maps: FeatureMaps) -> str:
    count, height, width = maps.values.shape
    words = f"{count} maps of {height}×{width}; strongest value {maps.values.max():.2f}; {maps.silent} are 0 everywhere"
    return render("features.html", variant=model.variant, block=maps.block, words=words, picture=png_url(mosaic(maps.values)))


def _controls(catalog: Catalog, model_set: ModelSet) -> list[dict[str, Any]]:
    """The settings of the three dropdowns for a model set: its blocks, and its networks twice."""
    models, _ = catalog.load(model_set, main_variants_of(model_set)[:2])
    names = list(blocks(next(iter(models.values())).network)) if models else []
    networks = [(short_name(variant), variant) for variant in variants_of(model_set)]
    first, second = (main_variants_of(model_set) * 2)[:2] if networks else (None, None)
    return [
        {"choices": [(name.capitalize(), name) for name in names], "value": next(iter(names), None), "label": "Block"},
        {"choices": networks, "value": first, "label": "Left"},
        {"choices": networks, "value": second, "label": "Right"},
    ]
