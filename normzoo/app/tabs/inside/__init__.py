"""The tab Inside: one value through each norm (`explorer`), then what is folded: layers, gates, feature maps, interventions."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
from gradio.components.plot import PlotData
from PIL import Image

from normzoo.app.components import charts, cubes
from normzoo.app.components.charts import as_plot
from normzoo.app.components.downloads import csv_link
from normzoo.app.components.html import NO_NETWORKS, SORT_SCRIPT, png_url, render, sortable, tiles, unavailable
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of, variants_of
from normzoo.app.core.controls import INSIGHT, Chooser, Linked
from normzoo.app.core.errors import check_choice
from normzoo.app.core.upload import open_photo
from normzoo.app.core.work import computing
from normzoo.app.tabs.inside import explorer
from normzoo.formatting import capital
from normzoo.images.corruptions import SEVERITIES, check_corruption, corrupt
from normzoo.images.preprocess import to_pixels
from normzoo.inference.predict import predict_many
from normzoo.inference.value_trace import (
    BORDERS,
    LayerActivations,
    LayerGates,
    altered,
    blocks,
    feature_maps,
    layer_activations,
    layer_gates,
)
from normzoo.nn.norms import gates as gates_of
from normzoo.plotting import plotly
from normzoo.plotting.spec import Axis, Chart, Panel, Series, series, style_of
from normzoo.pretrained.registry import Model, ModelSet
from normzoo.variants import short_name

COLUMNS = 8
#: Key -> title, field of `value_trace.Moments`.
QUANTITIES = {"spread": ("Spread (standard deviation)", "sd"), "mean": ("Mean", "mean")}
NO_PHOTO = '<p class="hint">There is no photo. Choose one under Compare.</p>'
NO_GATES = '<p class="hint">None of these networks has gates.</p>'
CUBES = '<p class="hint-line">Lit: values that share one mean in training.</p>'
LAYERS = """
<p class="explanation">Activations of this photo before and after each norm layer. Without a norm both charts are the same, and
nothing keeps the values from growing or shrinking. Norms with running statistics bring the training images as a whole to
mean 0 and standard deviation 1; the values of a single image usually vary less.</p>
"""
FEATURES = """
<p class="explanation">The output of a block, one image per channel: black is 0, white the strongest activation, on a
square-root scale. The channels of two networks do not correspond.</p>
"""
INTERVENTIONS = """
<p class="explanation">Move the gates of batch-instance normalization towards 0 (instance) or 1 (batch). Or replace the zero
padding of the convolutions: through this border the contrast of a photo still reaches networks with instance normalization. The
stored weights stay as they are.</p>
"""

Answer = Mapping[str, tuple[str, float]]


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab. What is folded is computed when somebody opens it."""
    explorer.build(catalog, default, chooser)
    gr.HTML(CUBES, js_on_load=None)
    shapes = gr.HTML(cubes.draw(default, main_variants_of(default)), js_on_load=None, elem_id="cubes", label="cubes")
    chooser.list_of_set(lambda other: [cubes.draw(other, main_variants_of(other))], [shapes])
    _build_layers(catalog, chooser)
    _build_features(catalog, default, chooser)
    _build_interventions(catalog, chooser)


def _build_layers(catalog: Catalog, chooser: Chooser) -> None:
    with gr.Accordion("Layers and gates", open=False) as fold:
        gr.HTML(LAYERS, js_on_load=None)
        quantities = [(title, key) for key, (title, _) in QUANTITIES.items()]
        quantity = gr.Radio(quantities, value="spread", label="Quantity", elem_id="quantity")
        with gr.Row():
            plots = []
            for side in ("before", "after"):
                with gr.Column(min_width=300):
                    gr.HTML(f"<h3>{side.capitalize()} the norm</h3>", js_on_load=None)
                    plots.append(charts.place(side, f"{side}_figure"))
        words = gr.HTML(js_on_load=None, elem_id="layers-text", label="report")
        gates_words = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="gates-text", label="gates_report")
        gates = charts.place("gates", "gates_figure", visible=False)
    numbers = gr.JSON(visible=False, label="activations")

    def layers(
        photo: dict[str, Any] | None, model_set: str, variants: list[str] | None = None, quantity: str = "spread"
    ) -> tuple[PlotData | None, PlotData | None, str, str, Any, dict[str, Any]]:
        """What goes on inside the networks for a photo.

        quantity: spread or mean. Gives HTML and plotly figures for the page; last the same as data: for each network the mean
        and standard deviation of its activations before and after every norm layer, and its gates where it has some.
        """
        chosen_set = catalog.get(model_set)
        shown = chosen(chosen_set, variants)
        check_choice("quantity", quantity, QUANTITIES)
        picture = open_photo(photo)
        models, _ = catalog.load(chosen_set, shown)
        if picture is None or not models:
            nothing = NO_PHOTO if picture is None else NO_NETWORKS
            return None, None, nothing, "", gr.Plot(visible=False), {}
        with computing():
            seen = {variant: layer_activations(model, picture) for variant, model in models.items()}
        gated = {variant: found for variant, model in models.items() if (found := layer_gates(model.network))}
        before, after = (as_plot(plotly.draw(chart)) for chart in chart_moments(seen, quantity))
        return (
            before,
            after,
            tell_ends(seen, quantity),
            tabulate_gates(gated),
            gr.Plot(as_plot(plotly.draw(chart_gates(gated))), visible=bool(gated)),
            {variant: as_data(seen[variant], gated.get(variant, [])) for variant in seen},
        )

    def inside(
        photo: dict[str, Any] | None, model_set: str, variants: list[str] | None = None, quantity: str = "spread"
    ) -> tuple[Any, ...]:
        """Deprecated, use layers: before what it gives come the photo, which is empty now, and the cubes, as HTML."""
        chosen_set = catalog.get(model_set)
        return "", cubes.draw(chosen_set, chosen(chosen_set, variants)), *layers(photo, model_set, variants, quantity)

    inputs = [chooser.photo, *chooser.inputs, quantity]
    named = [(type(each), str(each.label)) for each in (*plots, words, gates_words, gates, numbers)]
    chooser.offer(inside, inputs, [(gr.HTML, "photo"), (gr.HTML, "cubes"), *named])
    shown = chooser.follow(
        layers,
        inputs,
        [*plots, words, gates_words, gates, numbers],
        also=[quantity.input, fold.expand],
        on_open=True,
        place="#layers-text",
        **INSIGHT,
    )
    chooser.add_to_link(Linked("layers", [shown.event], [quantity]))


def chart_moments(layers: Mapping[str, Sequence[LayerActivations]], quantity: str) -> tuple[Chart, Chart]:
    """One quantity at every depth, before and after the norm: two charts with the same scale, a line per variant."""
    (title, field), is_log = QUANTITIES[quantity], quantity == "spread"
    sides = [
        {variant: [getattr(getattr(layer, side), field) for layer in seen] for variant, seen in layers.items()}
        for side in ("before", "after")
    ]
    axis = Axis(title, is_log=is_log, limits=_limits([y for lines in sides for line in lines.values() for y in line], is_log))
    panels = [Panel(tuple(series(variant, range(len(y)), y) for variant, y in lines.items())) for lines in sides]
    before, after = (Chart(title, _depth(layers), axis, (panel,), digits=3) for panel in panels)
    return before, after


def chart_gates(layers: Mapping[str, Sequence[LayerGates]]) -> Chart:
    """Every gate as a dot at its depth, beside those of the same layer, and the mean of each layer as a line."""
    shown = list[Series]()
    for variant, gated in layers.items():
        places = np.concatenate([place + np.linspace(-0.3, 0.3, len(layer.values)) for place, layer in enumerate(gated)])
        dots = {"name": f"{style_of(variant).name}: each channel", "dash": None, "is_faint": True}
        shown.append(series(variant, places.tolist(), np.concatenate([layer.values for layer in gated]).tolist(), **dots))
        means = [layer.mean for layer in gated]
        shown.append(series(variant, range(len(gated)), means, name=f"{style_of(variant).name}: mean"))
    return Chart("Gates", _depth(layers), Axis("Gate", limits=(-0.03, 1.03)), (Panel(tuple(shown)),), digits=3)


def _depth(layers: Mapping[str, Sequence[LayerActivations | LayerGates]]) -> Axis:
    """The norm layers from first to last: "2.1 norm 1" is in stage 2, block 1."""
    names = next(([layer.layer for layer in seen] for seen in layers.values()), [])
    short = (name.removeprefix("stage ").replace(", block ", ".").replace(", norm", " norm") for name in names)
    return Axis("Norm layer, first to last", names=tuple(short))


def _limits(values: Sequence[float], is_log: bool) -> tuple[float, float]:
    """Ends of an axis with all values and a margin."""
    shown = [math.log10(value) for value in values if value > 0] if is_log else list(values)
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    air = 0.06 * (high - low) or 0.5
    return (10 ** (low - air), 10 ** (high + air)) if is_log else (low - air, high + air)


def tell_ends(layers: Mapping[str, Sequence[LayerActivations]], quantity: str) -> str:
    """What comes to the first norm and to the last, for those who cannot see the chart; as HTML."""
    title, field = QUANTITIES[quantity]
    values = ", ".join(
        f"{short_name(variant)} {getattr(seen[0].before, field):.2f} → {getattr(seen[-1].before, field):.2f}"
        for variant, seen in layers.items()
    )
    told = f"{title}, before the first norm → before the last: {values}."
    return render("paragraphs.html", paragraphs=[told], is_status=False)


def tabulate_gates(gated: Mapping[str, Sequence[LayerGates]]) -> str:
    """How the gates of each network that has some ended, as an HTML table.

    Args:
        gated: variant -> as `layer_gates` gives them.
    """
    values = {variant: np.concatenate([layer.values for layer in layers]) for variant, layers in gated.items()}
    numbers = pd.DataFrame(
        {
            "Network": [short_name(variant) for variant in gated],
            "Gates": [each.size for each in values.values()],
            "Mean, first layer": [layers[0].mean for layers in gated.values()],
            "Mean, last layer": [layers[-1].mean for layers in gated.values()],
            "Smallest": [each.min() for each in values.values()],
            "At 0 (%)": [100 * (each <= 0).mean() for each in values.values()],
            "At 1 (%)": [100 * (each >= 1).mean() for each in values.values()],
        }
    )
    texts = numbers.map(lambda value: f"{value:.2g}" if isinstance(value, float) else f"{value}")
    return sortable(numbers, texts, "Learned gates, one per channel (1: all batch, 0: all instance)") if gated else NO_GATES


def as_data(layers: Sequence[LayerActivations], gates: Sequence[LayerGates]) -> dict[str, Any]:
    """One network, for the API."""
    return {
        "layers": [
            {"layer": layer.layer}
            | {
                f"{name}_{side}": round(getattr(getattr(layer, side), name), 6)
                for side in ("before", "after")
                for name in ("mean", "sd")
            }
            for layer in layers
        ],
        "gates": [{"layer": layer.layer, "values": layer.values.round(6).tolist()} for layer in gates],
    }


def _build_features(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    with gr.Accordion("Feature maps", open=False) as fold:
        gr.HTML(FEATURES, js_on_load=None)
        with gr.Row():
            controls = [gr.Dropdown(**settings) for settings in _feature_controls(catalog, default)]
        shown = gr.HTML(js_on_load=None, elem_id="features", label="report")

    def compare(photo: dict[str, Any] | None, model_set: str, block: str, left: str, right: str) -> str:
        """The feature maps of one block for a photo, of two networks side by side, as HTML.

        block: such as "stage 1, block 1". left, right: variants of the model set, such as bn.
        """
        picture = open_photo(photo)
        chosen_set = catalog.get(model_set)
        return "" if picture is None else draw_features(catalog, chosen_set, picture, block, left, right)

    compared = chooser.follow(
        compare,
        [chooser.photo, chooser.model_set, *controls],
        shown,
        choices=["set"],
        also=[*(control.input for control in controls), fold.expand],
        on_open=True,
        place="#features",
        api_name="feature_maps",
        **INSIGHT,
    )
    settings = functools.partial(_feature_controls, catalog)
    chooser.add_to_link(Linked("features", [compared.event], controls, settings=settings))


def draw_features(catalog: Catalog, model_set: ModelSet, photo: Image.Image, block: str, left: object, right: object) -> str:
    """Both networks' maps, as HTML."""
    sides = [_side(catalog, model_set, photo, block, variant) for variant in (left, right)]
    return f'<div class="features">{"".join(sides)}</div>'


def _side(catalog: Catalog, model_set: ModelSet, photo: Image.Image, block: str, variant: object) -> str:
    variant = check_choice("network", variant, variants_of(model_set))
    models, problems = catalog.load(model_set, [variant])
    if variant in problems:
        return f'<figure style="--variant: {style_of(variant).colour}">{unavailable(problems)}</figure>'
    with computing():
        maps = feature_maps(models[variant], photo, block)
    (count, height, width), strongest = maps.values.shape, float(maps.values.max())
    words = f"{count} maps of {height}×{width}; strongest {strongest:.2f}; {maps.silent} are 0 everywhere"
    picture = png_url(tiles(np.round(255 * np.sqrt(maps.values / (strongest or 1))).astype(np.uint8), COLUMNS))
    return render("features.html", variant=variant, block=maps.block, words=words, picture=picture)


def _feature_controls(catalog: Catalog, model_set: ModelSet) -> list[dict[str, Any]]:
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


def _build_interventions(catalog: Catalog, chooser: Chooser) -> None:
    with gr.Accordion("Interventions", open=False) as fold:
        gr.HTML(INTERVENTIONS, js_on_load=None)
        with gr.Row():
            label = "Gates (−1: all instance, 0: as learned, 1: all batch)"
            shift = gr.Slider(-1, 1, value=0, step=0.05, label=label, min_width=260, elem_id="gate-shift")
            severity = gr.Slider(
                0,
                SEVERITIES[-1],
                value=0,
                step=1,
                label="Less contrast (severity, 0: original)",
                min_width=260,
                elem_id="turned-severity",
            )
        borders = [(capital(words), key) for key, words in BORDERS.items()]
        border = gr.Radio(borders, value="zeros", label="Padding of the convolutions", elem_id="border")
        shown = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="turned", label="report")
    numbers = gr.JSON(visible=False, label="predictions")

    def turn(
        photo: dict[str, Any] | None,
        model_set: str,
        variants: list[str] | None = None,
        gate_shift: float = 0,
        border: str = "zeros",
        severity: float = 0,
    ) -> tuple[str, dict[str, Any]]:
        """What the networks answer to a photo when their gates or the border of their convolutions are changed.

        gate_shift: from -1, all gates 0, over 0, as learned, to 1, all gates 1. border: zeros, first or all; which convolutions
        replicate the pixels at the border. severity: 0 to 5, of less contrast. Gives HTML for the page, and the same as data:
        for each network its class and how probable it is, as trained and turned, of the original and with less contrast.
        """
        chosen_set = catalog.get(model_set)
        _, level = check_corruption("contrast", severity)
        picture = open_photo(photo)
        models, _ = catalog.load(chosen_set, chosen(chosen_set, variants))
        if picture is None or not models:
            return ("" if picture is None else NO_NETWORKS), {}
        with computing():
            answers = intervene(models, picture, gate_shift, border, level)
        has_gates = any(gates_of(model.network) for model in models.values())
        words = render("paragraphs.html", paragraphs=[_verdict(answers)], is_status=True) + ("" if has_gates else NO_GATES)
        texts = _as_texts(answers, level)
        return words + sortable(texts, texts, "Predictions") + csv_link(texts, "normzoo-interventions"), answers

    turned = chooser.follow(
        turn,
        [chooser.photo, *chooser.inputs, shift, border, severity],
        [shown, numbers],
        also=[shift.input, border.input, severity.input, fold.expand],
        on_open=True,
        place="#turned",
        show_progress_on=shown,
        **INSIGHT,
    )
    chooser.add_to_link(Linked("turned", [turned.event], [shift, border, severity]))


def intervene(
    models: Mapping[str, Model], photo: Image.Image, gate_shift: float, border: str, level: int
) -> dict[str, dict[str, tuple[str, float]]]:
    """Return each network's class and its probability: `as_trained` and `turned`, and both with less contrast (`…_faded`)."""
    turned = {variant: altered(model, gate_shift, border) for variant, model in models.items()}
    square = Image.fromarray(to_pixels(photo, next(iter(models.values())).config.image_size))
    photos = [square, corrupt(square, "contrast", level)]
    before = predict_many(models, photos, k=1)
    # Most of them are the same networks as before where only the gates are changed.
    changed = {variant: model for variant, model in turned.items() if model is not models[variant]}
    after = predict_many(changed, photos, k=1)
    return {
        variant: {
            f"{name}{suffix}": (answers if variant in answers else plain)[variant].top[0]
            for suffix, plain, now in (("", before[0], after[0]), ("_faded", before[1], after[1]))
            for name, answers in (("as_trained", plain), ("turned", now))
        }
        for variant in models
    }


def _as_texts(answers: Mapping[str, Answer], level: int) -> pd.DataFrame:
    titles = {"as_trained": "As trained", "turned": "Changed"}
    titles |= {f"{key}_faded": f"{title}, less contrast" for key, title in titles.items() if level}
    rows = [
        {"Network": short_name(variant)}
        | {
            titles[key]: f"{'→ ' * (label != of_one['as_trained'][0])}{label} {100 * share:.1f}%"
            for key, (label, share) in of_one.items()
            if key in titles
        }
        for variant, of_one in answers.items()
    ]
    return pd.DataFrame(rows)[["Network", *titles.values()]]


def _verdict(answers: Mapping[str, Answer]) -> str:
    """Who predicts another class now than as trained for the original."""
    if all(len(set(of_one.values())) == 1 for of_one in answers.values()):
        return "The networks as trained, the original photo."
    changed = [
        f"{short_name(variant)}: {of_one['as_trained'][0]} → {of_one['turned_faded'][0]}"
        for variant, of_one in answers.items()
        if of_one["turned_faded"][0] != of_one["as_trained"][0]
    ]
    return f"{'; '.join(changed)}." if changed else "No prediction changes; the probabilities do."
