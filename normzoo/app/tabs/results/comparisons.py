"""The part of Results that holds the networks against each other: which two differ by more than chance."""

import functools
import json
from typing import Any

import gradio as gr
import pandas as pd

from normzoo.analysis.comparisons import pairs
from normzoo.analysis.findings.pairs import among, best_first, pairs_finding
from normzoo.analysis.findings.reference import reference_finding, slips
from normzoo.analysis.results import Table
from normzoo.app.components import cards
from normzoo.app.components.findings import csv_name, finding_html, tables_html
from normzoo.app.components.html import render
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of, variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded

OPENING = '<p class="hint">Comparing every two networks on every validation image…</p>'
TOO_FEW = '<p class="hint">Choose at least two networks at the top of the page.</p>'
HEADING = """
<h2>Who beats whom</h2>
<p class="explanation">Every two networks answered the same validation images. Two are told apart if, in
every seed, one is right so much more often where the other is wrong that chance alone would rarely do it. Not told apart does
not mean equal.</p>
"""
ORIGINAL_HEADING = """
<h2>Beside the original study</h2>
<p class="explanation">What the study that this page repeats reported, and what came out here.</p>
"""


def build(catalog: Catalog, chooser: Chooser) -> None:
    """Place the part; it is filled when somebody opens the tab."""
    gr.HTML(HEADING, js_on_load=None, elem_classes="section")
    matrix = gr.HTML(OPENING, js_on_load=None, elem_id="versus")
    with gr.Accordion("Every pair as a table", open=False):
        pair_table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="pairs")
    gr.HTML(ORIGINAL_HEADING, js_on_load=None, elem_classes="section")
    original = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="original")
    rows = gr.JSON(visible=False)

    @functools.lru_cache(maxsize=64)
    def compared(name: str, family: tuple[str, ...]) -> Table:
        return pairs(catalog.get(name), family)

    @guarded
    def compare_networks(model_set: str, variants: list[str] | None) -> tuple[str, str, str, list[dict[str, Any]]]:
        """Every two of the selected networks on the same validation images, and both beside the original study.

        Gives three HTML tables for the page, and as data for each pair: the difference of the accuracies (fractions) with
        its 95% interval, and the exact McNemar test, its p-value also corrected by Holm's method over all pairs tested.
        """
        chosen_set = catalog.get(model_set)
        shown = chosen(chosen_set, variants)
        # What is hidden is still tested: a choice of networks must not make a difference significant.
        tested = {*main_variants_of(chosen_set), *shown}
        found = compared(chosen_set.name, tuple(variant for variant in variants_of(chosen_set) if variant in tested))
        both = among(found.frame, shown)
        problems = cards.unavailable({variant: why for variant, why in found.problems.items() if variant in shown})
        told, reference = pairs_finding(found.frame, shown), reference_finding(chosen_set, shown, both)
        return (
            (draw(both) + finding_html(told) if len(both) else TOO_FEW) + problems,
            tables_html(told, csv_name(chosen_set.name, "pairs"), "Download the pairs as CSV") or TOO_FEW,
            tables_html(reference, csv_name(chosen_set.name, "original"), "Download both as CSV")
            + finding_html(reference, slips(), "Slips and statements in the original report"),
            json.loads(both.to_json(orient="records", double_precision=15)),
        )

    chooser.follow(
        compare_networks,
        chooser.inputs,
        [matrix, pair_table, original, rows],
        on_open=True,
        api_name="compare_networks",
        show_progress_on=matrix,
    )


def draw(frame: pd.DataFrame) -> str:
    """Return the matrix, best network first, as HTML.

    Args:
        frame: as `comparisons.pairs` gives it.
    """
    cells = {pair: _cell(*figures) for pair, figures in _both_ways(frame).items()}
    return render("versus.html", order=best_first(frame), cells=cells)


def _both_ways(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float, float, float, bool]]:
    """(row, column) -> difference, its interval, corrected p-value, whether it is significant."""
    cells = {}
    for row in frame.itertuples():
        rest = (float(row.p_holm), bool(row.significant))
        cells[row.first, row.second] = (float(row.difference), float(row.low), float(row.high), *rest)
        cells[row.second, row.first] = (0.0 - float(row.difference), -float(row.high), -float(row.low), *rest)
    return cells


def _cell(difference: float, low: float, high: float, p_value: float, significant: bool) -> dict[str, str]:
    kind, mark, words = (
        ("even", "≈", "not told apart")
        if not significant
        else (("wins", "▲", "better") if difference > 0 else ("loses", "▼", "worse"))
    )
    title = f"95% interval {100 * low:+.2f} to {100 * high:+.2f} points, corrected p = {p_value:.2g}"
    return {"kind": kind, "mark": mark, "words": words, "title": title, "points": f"{100 * difference:+.2f}"}
