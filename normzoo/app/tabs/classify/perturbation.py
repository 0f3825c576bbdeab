"""The part of Classify that corrupts the photo, and shows how the answers of the networks move."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from normzoo.app.components.data_urls import png_url
from normzoo.app.components.html import render
from normzoo.app.core.batching import COMPUTING
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import INSIGHT, Part
from normzoo.app.core.upload import open_photo
from normzoo.app.tabs.classify.severity_plot import plot
from normzoo.formatting import capital
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.inference.perturbation import ALL_SEVERITIES, SeverityCurve, check_corruption, severity_curves
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

FIRST_KIND, FIRST_SEVERITY = "contrast", 3

INTRODUCTION = """
<h2>Corrupt the photo</h2>
<p class="explanation">Who keeps its answer? The small picture is corrupted, right before the networks see it.</p>
"""


def build(catalog: Catalog, default: ModelSet, example: Image.Image) -> tuple[gr.Radio, gr.Slider, gr.HTML]:
    """Place the part, with the example corrupted; `follow` sets up its events."""
    gr.HTML(INTRODUCTION, js_on_load=None, elem_classes="section")
    with gr.Row():
        choices = [(capital(kind.title), key) for key, kind in CORRUPTIONS.items()]
        kind = gr.Radio(choices, value=FIRST_KIND, label="Kind", scale=3, min_width=280, elem_id="kind")
        severity = gr.Slider(
            0, SEVERITIES[-1], value=FIRST_SEVERITY, step=1, label="Severity", scale=2, min_width=240, elem_id="severity"
        )
    start, _ = show(catalog, default, main_variants_of(default), example, FIRST_KIND, FIRST_SEVERITY)
    return kind, severity, gr.HTML(start, js_on_load=None, elem_id="corrupted")


def follow(catalog: Catalog, chooser: Chooser, kind: gr.Radio, severity: gr.Slider, shown: gr.HTML) -> Part:
    """Corrupt anew when another kind or severity is chosen; gives what a new answer to a photo has to start."""
    numbers = gr.JSON(visible=False)

    @guarded
    def disturb(
        photo: dict[str, Any] | None, model_set: str, variants: list[str] | None, kind: str, severity: float
    ) -> tuple[str, dict[str, Any]]:
        """Corrupt a photo, and see how the answers of the networks move.

        kind: brightness_up, brightness_down, contrast, saturation, gaussian_blur, gaussian_noise, jpeg or pixelate. severity:
        0 to 5, the one to show. Gives HTML for the page, and the same as data: for each network its answer to the photo as it
        is, how probable it finds that class at each severity, and what it answers there.
        """
        chosen_set = catalog.get(model_set)
        picture = open_photo(photo)
        if picture is None:
            return "", {}
        return show(catalog, chosen_set, chosen(chosen_set, variants), picture, kind, severity)

    return chooser.follow(
        disturb,
        [chooser.photo, *chooser.inputs, kind, severity],
        [shown, numbers],
        choices=(),
        also=[kind.input, severity.input],
        api_name="disturb",
        show_progress_on=shown,
        **INSIGHT,
    )


def show(
    catalog: Catalog, model_set: ModelSet, variants: list[str], photo: Image.Image, kind: object, severity: object
) -> tuple[str, dict[str, Any]]:
    """The picture before and after, who changed its answer, and the plot: as HTML, and as data for the API.

    Raises:
        ConfigError: no such kind or severity.
    """
    kind, severity = check_corruption(kind, severity)
    models, _ = catalog.load(model_set, variants)
    if not models:
        return "", {}
    with COMPUTING:
        curves, steps = severity_curves(models, photo, kind)
    data = {"kind": kind, "severity": severity, "networks": {variant: _as_data(curve) for variant, curve in curves.items()}}
    shown = render(
        "corruption.html",
        verdict=who_changed(curves, severity),
        steps=_before_and_after(steps, kind, severity),
        curves=list(curves.values()),
        severity=severity,
        plot=plot(curves, severity),
    )
    return shown, data


def who_changed(curves: Mapping[str, SeverityCurve], severity: int) -> str:
    """In words: which networks answer something else than for the photo as it is."""
    changed = {
        variant: curve.answers[severity][0] for variant, curve in curves.items() if curve.answers[severity][0] != curve.label
    }
    if not severity:
        return "Severity 0: the photo as it is. Move the slider."
    if not changed:
        return "Nobody changes the answer." if len(curves) > 1 else "The answer stays the same."
    moves = ", ".join(f"{short_name(variant)} from {curves[variant].label} to {answer}" for variant, answer in changed.items())
    return f"{len(changed)} of {len(curves)} change{'s' if len(changed) == 1 else ''} the answer: {moves}."


def _before_and_after(steps: Sequence[Image.Image], kind: str, severity: int) -> list[dict[str, str]]:
    corruption = CORRUPTIONS[kind]
    level = f"{corruption.setting}: {corruption.levels[severity - 1]:g}" if severity else "nothing is changed"
    before = {"alt": "The picture as the networks see it", "title": "As it is", "note": ""}
    after = {"alt": f"The same, corrupted at severity {severity}", "note": level}
    after["title"] = f"{capital(corruption.title)} {severity} of 5"
    return [{"url": png_url(np.asarray(steps[place])), **words} for place, words in ((0, before), (severity, after))]


def _as_data(curve: SeverityCurve) -> dict[str, Any]:
    return {
        "name": short_name(curve.variant),
        "answer": curve.label,
        "severities": list(ALL_SEVERITIES),
        "probabilities": [round(probability, 6) for probability in curve.probabilities],
        "answers": [label for label, _ in curve.answers],
    }
