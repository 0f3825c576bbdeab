"""The tab that looks inside the networks, at the photo of Classify."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData
from PIL import Image

from normzoo.app.components import cubes
from normzoo.app.components.charts import as_plot
from normzoo.app.components.data_urls import png_url
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import check_choice, guarded
from normzoo.app.core.events import INSIGHT
from normzoo.app.core.upload import open_photo, photo_name
from normzoo.app.core.work import computing
from normzoo.app.tabs.inside import explorer, features, turning
from normzoo.app.tabs.inside.gates import explain_gates
from normzoo.images.preprocess import to_pixels
from normzoo.inference.value_trace import LayerActivations, LayerGates, layer_activations, layer_gates
from normzoo.plotting import activations as insight_charts
from normzoo.plotting.activations import QUANTITIES
from normzoo.pretrained.registry import Model, ModelSet
from normzoo.variants import short_name

FIRST_QUANTITY = "spread"
NO_PHOTO = '<p class="hint">There is no photo. Add one under Classify, or choose one of the examples there.</p>'
OPENING = '<p class="hint">Looking inside…</p>'

CUBES = """
<h2>What each norm averages over</h2>
<p class="explanation">A cube holds the values between two layers: N photos of a batch, C channels, H×W pixels. The coloured
ones share one mean and one variance; so do those of every other photo, group or channel, each for itself. A norm that averages
over N does that while it learns. To answer, it takes the averages that it has_running_statistics, so one photo is enough.</p>
"""
LAYERS = """
<h2>Through the layers</h2>
<p class="explanation">All values of this photo in front of each norm layer, and behind it. Where there is no norm, both charts
show the same, and nothing keeps the values from growing or shrinking from layer to layer. A norm over one photo brings every
photo to mean 0 and spread 1, and then applies the weight and bias that it learned. Batch norm, which has_running_statistics
averages, brings all photos taken together there; a single one lies beside it and is mostly narrower.</p>
"""
GATES = "<h2>Learned gates</h2>"


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab. What depends on the photo is computed when somebody opens it, not for everyone who has a photo."""
    photo = gr.HTML(OPENING, js_on_load=None, elem_id="inside-photo")
    gr.HTML(CUBES, js_on_load=None, elem_classes="section")
    shapes = gr.HTML(cubes.draw(default, main_variants_of(default)), js_on_load=None, elem_id="cubes")
    explorer.build(catalog, default, chooser)
    gr.HTML(LAYERS, js_on_load=None, elem_classes="section")
    choices = [(quantity.title, key) for key, quantity in QUANTITIES.items()]
    quantity = gr.Radio(choices, value=FIRST_QUANTITY, label="What is shown", elem_id="quantity")
    with gr.Row():
        plots = [_place_plot(side, f"{side.capitalize()} the norm") for side in ("before", "after")]
    words = gr.HTML(js_on_load=None, elem_id="layers-text")
    gr.HTML(GATES, js_on_load=None, elem_classes="section")
    gates_words = gr.HTML(js_on_load=None, elem_id="gates-text")
    gates = gr.Plot(show_label=False, container=False, elem_id="gates", elem_classes="chart", visible=False)
    numbers = gr.JSON(visible=False)

    @guarded
    def inside(
        photo: dict[str, Any] | None, model_set: str, variants: list[str] | None, quantity: str
    ) -> tuple[str, str, PlotData | None, PlotData | None, str, str, Any, dict[str, Any]]:
        """What goes on inside the networks for a photo.

        quantity: spread or mean. Gives HTML and plotly figures for the page; last the same as data: for each network the mean
        and spread of its activations before and after every norm layer, and its gates where it has some.
        """
        chosen_set = catalog.get(model_set)
        shown = chosen(chosen_set, variants)
        drawing = cubes.draw(chosen_set, shown)
        check_choice("quantity", quantity, QUANTITIES)
        picture = open_photo(photo)
        models, _ = catalog.load(chosen_set, shown)
        if picture is None or not models:
            nothing = NO_PHOTO if picture is None else NO_NETWORKS
            return nothing, drawing, None, None, "", "", gr.Plot(visible=False), {}
        with computing():
            layers = {variant: layer_activations(model, picture) for variant, model in models.items()}
        gated = {variant: layer_gates(model.network) for variant, model in models.items()}
        gated = {variant: found for variant, found in gated.items() if found}
        before, after = (as_plot(figure) for figure in insight_charts.around_norms(layers, QUANTITIES[quantity]))
        return (
            show_photo(picture, photo_name(photo), next(iter(models.values()))),
            drawing,
            before,
            after,
            tell_ends(layers, quantity),
            explain_gates({variant: models[variant].config.norm for variant in gated}, gated),
            gr.Plot(as_plot(insight_charts.gates(gated)), visible=bool(gated)),
            {variant: as_data(layers[variant], gated.get(variant, [])) for variant in layers},
        )

    chooser.follow(
        inside,
        [chooser.photo, *chooser.inputs, quantity],
        [photo, shapes, *plots, words, gates_words, gates, numbers],
        also=[quantity.input],
        on_open=True,
        api_name="inside",
        **INSIGHT,
    )
    turning.build(catalog, chooser)
    features.build(catalog, default, chooser)


def show_photo(photo: Image.Image, name: str, model: Model) -> str:
    """Which photo this tab is about, as HTML."""
    size = model.config.image_size
    return render("inside_photo.html", picture=png_url(to_pixels(photo, size)), name=name, size=size)


def tell_ends(layers: Mapping[str, Sequence[LayerActivations]], quantity: str) -> str:
    """What comes to the first norm and to the last, for those who cannot see the chart; as HTML."""
    field = QUANTITIES[quantity].field
    values = ", ".join(
        f"{short_name(variant)} {getattr(seen[0].before, field):.2f} → {getattr(seen[-1].before, field):.2f}"
        for variant, seen in layers.items()
    )
    told = f"{quantity.capitalize()} before the first norm → before the last: {values}."
    return render("paragraphs.html", paragraphs=[told], is_status=False)


def as_data(layers: Sequence[LayerActivations], gates: Sequence[LayerGates]) -> dict[str, Any]:
    """One network, for the API."""
    return {
        "layers": [
            {
                "layer": layer.layer,
                "mean_before": round(layer.before.mean, 6),
                "sd_before": round(layer.before.sd, 6),
                "mean_after": round(layer.after.mean, 6),
                "sd_after": round(layer.after.sd, 6),
            }
            for layer in layers
        ],
        "gates": [{"layer": layer.layer, "values": layer.values.round(6).tolist()} for layer in gates],
    }


def _place_plot(elem_id: str, title: str) -> gr.Plot:
    with gr.Column(min_width=300):
        gr.HTML(f"<h3>{title}</h3>", js_on_load=None)
        return gr.Plot(show_label=False, container=False, elem_id=elem_id, elem_classes="chart")
