"""The part of Results that holds networks against the same ones trained otherwise: on larger photos, by a changed recipe."""

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from normzoo.analysis.findings.finding import Finding
from normzoo.analysis.findings.other_trainings import base_set, image_size_finding, recipe_change_finding, sized_sets
from normzoo.app.components.findings import csv_name, finding_html, tables_html
from normzoo.app.components.html import render
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.pretrained.registry import ModelSet

HEADING = """
<h2>The same networks, trained otherwise</h2>
<p class="explanation">On larger or smaller photos, or with one field of the recipe changed.</p>
"""
ALONE = "There is no other training to hold these networks against."


def build(catalog: Catalog, chooser: Chooser) -> None:
    """Place the part; it is filled when somebody opens the tab."""
    gr.HTML(HEADING, js_on_load=None, elem_classes="section")
    shown = gr.HTML('<p class="hint">Reading the stored answers…</p>', js_on_load=SORT_SCRIPT, elem_id="other-trainings")
    rows = gr.JSON(visible=False)

    @guarded
    def other_trainings(model_set: str, variants: list[str] | None) -> tuple[str, list[list[dict[str, Any]]]]:
        """How the accuracy of the chosen networks changes with the size of the photos, or with a field of the recipe.

        Gives HTML for the page; as data a table for each such comparison, in per cent and points.
        """
        chosen_set = catalog.get(model_set)
        found = findings(chosen_set, list(catalog.sets.values()), chosen(chosen_set, variants))
        if not found:
            return render("paragraphs.html", paragraphs=[ALONE], is_status=False), []
        text = "".join(
            finding_html(each) + tables_html(each, csv_name(chosen_set.name, f"trainings-{number}"))
            for number, each in enumerate(found, start=1)
        )
        return text, [json.loads(each.tables[0].frames[0].to_json(orient="records", double_precision=6)) for each in found]

    chooser.follow(
        other_trainings, chooser.inputs, [shown, rows], on_open=True, api_name="other_trainings", show_progress_on=shown
    )


def findings(model_set: ModelSet, others: Sequence[ModelSet], variants: list[str]) -> list[Finding]:
    """Return what there is to say of a set, of the one that its recipe was changed from, and of those changed from it."""
    changed = [(base, other) for other in others if (base := base_set(other, others)) and model_set in (base, other)]
    found = [image_size_finding(sized_sets(model_set, others), variants)]
    found += [recipe_change_finding(base, other, variants) for base, other in changed]
    return [each for each in found if each.tables]
