"""The part of Results that asks whether a network is right as often as it is sure."""

import functools
import json
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from normzoo.analysis.calibration import Calibration
from normzoo.analysis.findings.calibration import calibration_finding, calibrations, reliability_points
from normzoo.app.components import cards, charts
from normzoo.app.components.findings import csv_name, finding_html, tables_html
from normzoo.app.components.html import NO_NETWORKS
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.plotting.results import reliability_lines

HEADING = """
<h2>As often right as sure?</h2>
<p class="explanation">Photos by how sure a network is of its answer, in 15 bins that hold as many each. On the grey line it
would be right as often as it is sure; below, it is surer than it should be.</p>
"""
OPENING = '<p class="hint">Reading the stored answers…</p>'


def build(catalog: Catalog, chooser: Chooser) -> None:
    """Place the part; it is filled when somebody opens the tab."""
    gr.HTML(HEADING, js_on_load=None, elem_classes="section")
    plot = gr.Plot(show_label=False, container=False, elem_id="reliability", elem_classes="chart")
    words = gr.HTML(OPENING, js_on_load=None, elem_id="calibration-text")
    table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="calibration")
    rows = gr.JSON(visible=False)

    @functools.lru_cache(maxsize=64)
    def calibrated(name: str, variant: str) -> tuple[dict[str, list[Calibration]], dict[str, str]]:
        return calibrations(catalog.get(name), [variant])

    @guarded
    def calibration(model_set: str, variants: list[str] | None) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
        """Whether the selected networks are right as often as they are sure, on the validation images.

        Gives a plotly figure, words and an HTML table for the page; as data the reliability diagram of each network's first
        seed, fractions.
        """
        chosen_set = catalog.get(model_set)
        found: dict[str, list[Calibration]] = {}
        problems: dict[str, str] = {}
        for variant in chosen(chosen_set, variants):
            own, why = calibrated(chosen_set.name, variant)
            found |= own
            problems |= why
        points = reliability_points(found)
        figure = charts.as_plot(reliability_lines(points))
        finding = calibration_finding(found)
        told = finding_html(finding) if found else NO_NETWORKS
        data = json.loads(points.to_json(orient="records", double_precision=6))
        return figure, told + cards.unavailable(problems), tables_html(finding, csv_name(chosen_set.name, "calibration")), data

    chooser.follow(
        calibration,
        chooser.inputs,
        [plot, words, table, rows],
        on_open=True,
        api_name="calibration",
        show_progress_on=plot,
    )
