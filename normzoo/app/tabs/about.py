"""The tab About: what each norm computes, how the networks were trained, how to call the page, and terms."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.context import Context
from markupsafe import Markup, escape

from normzoo.app.components.html import render
from normzoo.app.core.catalog import Catalog, chosen, variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.findings.finding import training_commands
from normzoo.nn.registry import NORM_LAYERS, describe_norm
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

OPENING = '<p class="hint">Reading the files…</p>'

WHAT = """
<p class="hint-line">A ResNet with six normalization layers, written from scratch, trained by the same recipe on the same
images. The code and the trained networks: Apache License 2.0.</p>
"""
HEADINGS = ("Network", "Seeds", "n", "Hours", "Device", "Precision", "Commit", "Command", "Weights (sha256)")

Record = Mapping[str, Any]


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab. What comes from the files is read when somebody opens that part."""
    page = Context.root_block
    gr.HTML(WHAT, js_on_load=None)
    with gr.Accordion("Formulas and papers", open=False):
        gr.HTML(describe_norms(), js_on_load=None, elem_id="norms", elem_classes="section about")
    with gr.Accordion("Recipe, data, runs", open=False) as fold_runs:
        trained = gr.HTML(OPENING, js_on_load=None, elem_id="trained", elem_classes="section about", label="training")
    with gr.Accordion("Use it from a program", open=False) as fold_calls:
        calls = gr.HTML(OPENING, js_on_load=None, elem_id="api", elem_classes="section about", label="api")
    with gr.Accordion("Credits and terms", open=False):
        gr.HTML(describe_credits(), js_on_load=None, elem_id="credits", elem_classes="section about")

    @guarded
    def about(model_set: str, variants: list[str] | None, request: gr.Request) -> tuple[str, str]:
        """How the networks of a model set were trained, read from their files, and how to call this page, as HTML."""
        chosen_set = catalog.get(model_set)
        shown = chosen(chosen_set, variants)
        endpoints = page.get_api_info()["named_endpoints"] if page is not None else {}
        return describe_training(chosen_set, shown), describe_api(endpoints, address(request), chosen_set)

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


def describe_training(model_set: ModelSet, variants: Sequence[str]) -> str:
    """Recipe, data, runs, and the commands that make it all again."""
    records = {variant: model_set.checkpoints[variant].metrics for variant in variants if variant in model_set.checkpoints}
    recipe, are_alike = _recipe(records)
    return render(
        "training_record.html",
        model_set=model_set,
        networks=[(short_name(variant), *_run_cells(record)) for variant, record in records.items()],
        headings=HEADINGS,
        data=_first(_inside(record, "provenance", "data") for record in records.values()),
        recipe=recipe,
        are_alike=are_alike,
        problems={variant: model_set.problems[variant] for variant in variants if variant in model_set.problems},
        others=len(variants_of(model_set)),
        commands=training_commands(model_set, variants_of(model_set)),
        text=_text,
    )


def _recipe(records: Mapping[str, Record]) -> tuple[list[tuple[str, str]], bool]:
    """Every field of the recipe, and whether it is the same for all; where not, each value with those that have it."""
    recipes = {variant: _inside(record, "provenance", "recipe") or {} for variant, record in records.items()}
    rows, are_alike = [], True
    for field in dict.fromkeys(field for recipe in recipes.values() for field in recipe):
        by_value: dict[str, list[str]] = {}
        for variant, recipe in recipes.items():
            by_value.setdefault(_text(recipe.get(field)), []).append(short_name(variant))
        shown = "; ".join(f"{value} ({', '.join(names)})" for value, names in by_value.items())
        if len(by_value) == 1:
            shown = next(iter(by_value))
        else:
            are_alike = False
        rows.append((field.replace("_", " "), shown))
    return rows, are_alike


def _run_cells(record: Record) -> tuple[list[str], list[str]]:
    """The cells of a row but the first: words, then code."""
    seeds = list(record.get("seeds") or [])
    runs = _inside(record, "provenance", "runs") or []
    sessions = [session for run in runs for session in run.get("sessions") or []]
    seconds = sum(float(session.get("seconds") or 0) for session in sessions)
    texts = [
        ", ".join(map(str, seeds)) or "–",
        str(len(seeds)),
        f"{seconds / 3600:.2f}" if sessions else "–",
        _distinct(session.get("device") for session in sessions),
        _text(_inside(record, "provenance", "precision")),
        _distinct(str(session.get("commit") or "–")[:12] for session in sessions),
    ]
    weights = _text(_inside(record, "provenance", "weights_sha256"))
    return texts, [_distinct(session.get("command") for session in sessions), weights[:16]]


def _inside(record: Record, *keys: str) -> Any:
    """What lies at the end of some keys; None where the file does not have it."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _first(values: Any) -> Any:
    return next((value for value in values if value), None)


def _distinct(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value)) or "–"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe_api(endpoints: Mapping[str, Any], address: str, model_set: ModelSet) -> str:
    """Examples that run as they stand, and every public event with what it takes and gives.

    Args:
        endpoints: as Gradio's `get_api_info` has them.
        address: of this page.
    """
    events = [
        {
            "name": name,
            "description": endpoint.get("description") or "",
            "takes": [(parameter["parameter_name"], _kind(parameter)) for parameter in endpoint["parameters"]],
            "gives": ", ".join(_returned(value) for value in endpoint["returns"]),
        }
        for name, endpoint in endpoints.items()
    ]
    return render(
        "api_guide.html", python=python_example(address, model_set), curl=curl_example(address, model_set), events=events
    )


def python_example(address: str, model_set: ModelSet) -> str:
    """A program that classifies a photo."""
    variants = list(model_set.checkpoints)[:2]
    return (
        "from gradio_client import Client, handle_file\n\n"
        f'client = Client("{address}")\n'
        "report, answers = client.predict(\n"
        f'    handle_file("photo.jpg"), {json.dumps(model_set.name)}, {json.dumps(variants)}, api_name="/classify"\n'
        ")\n"
        'for key, network in answers["networks"].items():\n'
        '    print(key, network["answer"])'
    )


def curl_example(address: str, model_set: ModelSet) -> str:
    """Two commands that get the final results."""
    data = json.dumps({"data": [model_set.name, list(model_set.checkpoints)[:2]]})
    return (
        f"curl -s {address}/gradio_api/call/results -H 'Content-Type: application/json' \\\n     -d '{data}'\n"
        f"curl -sN {address}/gradio_api/call/results/EVENT_ID"
    )


def _kind(parameter: Mapping[str, Any]) -> str:
    kind = parameter["python_type"]["type"]
    return "a photo, by handle_file" if kind == "filepath" else str(kind)


def _returned(value: Mapping[str, Any]) -> str:
    return {"Html": "HTML", "Json": "data", "Plot": "a plotly figure"}.get(value["component"], value["component"])


def describe_credits() -> str:
    """Terms, and the credits of the example photos from the file beside them."""
    titles = {example.file: example.title for example in EXAMPLES}
    text = (FOLDER / "CREDITS.md").read_text(encoding="utf-8")
    credits = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        name = cells[0].strip("` ")
        if name in titles:
            credits.append([titles[name], *(_linked(cell) for cell in cells[1:5])])
    return render("credits.html", credits=credits)


def _linked(markdown: str) -> Markup:
    """Markdown links and code in a line, as HTML."""
    linked = re.sub(
        r"\[([^\]]+)\]\((https://[^\s)]+)\)",
        r'<a href="\2" target="_blank" rel="noopener noreferrer">\1</a>',
        str(escape(markdown)),  # of a Markup, re.sub would escape the tags too
    )
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", linked))
