"""The part of Inside that follows one value through each norm: its controls and its events."""

import functools
from pathlib import Path
from typing import Any

import gradio as gr

from normzoo.app.components import downloads
from normzoo.app.components.html import SORT_SCRIPT, unavailable
from normzoo.app.core.catalog import Catalog, main_variants_of, variants_of
from normzoo.app.core.controls import INSIGHT, UNDOCUMENTED, Chooser, Linked
from normzoo.app.core.errors import check_choice
from normzoo.app.tabs.inside import explorer_view as view
from normzoo.app.tabs.inside.explorer_view import BRIGHTNESS, CONTRAST, PHOTOS, Scene, look
from normzoo.errors import CheckpointError, ConfigError
from normzoo.inference.value_trace import Position, norm_layers, normalized_values
from normzoo.nn.registry import NORM_LAYERS
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

FIRST_NORM = "bn"
FIRST_CHANNEL, FIRST_PLACE = 4, 16  # one in which the photos differ much; the middle

INTRODUCTION = """
<h2>Follow a value</h2>
<p class="hint-line">Click a pixel: x is its activation in this network, before a norm layer. Maps that share its mean
light up.</p>
"""
NO_PHOTO = "There is no photo to save a picture of; choose one first."
#: Where `tell` has nothing to tell of.
NOTHING: tuple[str, str, str, dict[str, object]] = ("", "", "", {})

_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
_MARK = '(...chosen) => { document.dispatchEvent(new CustomEvent("value-chosen", {detail: chosen})); }'


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the part and set up its events."""
    gr.HTML(INTRODUCTION, js_on_load=None, elem_classes="section")
    with gr.Row():
        network, layer = (gr.Dropdown(**settings) for settings in _controls(catalog, default))
        norm = gr.Radio(
            [(short_name(key), key) for key in NORM_LAYERS],
            value=FIRST_NORM,
            label="Norm applied to x",
            scale=2,
            min_width=280,
            elem_id="explorer-norm",
        )
    with gr.Row(elem_classes="explorer-row"):
        with gr.Column(scale=5, min_width=300):
            maps = gr.HTML(js_on_load=None, elem_id="explorer-maps", label="maps")
        with gr.Column(scale=2, min_width=280):
            said = gr.HTML(js_on_load=None, elem_id="explorer-said", label="report")
    with gr.Row():
        position = [
            gr.Number(value, label=name, minimum=1, maximum=most, precision=0, min_width=70)
            for name, value, most in (
                ("Photo", 1, PHOTOS),
                ("Channel", FIRST_CHANNEL, None),
                ("Row", FIRST_PLACE, None),
                ("Column", FIRST_PLACE, None),
            )
        ]
    save_place = gr.Column()
    with gr.Accordion("All norms as a table", open=False):
        table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="explorer-table", label="table")
    with gr.Accordion("Change photo 1", open=False):
        with gr.Row():
            changes = [
                gr.Slider(least, most, value=100, step=5, label=f"{name} of photo 1 (%)", min_width=200)
                for name, (least, most) in (("Brightness", BRIGHTNESS), ("Contrast", CONTRAST))
            ]
        pictures = gr.HTML(js_on_load=None, elem_id="explorer-pictures", label="pictures")
    numbers = gr.JSON(visible=False, label="values")
    clicks = gr.HTML(None, html_template="", js_on_load=_SCRIPT, elem_classes="unseen")
    about = [chooser.photo, chooser.model_set, network, layer, *changes]

    def scene_of(
        photo: dict[str, Any] | None, model_set: str, network: object, layer: str, brightness: object, contrast: object
    ) -> Scene | None:
        chosen_set = catalog.get(model_set)
        network = check_choice("network", network, variants_of(chosen_set))
        models, problems = catalog.load(chosen_set, [network])
        if problems:
            raise CheckpointError(problems[network])
        return look(photo, models[network], layer, brightness, contrast)

    def value_maps(
        photo: dict[str, Any] | None,
        model_set: str,
        network: str,
        layer: str,
        brightness: float,
        contrast: float,
        at: float,
        channel: float,
        row: float,
        column: float,
        norm: str,
    ) -> list[Any]:
        """The activations of four photos before a norm layer, and what each norm makes of one of them.

        Takes what follow_value takes. Gives the maps as HTML, and the place of the value, moved into them if it lies outside;
        then what follow_value gives about that place.
        """
        check_choice("norm", norm, NORM_LAYERS)
        try:
            scene = scene_of(photo, model_set, network, layer, brightness, contrast)
        except CheckpointError as error:
            return [unavailable({network: str(error)}), *[gr.skip()] * 4, *NOTHING]
        if scene is None:
            return ["", *[gr.skip()] * 4, *NOTHING]
        asked = [at, channel, row, column]
        inside = [
            int(min(number, most)) if isinstance(number, int | float) and number >= 1 else 1
            for number, most in zip(asked, scene.x.shape, strict=True)
        ]
        updates = [
            gr.Number(maximum=most) if place == number else gr.Number(place, maximum=most)
            for number, place, most in zip(asked, inside, scene.x.shape, strict=True)
        ]
        place = scene.position(inside)
        return [view.maps(scene, place), *updates, *tell(scene, place, norm)]

    def follow_value(
        photo: dict[str, Any] | None,
        model_set: str,
        network: str,
        layer: str,
        brightness: float,
        contrast: float,
        at: float,
        channel: float,
        row: float,
        column: float,
        norm: str,
    ) -> tuple[Any, ...]:
        """What each norm makes of one value before a norm layer of a network.

        The photo and the first three other examples are the batch. network: the variant whose layers are taken. layer: such
        as "stage 2, block 1, norm 1". brightness, contrast: of the first photo, in per cent. at, channel, row, column: the
        place of the value, from 1 on; at is the photo's number. norm: the one to explain. Gives HTML for the page; last the
        same as data: for each norm the sets that share a mean, the numbers and the result.
        """
        check_choice("norm", norm, NORM_LAYERS)
        if None in (at, channel, row, column):  # while somebody types
            return (gr.skip(),) * 4
        try:
            scene = scene_of(photo, model_set, network, layer, brightness, contrast)
        except CheckpointError:
            scene = None  # said where the maps would be
        return NOTHING if scene is None else tell(scene, scene.position([at, channel, row, column]), norm)

    choices = [network, layer, *position, norm, *changes]

    def make(photo: dict[str, Any] | None, model_set: str, *rest: Any) -> tuple[str, bytes]:
        network, layer, *at, norm, brightness, contrast, to = rest
        scene = scene_of(photo, model_set, network, layer, brightness, contrast)
        if scene is None:
            raise ConfigError(NO_PHOTO)
        return view.as_file(scene, scene.position(at), norm, model_set, to)

    with save_place:
        downloads.build(make, [chooser.photo, chooser.model_set, *choices], "value", said, ("png", "svg"))

    inputs, telling = [*about, *position, norm], [said, table, pictures, numbers]
    told = chooser.follow(
        follow_value,
        inputs,
        telling,
        choices=(),
        also=[norm.input, *(number.input for number in (position[0], *position[2:]))],
        show_progress_on=said,
        **INSIGHT,
    )
    drawn = chooser.follow(
        value_maps,
        inputs,
        [maps, *position, *telling],
        choices=["set"],
        also=[network.input, layer.input, position[1].input, *(slider.input for slider in changes)],
        on_open=True,
        show_progress_on=maps,
        **INSIGHT,
    )
    drawn.event.success(None, [*position, norm], None, js=_MARK, api_name="mark_value", **UNDOCUMENTED)
    gr.on(
        [norm.change, *(number.change for number in position)],
        None,
        [*position, norm],
        None,
        js=_MARK,
        api_name="move_value",
        **UNDOCUMENTED,
    )
    clicks.select(
        None,
        clicks,
        [*position, told.starter],
        js="({photo, channel, row, column}) => [photo, channel, row, column, Math.random()]",
        api_name="choose_value",
        **UNDOCUMENTED,
    )
    settings = functools.partial(_controls, catalog)
    chooser.add_to_link(Linked("value", [told.event, drawn.event], choices, settings=settings))


def tell(scene: Scene, place: Position, norm: str) -> tuple[str, str, str, dict[str, object]]:
    """What each norm makes of one value: in words, as a table, as pictures, as data."""
    values = normalized_values(scene.norm_layer, scene.x, place)
    return (
        view.said(scene, place, norm, values),
        view.table(scene, values),
        view.change(scene, place) + view.pictures(scene, place),
        view.as_data(values),
    )


def _controls(catalog: Catalog, model_set: ModelSet) -> list[dict[str, Any]]:
    """The settings of the two dropdowns for a model set: its networks, and their norm layers."""
    names = main_variants_of(model_set)
    first = FIRST_NORM if FIRST_NORM in names else next(iter(names), None)
    models, _ = catalog.load(model_set, names)
    layers = list(norm_layers(next(iter(models.values())).network)) if models else []
    networks = [(short_name(variant), variant) for variant in variants_of(model_set)]
    return [
        {"choices": networks, "value": first, "label": "Network that computes x", "min_width": 120},
        {"choices": [(name.capitalize(), name) for name in layers], "value": next(iter(layers), None), "label": "Before layer"},
    ]
