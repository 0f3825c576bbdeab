"""The tab of final results: one row for each chosen network, then what they have to do with each other."""

import json
from typing import Any

import gradio as gr

from normzoo.analysis.confusion import confusions
from normzoo.analysis.findings.finals import finals_figures
from normzoo.analysis.results import METRICS, final_metrics
from normzoo.app.components import cards
from normzoo.app.components.findings import csv_name, figures_html
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.tabs.results import calibration, confusion, other_trainings, per_class
from normzoo.app.tabs.results import comparisons as versus
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

NOTE = """
<div class="explanation"><p>After the last epoch, in evaluation mode and without augmentation. Loss is the mean cross entropy
of a photo in nats: lower is better. The others are in per cent: higher is better. Every photo has one label, so micro F1 is
the same number as accuracy. MACs: multiply-accumulates for one photo. n: how many runs, each with its own seed.</p></div>
"""


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab, with the first table in it."""
    start, _ = tabulate(default, main_variants_of(default))
    table = gr.HTML(start, js_on_load=SORT_SCRIPT, elem_id="results")
    gr.HTML(NOTE, js_on_load=None)
    rows = gr.JSON(visible=False)

    @guarded
    def results(model_set: str, variants: list[str] | None) -> tuple[str, list[dict[str, Any]]]:
        """The final figures of the chosen networks.

        Gives an HTML table for the page, and the same as data: for each network the mean over its seeds and the standard
        deviation of every metric, as fractions and nats.
        """
        chosen_set = catalog.get(model_set)
        return tabulate(chosen_set, chosen(chosen_set, variants))

    chooser.follow(results, chooser.inputs, [table, rows], api_name="results", show_progress_on=table)
    confusion.build(catalog, default, chooser)
    per_class.build(catalog, chooser)


def build_evidence(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place what the networks have to do with each other."""
    versus.build(catalog, chooser)
    other_trainings.build(catalog, chooser)
    calibration.build(catalog, chooser)


def tabulate(model_set: ModelSet, variants: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """The table with its CSV link, as HTML; and its rows, as data for the API."""
    finals = final_metrics(model_set, variants)
    problems = cards.unavailable(finals.problems)
    if finals.frame.empty:
        return problems or NO_NETWORKS, []
    rows = json.loads(finals.frame.to_json(orient="records", double_precision=15))  # NaN becomes null
    table = figures_html(finals_figures(finals.frame), csv_name(model_set.name, "results"))
    unequal = imbalance(model_set, finals.frame["variant"].iloc[0])
    return table + unequal + problems + cards.names(finals.frame["variant"]), rows


def imbalance(model_set: ModelSet, variant: str) -> str:
    """Where some classes have more validation photos than others: what that does to a network's macro and micro F1; as HTML."""
    found, _ = confusions(model_set, [variant])
    if not found:
        return ""
    support, classes = found[variant].support, classes_of(model_set)
    few, many = int(support.argmin()), int(support.argmax())
    if support[few] == support[many]:
        return ""
    val = model_set.checkpoints[variant].metrics["final"]["val"]
    macro, micro = (METRICS[key].text(val[key]["mean"]) for key in ("macro_f1", "micro_f1"))
    text = (
        f"The classes are not equally frequent: from {support[few]} validation photos of {classes[few]} to {support[many]} of "
        f"{classes[many]}. Accuracy and micro F1 count every photo alike, so that frequent classes weigh more; macro F1 counts "
        f"every class alike. For {short_name(variant)} micro F1 is {micro}%, macro F1 {macro}%."
    )
    return render("paragraphs.html", paragraphs=[text], is_status=False)
