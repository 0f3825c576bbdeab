"""The tab of final results: one row for each chosen network."""

import json
from typing import Any

import gradio as gr

from normzoo.app import cards
from normzoo.app.catalog import Catalog, chosen, main_variants_of
from normzoo.app.chooser import Chooser
from normzoo.app.guard import guarded
from normzoo.app.table import SORT_SCRIPT, csv_link, sortable
from normzoo.results import final_metrics, metrics_on_screen
from normzoo.zoo import ModelSet

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


def tabulate(model_set: ModelSet, variants: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """The table with its CSV link, as HTML; and its rows, as data for the API."""
    finals = final_metrics(model_set, variants)
    problems = cards.unavailable(finals.problems)
    if finals.frame.empty:
        return problems or cards.NO_NETWORKS, []
    numbers, texts = metrics_on_screen(finals.frame)
    name = f"normzoo-{model_set.name.replace('/', '-')}-results.csv"
    rows = json.loads(finals.frame.to_json(orient="records", double_precision=15))  # NaN becomes null
    table = sortable(numbers, texts, "Results after the last epoch")
    return table + csv_link(texts, name) + problems + cards.names(finals.frame["variant"]), rows
