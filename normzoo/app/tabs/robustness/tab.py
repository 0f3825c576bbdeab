"""The tab of robustness: how many corrupted validation images each network still gets right."""

import json
from typing import Any

import gradio as gr
import pandas as pd
from gradio.components.plot import PlotData

from normzoo.analysis import comparisons
from normzoo.analysis.findings.companies import COMPANIES_COLUMNS, companies_finding, own_statistics_lines, read_companies
from normzoo.analysis.findings.robustness import read_contrast, robustness_finding
from normzoo.analysis.results import read_each
from normzoo.app.components import cards
from normzoo.app.components.charts import as_plot
from normzoo.app.components.findings import csv_name, finding_html, tables_html
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import check_choice, guarded
from normzoo.errors import CheckpointError
from normzoo.formatting import capital
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.plotting import results as result_charts
from normzoo.pretrained.registry import ModelSet

ALL = "all"
OPENING = '<p class="hint">Reading the stored results…</p>'
NOT_MEASURED = (
    '<p class="hint">For these networks robustness was not measured yet. <code>python -m training package --again</code> '
    "measures it wherever the finished runs are.</p>"
)
INTRODUCTION = f"""
<div class="explanation"><p>The networks learned from clean images only. Here every validation image is corrupted before they
see it, in {len(CORRUPTIONS)} ways, each at {len(SEVERITIES)} severities; 0 is the image as it is. Classify does the same to
a photo of yours.</p></div>
"""


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; it is filled when somebody opens it."""
    gr.HTML(INTRODUCTION, js_on_load=None)
    choices = [("Mean over all", ALL), *((capital(kind.title), key) for key, kind in CORRUPTIONS.items())]
    corruption = gr.Dropdown(choices, value=ALL, label="What is done to the images", elem_id="corruption")
    plot = gr.Plot(show_label=False, container=False, elem_id="robustness", elem_classes="chart")
    words = gr.HTML(OPENING, js_on_load=None, elem_id="robustness-text")
    table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="robustness-table")
    rows = gr.JSON(visible=False)

    @guarded
    def robustness(
        model_set: str, variants: list[str] | None, corruption: str
    ) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
        """Stored accuracy of the selected networks on corrupted validation images.

        corruption: a corruption, such as gaussian_noise, or all for the mean over all of them. Gives a plotly figure, words
        and an HTML table for the page; last, for each network, corruption and severity the accuracy as a fraction, beside the
        clean one, and the share of it that is kept.
        """
        chosen_set = catalog.get(model_set)
        return tell(chosen_set, chosen(chosen_set, variants), corruption)

    chooser.follow(
        robustness,
        [*chooser.inputs, corruption],
        [plot, words, table, rows],
        also=[corruption.input],
        on_open=True,
        api_name="robustness",
        show_progress_on=plot,
    )


def tell(model_set: ModelSet, variants: list[str], corruption: str) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
    """The chart, the words below it, the table, and the rows as data for the API.

    Raises:
        ConfigError: an unknown corruption.
    """
    check_choice("corruption", corruption, (ALL, *CORRUPTIONS))
    found = comparisons.robustness(model_set, variants)
    problems = cards.unavailable(found.problems)
    frame = found.frame
    kind = None if corruption == ALL else corruption
    damaged = []
    try:
        companies, contrast = read_companies(model_set, variants), read_contrast(model_set, variants)
    except CheckpointError as error:
        companies, contrast, damaged = pd.DataFrame(columns=list(COMPANIES_COLUMNS)), [], [str(error)]
    figure = result_charts.severity_lines(with_clean(frame, corruption), own_statistics_lines(companies, kind))
    plot = as_plot(figure)
    if frame.empty:
        return plot, (NOT_MEASURED if variants else NO_NETWORKS) + problems, "", []
    finding = robustness_finding(frame, images_of(model_set), contrast, kind)
    own = companies_finding(companies, frame)
    words = cards.names(frame["variant"].unique()) + finding_html(own) + finding_html(finding) + problems
    words += render("paragraphs.html", paragraphs=damaged, is_status=False)
    tables = tables_html(finding, csv_name(model_set.name, "robustness"))
    tables += tables_html(own, csv_name(model_set.name, "companies"))
    return plot, words, tables, json.loads(frame.to_json(orient="records", double_precision=15))


def with_clean(frame: pd.DataFrame, corruption: str) -> pd.DataFrame:
    """The mean accuracy per variant and severity of one corruption or of all, with the clean one as severity 0."""
    shown = frame if corruption == ALL else frame[frame["corruption"] == corruption]
    clean = shown.drop_duplicates("variant").assign(severity=0, accuracy=lambda rows: rows["clean"])
    return pd.concat([clean, shown]).groupby(["variant", "severity"], sort=False, as_index=False)["accuracy"].mean()


def images_of(model_set: ModelSet) -> int:
    """Return how many validation images the networks of a set were measured on."""
    found, _ = read_each(model_set, model_set.checkpoints, lambda checkpoint: len(checkpoint.val_logits()[1]))
    return next(iter(found.values()), 0)
