"""The tab About: what each norm computes, how the networks were trained, how to call the page, and terms."""

import re
from typing import Any

import gradio as gr
from gradio.context import Context

from normzoo.app.components.html import render
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.tabs.about import api_guide, credits, training_record
from normzoo.nn.registry import NORM_LAYERS, describe_norm
from normzoo.pretrained.registry import ModelSet

OPENING = '<p class="hint">Reading the files…</p>'

WHAT = """
<p class="hint-line">A ResNet with six normalization layers, written from scratch, trained by the same recipe on the same
images. The code and the trained networks: Apache License 2.0.</p>
"""
FORMULAS = """
<p class="explanation">The activations between two layers have N images, C channels and H×W pixels. A norm takes the mean and
variance of some of these values, brings those values to mean 0 and variance 1, and gives every channel a learned weight and
bias. Norms over N use the batch in training, and running averages of mean and variance in evaluation:
y = (x − running mean) / √(running var + ε) · weight + bias. ε keeps the root from 0.</p>
"""


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab. What comes from the files is read when somebody opens that part."""
    page = Context.root_block
    gr.HTML(WHAT, js_on_load=None)
    with gr.Accordion("Formulas and papers", open=False):
        gr.HTML(FORMULAS + describe_norms(), js_on_load=None, elem_id="norms", elem_classes="section about")
    with gr.Accordion("Recipe, data, runs", open=False) as fold_runs:
        trained = gr.HTML(OPENING, js_on_load=None, elem_id="trained", elem_classes="section about", label="training")
    with gr.Accordion("Use it from a program", open=False) as fold_calls:
        calls = gr.HTML(OPENING, js_on_load=None, elem_id="api", elem_classes="section about", label="api")
    with gr.Accordion("Credits and terms", open=False):
        gr.HTML(credits.describe(), js_on_load=None, elem_id="credits", elem_classes="section about")

    @guarded
    def about(model_set: str, variants: list[str] | None, request: gr.Request) -> tuple[str, str]:
        """How the networks of a model set were trained, read from their files, and how to call this page, as HTML."""
        chosen_set = catalog.get(model_set)
        shown = chosen(chosen_set, variants)
        endpoints = page.get_api_info()["named_endpoints"] if page is not None else {}
        return training_record.describe(chosen_set, shown), api_guide.describe(endpoints, address(request), chosen_set)

    opened = [fold_runs.expand, fold_calls.expand]
    chooser.follow(about, chooser.inputs, [trained, calls], also=opened, on_open=True, place="trained", api_name="about")


def describe_norms() -> str:
    """Every norm of the zoo with its formula, axes and paper, as HTML; all of it from the zoo's own table."""
    norms = [(key, describe_norm(key)) for key in NORM_LAYERS]
    return render("norms.html", norms=norms, looks_across=lambda norm: any("N" in axes for axes in norm.pooled_axes))


def address(request: Any) -> str:
    """Where the visitor has this page open, as far as the browser tells."""
    referrer = str(request.headers.get("referer") or "")
    found = re.match(r"https?://[\w.:-]{1,200}(/[\w./-]{1,200})?(?=/?(\?|$))", referrer, re.ASCII)
    return found[0].rstrip("/") if found else "http://127.0.0.1:7860"
