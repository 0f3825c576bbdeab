"""The part of Results that holds networks against their twins, trained in the same way on larger or smaller images."""

import json
from typing import Any

import gradio as gr

from normzoo.analysis.findings.image_size import image_size_finding, sized_sets
from normzoo.app.components.findings import csv_name, finding_html, tables_html
from normzoo.app.components.html import render
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded

HEADING = "Who gains from larger photos"
ALONE = "The networks of this set were trained at one size of photos only."


def build(catalog: Catalog, chooser: Chooser) -> None:
    """Place the part; it is filled when somebody opens the tab."""
    gr.HTML(f"<h2>{HEADING}</h2>", js_on_load=None, elem_classes="section")
    shown = gr.HTML('<p class="hint">Reading the stored answers…</p>', js_on_load=SORT_SCRIPT, elem_id="image-sizes")
    rows = gr.JSON(visible=False)

    @guarded
    def image_sizes(model_set: str, variants: list[str] | None) -> tuple[str, list[dict[str, Any]]]:
        """How the accuracy of the chosen networks changes with the size of the images, where they were trained at several.

        Gives HTML for the page; as data a row for each network, in per cent and points.
        """
        chosen_set = catalog.get(model_set)
        finding = image_size_finding(sized_sets(chosen_set, catalog.sets.values()), chosen(chosen_set, variants))
        if not finding.tables:
            return render("paragraphs.html", paragraphs=[ALONE], is_status=False), []
        numbers, _ = finding.tables[0].frames
        data = json.loads(numbers.to_json(orient="records", double_precision=6))
        return finding_html(finding) + tables_html(finding, csv_name(chosen_set.name, "image-sizes")), data

    chooser.follow(image_sizes, chooser.inputs, [shown, rows], on_open=True, api_name="image_sizes", show_progress_on=shown)
