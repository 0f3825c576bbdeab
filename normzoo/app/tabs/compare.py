"""The tab Compare: six answers to one photo, and why they differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
from gradio.components.plot import PlotData
from PIL import Image

from normzoo.analysis.results import val_accuracy
from normzoo.app.components import charts, cubes, photo
from normzoo.app.components.charts import as_plot
from normzoo.app.components.downloads import csv_link
from normzoo.app.components.html import NO_NETWORKS, SORT_SCRIPT, jpeg_url, marked, png_url, render, sortable
from normzoo.app.components.photo import read_photos
from normzoo.app.core import examples
from normzoo.app.core.batching import MAX_BATCH, predict_together
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.core.controls import INSIGHT, UNDOCUMENTED, Chooser, Linked, start_after
from normzoo.app.core.errors import check_choice
from normzoo.app.core.upload import open_photo, photo_path
from normzoo.app.core.work import computing
from normzoo.findings import Evidence
from normzoo.findings.accuracy import lead_words
from normzoo.formatting import capital, listed
from normzoo.images.corruptions import ALL_SEVERITIES, CORRUPTIONS, SEVERITIES, check_corruption, corrupt
from normzoo.images.preprocess import load_image, to_pixels
from normzoo.inference.predict import Prediction, agreement, has_running_statistics, predict_many
from normzoo.inference.value_trace import ActivationMap, activation_maps
from normzoo.plotting import plotly
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.pretrained.registry import Model, ModelSet
from normzoo.variants import short_name

TOP = 3
FIRST_KIND = "contrast"
#: Which statistics batch and batch-instance normalization use: the running ones, or those of a batch with these photos.
RUNNING = "running"
STATISTICS = {
    RUNNING: "Running",
    "examples": "Batch: with the example photos",
    "photos": "Batch: with those of the Batches tab",
}
OWN_ANSWER = "Each network's own answer"
PHOTO_PIXELS = 192
#: Colour-blind people can tell these two apart.
RAISES, LOWERS = (178, 24, 43), (33, 102, 172)
STRONGEST_OPACITY = 0.85

NO_PHOTO = '<p class="hint">Add a photo, or choose one of the examples.</p>'
NO_ANSWER = '<p class="hint">No answer for this one. Choose another photo, or one of the examples.</p>'

Answers = dict[str, Prediction]


@dataclass(frozen=True)
class Card:
    """One network's part of the answer."""

    variant: str
    prediction: Prediction | None  # None: unavailable
    original: Prediction | None  # of the photo as it came, with running statistics
    problem: str  # why it is unavailable

    @property
    def is_changed(self) -> bool:
        """Is another class the most probable one now?"""
        return self.prediction is not None and self.original is not None and self.prediction.label != self.original.label


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; the first example is classified already."""
    first = examples.EXAMPLES[0]
    start, _ = answer(catalog, default, main_variants_of(default), load_image(first.path), first.label)
    lead = gr.HTML(standing(catalog, default), js_on_load=None, elem_id="lead")
    with gr.Row(elem_classes="compare"):
        with gr.Column(scale=2, min_width=280, elem_classes="photo-side"):
            photo_chosen, truth = photo.build(chooser)
            gr.HTML(photo.strip_of_examples(), js_on_load=None, elem_id="examples")
        with gr.Column(scale=5, min_width=280):
            report = gr.HTML(start, js_on_load=None, elem_id="report", label="report")
            gr.HTML("<h2>Why do they differ?</h2>", js_on_load=None, elem_classes="section")
            with gr.Row(elem_classes="why"):
                kinds = [(capital(kind.title), key) for key, kind in CORRUPTIONS.items()]
                kind = gr.Dropdown(kinds, value=FIRST_KIND, label="Change the photo", elem_id="kind", min_width=180)
                severity = gr.Slider(
                    0,
                    SEVERITIES[-1],
                    value=0,
                    step=1,
                    label="Severity (0: original)",
                    buttons=[],
                    elem_id="severity",
                    min_width=200,
                    scale=2,
                )
                statistics = gr.Radio(
                    **_statistics_of(catalog, default), value=RUNNING, elem_id="statistics", min_width=280, scale=4
                )
            shapes = draw_cubes(catalog, default, main_variants_of(default), RUNNING)
            cube_row = gr.HTML(shapes, js_on_load=None, elem_id="why-cubes", label="cubes")
    predictions = gr.JSON(visible=False, label="predictions")
    with gr.Accordion("Class activation maps", open=False) as open_maps:
        wanted = gr.Dropdown(**_map_classes(default), label="Class", elem_id="map-class")
        mapped, map_data = gr.HTML(js_on_load=None, elem_id="maps", label="maps"), gr.JSON(visible=False, label="map_data")
    with gr.Accordion("All severities", open=False) as open_curves:
        curve_plot = charts.place("severities")
        curve_data = gr.JSON(visible=False, label="curves")
    with gr.Accordion("All probabilities", open=False) as open_table:
        table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="probabilities", label="table")
    with gr.Accordion(_classes_title(default), open=False) as accordion:
        known = gr.HTML(list_classes(default), js_on_load=None, elem_id="classes")

    def classify(
        photo: dict[str, Any] | None,
        model_set: str,
        variants: list[str] | None,
        truth: str = "",
        kind: str = FIRST_KIND,
        severity: float = 0,
        statistics: str = RUNNING,
        photos: object = None,
    ) -> tuple[str, dict[str, Any]]:
        """Classify a photo with every chosen network, as it is or corrupted.

        truth: the class that it shows, where that is known; of the example photos it is. kind: a corruption, such as contrast;
        severity: 0, which is the original, to 5. statistics: of batch and batch-instance normalization, running, or those of a
        batch: examples, the photo among the example photos, or photos, among those given last, as many_photos takes them.

        Gives an HTML report for the page, and the same as data: for each network the probability of every
        class, the time it took and its validation accuracy; the networks that are unavailable, with the reason; who agrees.
        """
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        shown = chosen(chosen_set, variants)
        if picture is None:
            return NO_PHOTO, {}
        check_choice("statistics", statistics, STATISTICS)
        batch = {"set": "examples"} if statistics == "examples" else photos if statistics == "photos" else None
        kind, level = check_corruption(kind, severity)
        path = photo_path(photo)
        truth = truth or ("" if path is None else examples.label_of(path))
        return answer(catalog, chosen_set, shown, picture, truth, kind, level, batch)

    def every_probability(photo: dict[str, Any] | None, model_set: str, variants: list[str] | None) -> str:
        """The probability of every class for a photo, by every chosen network, as an HTML table."""
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        return "" if picture is None else tabulate_answers(catalog, chosen_set, chosen(chosen_set, variants), picture)

    def explain(
        photo: dict[str, Any] | None,
        model_set: str,
        variants: list[str] | None,
        label: str | None = None,
        kind: str = FIRST_KIND,
        severity: float = 0,
    ) -> tuple[str, dict[str, Any]]:
        """Class activation maps: what each part of a photo adds to each network's logit of a class.

        label: a class that the networks know; empty for the one that each finds most probable. kind, severity: as for classify.
        Gives HTML for the page, and the same as data: the map, (h, w), and the bias, which together sum to the logit.
        """
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        if picture is None:
            return "", {}
        kind, level = check_corruption(kind, severity)
        return draw_maps(catalog, chosen_set, chosen(chosen_set, variants), picture, label, kind, level)

    def why_cubes(model_set: str, variants: list[str] | None, statistics: str = RUNNING) -> str:
        """The cubes of the networks' norms, as HTML. statistics: as for classify."""
        chosen_set = catalog.get(model_set)
        return draw_cubes(catalog, chosen_set, chosen(chosen_set, variants), statistics)

    def severities(
        photo: dict[str, Any] | None, model_set: str, variants: list[str] | None, kind: str = FIRST_KIND
    ) -> tuple[PlotData | None, dict[str, Any]]:
        """Corrupt a photo at every severity, and see how the answers of the networks move.

        kind: a corruption, such as contrast. Gives a plotly figure, and as data for each network its answer to the original,
        how probable it finds that class at each severity, and what it answers there.
        """
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        kind, _ = check_corruption(kind, 0)
        models, _ = catalog.load(chosen_set, chosen(chosen_set, variants))
        return (None, {}) if picture is None or not models else draw_severities(models, picture, kind)

    def disturb(
        photo: dict[str, Any] | None, model_set: str, variants: list[str] | None, kind: str = FIRST_KIND, severity: float = 3
    ) -> tuple[str, dict[str, Any]]:
        """Deprecated, use severities: the same data with the severity, and who changes the answer there as HTML."""
        level = check_corruption(kind, severity)[1]
        data = severities(photo, model_set, variants, kind)[1]
        networks = data.get("networks", {})
        moved = [
            f"{each['name']}: {each['answer']} → {each['answers'][level]}"
            for each in networks.values()
            if each["answers"][level] != each["answer"]
        ]
        told = [f"{len(moved)} of {len(networks)} predictions change.", *moved]
        return render("paragraphs.html", paragraphs=told, is_status=False), {**data, "severity": level}

    asked = [chooser.photo, *chooser.inputs]
    view: list[Any] = [kind, severity, statistics]
    predicting: dict[str, Any] = {
        "concurrency_id": "classify",
        "concurrency_limit": 2 * MAX_BATCH,  # while one round is computed the next one gathers
    }
    classified = chooser.follow(
        classify,
        [*asked, truth, *view, chooser.photos],
        [report, predictions],
        also=[control.input for control in view],
        show_progress_on=report,
        **predicting,
    )
    # Only while somebody sees them.
    tabulated = chooser.follow(every_probability, asked, table, choices=(), also=[open_table.expand], **predicting)
    mapping = chooser.follow(
        explain,
        [*asked, wanted, kind, severity],
        [mapped, map_data],
        choices=(),
        also=[open_maps.expand, wanted.input],
        api_name="activation_maps",
        show_progress_on=mapped,
        **INSIGHT,
    )
    tracing = chooser.follow(
        severities,
        [*asked, kind],
        [curve_plot, curve_data],
        choices=(),
        also=[open_curves.expand],
        show_progress_on=curve_plot,
        **INSIGHT,
    )
    chooser.offer(disturb, [*asked, kind, severity], [(gr.HTML, "report"), (gr.JSON, "curves")])
    chooser.follow(why_cubes, [*chooser.inputs, statistics], cube_row, also=[statistics.input], **UNDOCUMENTED)
    for part, place in ((tabulated, "probabilities"), (mapping, "maps"), (tracing, "severities")):
        start_after(classified.event, [part], only_if=f'document.querySelector("#{place}")?.offsetParent')
    nothing = f"() => {json.dumps([NO_ANSWER, '', ''])}"
    classified.event.failure(None, None, [report, table, mapped], js=nothing, api_name="no_answer", **UNDOCUMENTED)
    start_after(photo_chosen, [classified], photo.ANSWERED)
    chooser.add_to_link(Linked("why", [classified.event], view))
    chooser.add_to_link(Linked("map", [mapping.event], [wanted], settings=lambda model_set: [_map_classes(model_set)]))
    chooser.list_of_set(
        lambda model_set: [
            standing(catalog, model_set),
            gr.Accordion(label=_classes_title(model_set)),
            list_classes(model_set),
            gr.Radio(**_statistics_of(catalog, model_set)),
        ],
        [lead, accordion, known, statistics],
    )


def standing(catalog: Catalog, model_set: ModelSet) -> str:
    """Which norms lead on the validation images, in a sentence with a link to the evidence; as HTML."""
    evidence = Evidence(model_set, catalog.sets.values())
    if not evidence.shown_runs:
        return ""
    first, mark, rest = lead_words(evidence).partition(";")
    sentence = marked(f"**{first}**{mark}{rest}" if mark else first)
    return f'<p class="lead">{sentence} <a href="?tab=evidence" data-tab="evidence">Evidence →</a></p>'


def answer(
    catalog: Catalog,
    model_set: ModelSet,
    variants: list[str],
    photo: Image.Image,
    truth: str = "",
    kind: str = FIRST_KIND,
    severity: int = 0,
    batch: object = None,
) -> tuple[str, dict[str, Any]]:
    """What the networks make of a photo: as HTML, and as data for the API.

    Args:
        truth: the class that it shows; anything else where that is not known.
        batch: photos, as `read_photos` takes them, whose statistics are used together with those of the photo.
    """
    if not variants:
        return NO_NETWORKS, {}
    models, problems = catalog.load(model_set, variants)
    truth = truth if isinstance(truth, str) and truth in classes_of(model_set) else ""
    size = model_set.image_size
    pixels = to_pixels(photo, size)  # reduced here, where visitors do not wait for each other
    square = Image.fromarray(pixels)
    shown = original = predict_together(models, square, TOP)
    if severity:
        square = corrupt(square, kind, severity)
        shown = predict_together(models, square, TOP)
    if batch is not None:
        shown = shown | _in_batch(models, square, batch, kind, severity, size)
    who = agreement({variant: prediction.label for variant, prediction in shown.items()})
    headline, rest = who.verdict(truth)
    plain = agreement({variant: prediction.label for variant, prediction in original.items()})
    rank_by = truth or (plain.groups[0][0] if plain.groups else "")
    accuracies = {variant: val_accuracy(model_set, variant) for variant in models}
    row = [Card(variant, shown.get(variant), original.get(variant), problems.get(variant, "")) for variant in variants]
    row.sort(key=lambda card: -_probability(models, card, rank_by))
    notice = "" if truth or severity or batch is not None else _notice(catalog, model_set, shown)
    html = render(
        "report.html",
        cards=row,
        headline=headline,
        rest=rest,
        truth=truth,
        seen={"url": png_url(np.asarray(square)), "size": f"{size}×{size}"},
        time=f"{len(shown)} networks: {sum(each.latency_ms for each in original.values()):.0f} ms" if shown else "",
        notice=notice,
    )
    data = {
        "model_set": model_set.name,
        "agreement": who.sentence,
        "truth": truth or None,
        "corruption": {"kind": kind, "severity": severity},
        "doubt": notice,
        "groups": {label: list(group) for label, group in who.groups},
        "networks": {variant: _as_data(models[variant], shown[variant], accuracies[variant]) for variant in shown},
        "unavailable": problems,
    }
    return html, data


def _in_batch(models: Mapping[str, Model], square: Image.Image, batch: object, kind: str, severity: int, size: int) -> Answers:
    """Answers of the networks with running statistics, with those of a batch of the photo and others in their place."""
    dependent = {variant: model for variant, model in models.items() if has_running_statistics(model.network)}
    others = [each.square for each in read_photos(batch, size).read]
    if severity:
        others = [corrupt(other, kind, severity, seed=number) for number, other in enumerate(others, start=1)]
    with computing():
        return predict_many(dependent, [square, *others], TOP, "batch")[0]


def _probability(models: Mapping[str, Model], card: Card, label: str) -> float:
    """How probable a network finds a class in the original; -1 where there is no answer."""
    if card.original is None or label not in models[card.variant].config.classes:
        return -1.0
    return float(card.original.probabilities[models[card.variant].config.classes.index(label)])


def draw_cubes(catalog: Catalog, model_set: ModelSet, variants: Sequence[str], statistics: object) -> str:
    """The cubes of the networks' norms; those that use running statistics are not lit."""
    models, _ = catalog.load(model_set, variants)
    is_stored = check_choice("statistics", statistics, STATISTICS) == RUNNING
    stored = {variant for variant, model in models.items() if is_stored and has_running_statistics(model.network)}
    names = listed([short_name(variant) for variant in models if variant in stored])
    shapes = cubes.draw(model_set, models, stored)
    return render("why.html", cubes=shapes, stored=stored, names=names)


def tabulate_answers(catalog: Catalog, model_set: ModelSet, variants: list[str], photo: Image.Image) -> str:
    """Every probability that the networks give, as an HTML table with its files: the most probable on average first."""
    models, _ = catalog.load(model_set, variants)
    if not models:
        return ""
    predictions = predict_together(models, photo, TOP)
    names = np.array(classes_of(model_set))
    columns = {f"{short_name(variant)} (%)": 100 * each.probabilities for variant, each in predictions.items()}
    order = np.argsort(-np.mean(list(columns.values()), axis=0), kind="stable")
    numbers = pd.DataFrame({"Class": names[order], **{title: values[order] for title, values in columns.items()}})
    texts = numbers.astype({"Class": str}).map(lambda value: value if isinstance(value, str) else f"{value:.2f}")
    return sortable(numbers, texts, "Probability of every class") + csv_link(texts, "normzoo-probabilities.csv")


def draw_severities(models: Mapping[str, Model], photo: Image.Image, kind: str) -> tuple[PlotData, dict[str, Any]]:
    """The probability of each network's answer to the original at every severity: a chart, and data for the API."""
    square = Image.fromarray(to_pixels(photo, next(iter(models.values())).config.image_size))
    with computing():
        steps = predict_many(models, [corrupt(square, kind, severity) for severity in ALL_SEVERITIES], k=1)
    networks: dict[str, dict[str, Any]] = {}
    for variant in models:
        best = int(steps[0][variant].probabilities.argmax())
        networks[variant] = {
            "name": short_name(variant),
            "answer": steps[0][variant].label,
            "severities": list(ALL_SEVERITIES),
            "probabilities": [round(float(step[variant].probabilities[best]), 6) for step in steps],
            "answers": [step[variant].label for step in steps],
        }
    lines = [series(v, ALL_SEVERITIES, [100 * each for each in one["probabilities"]]) for v, one in networks.items()]
    title = "Probability of the uncorrupted prediction (%)"
    chart = Chart(title, Axis("Severity", ticks=ALL_SEVERITIES), Axis(title, limits=(0, 100)), (Panel(tuple(lines)),))
    return as_plot(plotly.draw(chart)), {"kind": kind, "networks": networks}


def draw_maps(
    catalog: Catalog, model_set: ModelSet, variants: list[str], photo: Image.Image, label: str | None, kind: str, severity: int
) -> tuple[str, dict[str, Any]]:
    """Class activation maps of all networks on one scale, as HTML, and as data for the API."""
    models, _ = catalog.load(model_set, variants)
    if severity:
        photo = corrupt(Image.fromarray(to_pixels(photo, model_set.image_size)), kind, severity)
    with computing():
        maps = activation_maps(models, photo, None if label in (None, "", OWN_ANSWER) else label)
    if not maps:
        return "", {}
    strongest = max(float(np.abs(found.evidence).max()) for found in maps.values())
    height, width = next(iter(maps.values())).evidence.shape
    shown = [
        {"found": found, "url": png_url(overlay(found.evidence, strongest)), "where": _strongest_place(found)}
        for found in maps.values()
    ]
    side = min(PHOTO_PIXELS, *photo.size)
    url = jpeg_url(Image.fromarray(to_pixels(photo, side)))
    html = render("maps.html", photo_url=url, maps=shown, strongest=f"{strongest:.2f}", size=f"{height}×{width}")
    return html, {variant: _map_data(found) for variant, found in maps.items()}


def overlay(evidence: np.ndarray, strongest: float) -> np.ndarray:
    """Evidence as colours to lay over a photo: red raises the logit, blue lowers it, the more the less see-through.

    Returns:
        uint8, (h, w, 4).
    """
    share = evidence / strongest if strongest > 0 else np.zeros_like(evidence)
    colours = np.where(share[..., None] >= 0, np.array(RAISES), np.array(LOWERS))
    opacity = np.round(255 * STRONGEST_OPACITY * np.abs(share))[..., None]
    return np.concatenate([colours, opacity], axis=-1).astype(np.uint8)


def _strongest_place(found: ActivationMap) -> str:
    """A place in words."""
    height, width = found.evidence.shape
    row, column = divmod(int(found.evidence.argmax()), width)
    rows, columns = ("at the top", "in the middle", "at the bottom"), ("left", "", "right")
    words = f"{rows[min(2, 3 * row // height)]} {columns[min(2, 3 * column // width)]}".strip()
    return "in the centre" if words == "in the middle" else words


def _map_data(found: ActivationMap) -> dict[str, Any]:
    return {
        "name": short_name(found.variant),
        "class": found.label,
        "probability": round(found.probability, 6),
        "logit": round(found.logit, 6),
        "bias": round(found.bias, 6),
        "map": found.evidence.round(6).tolist(),
    }


def _notice(catalog: Catalog, model_set: ModelSet, predictions: Mapping[str, Prediction]) -> str:
    """That the photo may be out of distribution, where all networks of the set were asked; else nothing."""
    measured, everyone = catalog.ood(model_set), main_variants_of(model_set)
    if measured is None or not predictions.keys() >= set(everyone):
        return ""
    highest = float(np.mean([predictions[variant].probabilities for variant in everyone], axis=0).max())
    if highest >= measured.threshold:
        return ""
    return (
        f"Possibly out of distribution: the highest mean class probability is {highest:.0%}. This threshold flags "
        f"{measured.unknown_flagged:.0%} of unknown images, and {measured.known_flagged:.0%} of known ones."
    )


def list_classes(model_set: ModelSet) -> str:
    """The classes of a model set, as HTML."""
    return render("classes.html", names=classes_of(model_set))


def _map_classes(model_set: ModelSet) -> dict[str, Any]:
    return {"choices": [(label, label) for label in (OWN_ANSWER, *classes_of(model_set))], "value": OWN_ANSWER}


def _classes_title(model_set: ModelSet) -> str:
    return f"The {len(classes_of(model_set))} classes"


def _statistics_of(catalog: Catalog, model_set: ModelSet) -> dict[str, Any]:
    """The switch between running and batch statistics; without a network that has both it is off, and says so."""
    models, _ = catalog.load(model_set, main_variants_of(model_set))
    names = [short_name(variant) for variant, model in models.items() if has_running_statistics(model.network)]
    label = f"Statistics in {listed(names)}" if names else "Statistics: these networks have no running ones"
    return {"choices": [(words, key) for key, words in STATISTICS.items()], "label": label, "interactive": bool(names)}


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
