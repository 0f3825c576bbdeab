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

FIRST_SIGHT = """
<h2>What each norm computes</h2>
<p class="explanation">Between two layers lie N photos of a batch, C channels, H×W pixels. A norm takes the mean and variance of
some of these values, brings those values to mean 0 and variance 1, and then gives every channel a weight and a bias that it
learns. Which values they are is all that differs; the tab Inside draws it. ε is a small number that keeps the root from 0.</p>
"""


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab. What comes from the files is read when somebody opens it."""
    page = Context.root_block
    gr.HTML(FIRST_SIGHT + describe_norms(), js_on_load=None, elem_id="norms", elem_classes="section about")
    trained = gr.HTML(OPENING, js_on_load=None, elem_id="trained", elem_classes="section about")
    calls = gr.HTML(js_on_load=None, elem_id="api", elem_classes="section about")
    gr.HTML(credits.describe(), js_on_load=None, elem_id="credits", elem_classes="section about")

    @guarded
    def about(model_set: str, variants: list[str] | None, request: gr.Request) -> tuple[str, str]:
        """How the networks of a model set were trained, read from their files, and how to call this page, as HTML."""
        chosen_set = catalog.get(model_set)
        shown = chosen(chosen_set, variants)
        endpoints = page.get_api_info()["named_endpoints"] if page is not None else {}
        return training_record.describe(chosen_set, shown), api_guide.describe(endpoints, address(request), chosen_set)

    chooser.follow(about, chooser.inputs, [trained, calls], on_open=True, api_name="about")


def describe_norms() -> str:
    """Every norm of the zoo with its formula, axes and paper, as HTML; all of it from the zoo's own table."""
    norms = [(key, describe_norm(key)) for key in NORM_LAYERS]
    return render("norms.html", norms=norms, looks_across=lambda norm: any("N" in axes for axes in norm.pooled_axes))


def address(request: Any) -> str:
    """Where the visitor has this page open, as far as the browser tells."""
    referrer = str(request.headers.get("referer") or "")
    found = re.match(r"https?://[\w.:-]{1,200}(/[\w./-]{1,200})?(?=/?(\?|$))", referrer, re.ASCII)
    return found[0].rstrip("/") if found else "http://127.0.0.1:7860"
