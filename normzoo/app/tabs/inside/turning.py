"""The part of Inside with two things to turn by hand, gates and border, and what the networks answer then."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import pandas as pd
from PIL import Image

from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.components.tables import csv_link
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import INSIGHT
from normzoo.app.core.upload import open_photo
from normzoo.app.core.work import computing
from normzoo.formatting import capital
from normzoo.images.corruptions import SEVERITIES
from normzoo.inference.interventions import BORDERS, altered, check_corruption, corrupted
from normzoo.inference.predict import predict_many
from normzoo.nn.batch_instance_norm import gates
from normzoo.pretrained.registry import Model
from normzoo.variants import short_name

INTRODUCTION = """
<h2>Turn it by hand</h2>
<p class="explanation">Two things that training has settled. The gates of batch-instance normalization: mix them with 0 or with
1. And the border: the convolutions see a frame of zeros around the photo, which stays as it is when the contrast goes. By that
frame alone instance normalization can tell that the contrast is low; let the photo's own edge go on instead, and see what it
loses, and what less contrast does to it then. Robustness has the same over all validation images. Nothing stored changes, and
other visitors see none of it.</p>
"""


def build(catalog: Catalog, chooser: Chooser) -> None:
    """Place the part and set up its event."""
    gr.HTML(INTRODUCTION, js_on_load=None, elem_classes="section")
    with gr.Row():
        label = "Gates: −1 all instance, 0 as learned, 1 all batch"
        shift = gr.Slider(-1, 1, value=0, step=0.05, label=label, min_width=260, elem_id="gate-shift")
        severity = gr.Slider(
            0, SEVERITIES[-1], value=0, step=1, label="Less contrast (severity)", min_width=260, elem_id="turned-severity"
        )
    choices = [(capital(words), key) for key, words in BORDERS.items()]
    border = gr.Radio(choices, value="zeros", label="Border of the convolutions", elem_id="border")
    shown = gr.HTML(js_on_load=None, elem_id="turned")
    numbers = gr.JSON(visible=False)

    @guarded
    def turn(
        photo: dict[str, Any] | None,
        model_set: str,
        variants: list[str] | None,
        gate_shift: float,
        border: str,
        severity: float,
    ) -> tuple[str, dict[str, Any]]:
        """What the networks answer to a photo when their gates or the border of their convolutions are changed.

        gate_shift: from -1, all gates 0, over 0, as learned, to 1, all gates 1. border: zeros, first or all; which convolutions
        replicate the pixels at the border. severity: 0 to 5, of less contrast. Gives HTML for the page, and the same as data:
        for each network its class and how probable it is, as trained and turned, of the photo as it is and with less contrast.
        """
        chosen_set = catalog.get(model_set)
        _, level = check_corruption("contrast", severity)
        picture = open_photo(photo)
        models, _ = catalog.load(chosen_set, chosen(chosen_set, variants))
        if picture is None or not models:
            return ("" if picture is None else NO_NETWORKS), {}
        with computing():
            answers = turned_answers(models, picture, gate_shift, border, level)
        has_gates = any(gates(model.network) for model in models.values())
        table = render("turned.html", answers=answers, level=level, has_gates=has_gates, verdict=_verdict(answers))
        return table + csv_link(_as_texts(answers), "normzoo-turned.csv"), answers

    chooser.follow(
        turn,
        [chooser.photo, *chooser.inputs, shift, border, severity],
        [shown, numbers],
        also=[shift.input, border.input, severity.input],
        on_open=True,
        api_name="turn",
        show_progress_on=shown,
        **INSIGHT,
    )


def turned_answers(
    models: Mapping[str, Model], photo: Image.Image, gate_shift: float, border: str, level: int
) -> dict[str, dict[str, tuple[str, float]]]:
    """Return each network's class and its probability: `as_trained` and `turned`, and both with less contrast (`…_faded`).

    Raises:
        ConfigError: the gates or the border cannot be turned so.
    """
    turned = {variant: altered(model, gate_shift, border) for variant, model in models.items()}
    size = next(iter(models.values())).config.image_size
    steps = corrupted(photo, "contrast", size)
    photos = [steps[0], steps[level]]
    before = predict_many(models, photos, k=1)
    # Most of them are the same networks as before where only the gates are turned.
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


def _as_texts(answers: Mapping[str, Mapping[str, tuple[str, float]]]) -> pd.DataFrame:
    titles = {"as_trained": "As trained", "turned": "Turned"}
    titles |= {f"{key}_faded": f"{title}, less contrast" for key, title in titles.items()}
    rows = [
        {"Network": short_name(variant)}
        | {titles[key]: f"{label} {100 * share:.1f}%" for key, (label, share) in of_one.items()}
        for variant, of_one in answers.items()
    ]
    return pd.DataFrame(rows)[["Network", *titles.values()]]


def _verdict(answers: Mapping[str, Mapping[str, tuple[str, float]]]) -> str:
    """Who answers something else now than as trained to the photo as it is."""
    if all(len(set(of_one.values())) == 1 for of_one in answers.values()):
        return "All as trained, and the photo as it is. Move something."
    changed = [
        f"{short_name(variant)} says {of_one['turned_faded'][0]} and no longer {of_one['as_trained'][0]}"
        for variant, of_one in answers.items()
        if of_one["turned_faded"][0] != of_one["as_trained"][0]
    ]
    return f"{'; '.join(changed)}." if changed else "All answers are still the same; look at how probable they are."
