"""The tab About: what each norm computes, how the networks were trained, and terms."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import pandas as pd
from markupsafe import Markup

from normzoo.app.components.html import SORT_SCRIPT, render, sortable
from normzoo.app.core.catalog import Catalog, chosen, variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.examples import FOLDER
from normzoo.findings.finding import training_commands
from normzoo.nn.registry import NORM_LAYERS, describe_norm
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

OPENING = '<p class="hint">Reading the files…</p>'

WHAT = """
<p class="hint-line">A ResNet with six normalization layers, written from scratch, trained by the same recipe on the same
images. The code and the trained networks: Apache License 2.0.</p>
"""
PROGRAMS = """
<p class="hint-line">Programs can request everything that this page shows: endpoints, with examples in Python, JavaScript and
curl, are under "Use via API" below.</p>
"""
TERMS = """
No training photo is shipped here. Networks of the data set tiny-imagenet-25 learned from Tiny ImageNet, whose photos come from
ImageNet: those are for non-commercial research and education under ImageNet's own terms, and belong to their authors. Consider
this before you use the networks for anything else. Photos that you upload are used only to answer you, and are deleted from
this server after about an hour.

"""
HEADINGS = ("Network", "Seeds", "n", "Hours", "Device", "Precision", "Commit", "Command", "Weights (sha256)")

Record = Mapping[str, Any]


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab. What comes from the files is read when somebody opens that part."""
    gr.HTML(WHAT, js_on_load=None)
    calls = gr.HTML(PROGRAMS, js_on_load=None, label="api")
    with gr.Accordion("Formulas and papers", open=False):
        gr.HTML(describe_norms(), js_on_load=None, elem_id="norms", elem_classes="section about")
    with gr.Accordion("Recipe, data, runs", open=False) as fold_runs:
        trained = gr.HTML(OPENING, js_on_load=SORT_SCRIPT, elem_id="trained", elem_classes="section about", label="training")
    with gr.Accordion("Credits and terms", open=False):
        gr.Markdown(TERMS + (FOLDER / "CREDITS.md").read_text(encoding="utf-8"), elem_id="credits")

    def about(model_set: str, variants: list[str] | None) -> tuple[str, str]:
        """How the networks of a model set were trained, read from their files, and how to call this page, as HTML."""
        chosen_set = catalog.get(model_set)
        return describe_training(chosen_set, chosen(chosen_set, variants)), PROGRAMS

    chooser.follow(about, chooser.inputs, [trained, calls], also=[fold_runs.expand], on_open=True, place="#trained")


def describe_norms() -> str:
    """Every norm of the zoo with its formula, axes and paper, as HTML; all of it from the zoo's own table."""
    norms = [(key, describe_norm(key)) for key in NORM_LAYERS]
    return render("norms.html", norms=norms, looks_across=lambda norm: any("N" in axes for axes in norm.pooled_axes))


def describe_training(model_set: ModelSet, variants: Sequence[str]) -> str:
    """Recipe, data, runs, and the commands that make it all again."""
    records = {variant: model_set.checkpoints[variant].metrics for variant in variants if variant in model_set.checkpoints}
    recipe, are_alike = _recipe(records)
    runs = pd.DataFrame([[short_name(variant), *_run_cells(record)] for variant, record in records.items()], columns=HEADINGS)
    return render(
        "training_record.html",
        model_set=model_set,
        runs=Markup(sortable(runs, runs, "The runs behind each network")) if records else "",
        data=next(filter(None, (_inside(record, "provenance", "data") for record in records.values())), None),
        recipe=recipe,
        are_alike=are_alike,
        problems={variant: model_set.problems[variant] for variant in variants if variant in model_set.problems},
        others=len(variants_of(model_set)),
        commands=training_commands(variants_of(model_set), model_set),
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


def _run_cells(record: Record) -> list[str]:
    """The cells of a row but the first."""
    seeds = list(record.get("seeds") or [])
    runs = _inside(record, "provenance", "runs") or []
    sessions = [session for run in runs for session in run.get("sessions") or []]
    seconds = sum(float(session.get("seconds") or 0) for session in sessions)
    return [
        ", ".join(map(str, seeds)) or "–",
        str(len(seeds)),
        f"{seconds / 3600:.2f}" if sessions else "–",
        _distinct(session.get("device") for session in sessions),
        _text(_inside(record, "provenance", "precision")),
        _distinct(str(session.get("commit") or "–")[:12] for session in sessions),
        _distinct(session.get("command") for session in sessions),
        _text(_inside(record, "provenance", "weights_sha256"))[:16],
    ]


def _inside(record: Record, *keys: str) -> Any:
    """What lies at the end of some keys; None where the file does not have it."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _distinct(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value)) or "–"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
