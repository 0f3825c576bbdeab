"""The tab that classifies a photo: every chosen network, side by side."""

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from normzoo.analysis.findings.unknowns import TOGETHER, Unknowns, unknown_words
from normzoo.analysis.results import val_accuracy
from normzoo.app.components import cards, photo
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core import examples
from normzoo.app.core.batching import MAX_BATCH, predict_together
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import UNDOCUMENTED, start_after
from normzoo.app.core.upload import open_photo
from normzoo.app.tabs.classify import class_activation as maps
from normzoo.app.tabs.classify import perturbation, probabilities
from normzoo.images.preprocess import load_image, to_pixels
from normzoo.inference.agreement import agreement
from normzoo.inference.predict import Prediction
from normzoo.pretrained.registry import Model, ModelSet
from normzoo.variants import short_name

TOP = 5


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; the first example is classified already."""
    example = load_image(examples.EXAMPLES[0].path)
    start, _ = answer(catalog, default, main_variants_of(default), example)
    with gr.Row(elem_classes="classify"):
        with gr.Column(scale=2, min_width=300):
            photo_chosen = photo.build(chooser)
            gr.HTML(photo.strip_of_examples(), js_on_load=None, elem_id="examples")
        with gr.Column(scale=5, min_width=300):
            report = gr.HTML(start, js_on_load=None, elem_id="report")
    with gr.Accordion("Every probability as a table", open=False) as every:
        table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="probabilities")
    with gr.Accordion(_classes_title(default), open=False) as accordion:
        known = gr.HTML(list_classes(default), js_on_load=None, elem_id="classes")
    predictions = gr.JSON(visible=False)
    map_class, mapped = maps.build(catalog, default, example)
    kind, severity, corrupted = perturbation.build(catalog, default, example)

    @guarded
    def classify(photo: dict[str, Any] | None, model_set: str, variants: list[str] | None) -> tuple[str, dict[str, Any]]:
        """Classify a photo with every chosen network.

        Gives an HTML report for the page, and the same as data: for each network the probability of every class, the
        time it took and its validation accuracy; the networks that are unavailable, with the reason; who agrees.
        """
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        if picture is None:
            return cards.NO_PHOTO, {}
        return answer(catalog, chosen_set, chosen(chosen_set, variants), picture)

    @guarded
    def every_probability(photo: dict[str, Any] | None, model_set: str, variants: list[str] | None) -> str:
        """The probability of every class for a photo, by every chosen network, as an HTML table."""
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        return "" if picture is None else tabulate_answers(catalog, chosen_set, chosen(chosen_set, variants), picture)

    asked = [chooser.photo, *chooser.inputs]
    predicting: dict[str, Any] = {
        "concurrency_id": "classify",
        "concurrency_limit": 2 * MAX_BATCH,  # while one round is computed the next one gathers
    }
    classified = chooser.follow(
        classify,
        asked,
        [report, predictions],
        api_name="classify",
        show_progress_on=report,
        **predicting,
    )
    # Only while somebody sees it: making the table takes longer than the networks do.
    tabulated = chooser.follow(
        every_probability, asked, table, choices=(), also=[every.expand], api_name="every_probability", **predicting
    )
    start_after(classified.event, [tabulated], only_if='document.querySelector("#probabilities")?.offsetParent')
    nothing = f"() => {json.dumps([cards.NO_ANSWER, '', '', ''])}"
    classified.event.failure(None, None, [report, table, mapped, corrupted], js=nothing, api_name="no_answer", **UNDOCUMENTED)

    start_after(photo_chosen, [classified], photo.ANSWERED)
    mapping = maps.follow(catalog, chooser, map_class, mapped)
    corrupting = perturbation.follow(catalog, chooser, kind, severity, corrupted)
    start_after(classified.event, [mapping, corrupting])
    chooser.list_of_set(
        lambda model_set: [gr.Accordion(label=_classes_title(model_set)), list_classes(model_set)], [accordion, known]
    )


def answer(catalog: Catalog, model_set: ModelSet, variants: list[str], photo: Image.Image) -> tuple[str, dict[str, Any]]:
    """What the networks make of a photo: as HTML, and as data for the API."""
    if not variants:
        return NO_NETWORKS, {}
    models, problems = catalog.load(model_set, variants)
    sizes = {model.config.image_size for model in models.values()}
    seen = [to_pixels(photo, size) for size in sizes]
    # Reduced here, where visitors do not wait for each other.
    predictions = predict_together(models, Image.fromarray(seen[0]) if len(seen) == 1 else photo, TOP)
    who = agreement({variant: prediction.label for variant, prediction in predictions.items()})
    accuracies = {variant: val_accuracy(model_set, variant) for variant in models}
    row = [
        cards.Card(variant, predictions.get(variant), problems.get(variant, ""), accuracies.get(variant))
        for variant in variants
    ]
    doubt = _doubt(catalog.unknowns(model_set), model_set, predictions)
    data = {
        "model_set": model_set.name,
        "agreement": who.sentence,
        "doubt": doubt,
        "groups": {label: list(group) for label, group in who.groups},
        "networks": {variant: _as_data(models[variant], predictions[variant], accuracies[variant]) for variant in predictions},
        "unavailable": problems,
    }
    return cards.report(row, who, seen[0] if seen else None, doubt), data


def tabulate_answers(catalog: Catalog, model_set: ModelSet, variants: list[str], photo: Image.Image) -> str:
    """Every probability that the networks give, as an HTML table."""
    models, _ = catalog.load(model_set, variants)
    classes = {variant: model.config.classes for variant, model in models.items()}
    return probabilities.tabulate(classes, predict_together(models, photo, TOP)) if models else ""


def _doubt(measured: Mapping[str, Unknowns], model_set: ModelSet, predictions: Mapping[str, Prediction]) -> str:
    """That the photo may show nothing they know, where all networks of the set were asked; else nothing."""
    together, everyone = measured.get(TOGETHER), main_variants_of(model_set)
    if together is None or not predictions.keys() >= set(everyone):
        return ""
    mean = np.mean([predictions[variant].probabilities for variant in everyone], axis=0)
    return unknown_words(float(mean.max()), together, len(everyone), len(mean))


def list_classes(model_set: ModelSet) -> str:
    """The classes of a model set, as HTML."""
    return render("classes.html", names=classes_of(model_set))


def _classes_title(model_set: ModelSet) -> str:
    return f"The {len(classes_of(model_set))} things they know"


def _as_data(model: Model, prediction: Prediction, accuracy: tuple[float, int] | None) -> dict[str, Any]:
    probabilities = (round(float(value), 6) for value in prediction.probabilities)
    return {
        "name": short_name(prediction.variant),
        "answer": prediction.label,
        "probabilities": dict(zip(model.config.classes, probabilities, strict=True)),
        "latency_ms": round(prediction.latency_ms, 3),
        "val_accuracy": accuracy[0] if accuracy else None,
        "seeds": accuracy[1] if accuracy else 0,
    }
