"""The tab About: what each norm computes, how the networks were trained, how to call the page, and terms."""

import html
import re
from typing import Any

import gradio as gr
from gradio.context import Context

from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.tabs.about import api_guide, credits, training_record
from normzoo.nn.registry import NORM_LAYERS, describe_norm
from normzoo.plotting.style import style_of
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
    return f'<ul class="norms">{"".join(map(_norm, NORM_LAYERS))}</ul>'


def address(request: Any) -> str:
    """Where the visitor has this page open, as far as the browser tells."""
    referrer = str(request.headers.get("referer") or "")
    found = re.match(r"https?://[\w.:-]{1,200}(/[\w./-]{1,200})?(?=/?(\?|$))", referrer, re.ASCII)
    return found[0].rstrip("/") if found else "http://127.0.0.1:7860"


def _norm(key: str) -> str:
    style, norm = style_of(key), describe_norm(key)
    facts = {}
    if norm.pooled_axes is not None:
        needs_batch = any("N" in axes for axes in norm.pooled_axes)
        facts = {"Averages over": norm.axes, "Other photos matter": "while it learns" if needs_batch else "never"}
    rows = "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts.items())
    return (
        f'<li style="--variant: {style.colour}"><h3>{html.escape(style.name)} <span>{html.escape(norm.title)}</span></h3>'
        f"<p><code>{html.escape(norm.formula)}</code></p><dl>{rows}</dl>"
        f"{f'<p>{html.escape(norm.remark)}</p>' if norm.remark else ''}<p>{_with_link(norm.paper)}</p></li>"
    )


def _with_link(paper: str) -> str:
    """A paper's name as HTML, its number at arXiv a link."""
    return re.sub(
        r"arXiv:(\d{4}\.\d{4,5})",
        r'<a href="https://arxiv.org/abs/\1" target="_blank" rel="noopener noreferrer">arXiv:\1</a>',
        html.escape(paper),
    )
