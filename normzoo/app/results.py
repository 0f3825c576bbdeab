"""The tab of final results: one row for each chosen network, then what they have to do with each other."""

import json
from typing import Any

import gradio as gr

from normzoo.app import cards, confusion, per_class, versus
from normzoo.app.catalog import Catalog, chosen, main_variants_of
from normzoo.app.chooser import Chooser
from normzoo.app.guard import guarded
from normzoo.app.table import BEST_NOTE, SORT_SCRIPT, csv_link, sortable
from normzoo.results import METRICS, SPLITS, final_metrics, metrics_on_screen
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

    _, of_set = chooser.follow(results, chooser.inputs, [table, rows], api_name="results", show_progress_on=table)
    versus.build(catalog, chooser)
    confusion.build(catalog, default, chooser, of_set)
    per_class.build(catalog, chooser)


def tabulate(model_set: ModelSet, variants: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """The table with its CSV link, as HTML; and its rows, as data for the API."""
    finals = final_metrics(model_set, variants)
    problems = cards.unavailable(finals.problems)
    if finals.frame.empty:
        return problems or cards.NO_NETWORKS, []
    numbers, texts = metrics_on_screen(finals.frame)
    name = f"normzoo-{model_set.name.replace('/', '-')}-results.csv"
    rows = json.loads(finals.frame.to_json(orient="records", double_precision=15))  # NaN becomes null
    table = sortable(numbers, texts, "Results after the last epoch", higher_is_better())
    return table + BEST_NOTE + csv_link(texts, name) + problems + cards.names(finals.frame["variant"]), rows


def higher_is_better() -> dict[str, bool]:
    """The columns of the table in which the best is marked, and in which direction."""
    return {
        f"{split} {metric.title}{' (%)' if metric.is_fraction else ''}": metric.higher_is_better
        for split in SPLITS.values()
        for metric in METRICS.values()
    }
