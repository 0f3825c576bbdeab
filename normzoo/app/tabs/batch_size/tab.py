"""The tab of batch sizes: what they do to the norms of which the original study asked it."""

import json
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from normzoo.analysis.batch_sizes import by_batch_size, missing_runs, norms_of_study, sized_runs
from normzoo.analysis.commands import missing_commands
from normzoo.analysis.findings.batch_size import DIVIDED as DIVIDED_TITLE
from normzoo.analysis.findings.batch_size import batch_size_finding
from normzoo.analysis.findings.other_trainings import sized_sets
from normzoo.analysis.results import METRICS, Metric, history
from normzoo.app.components.charts import as_plot
from normzoo.app.components.findings import csv_name, tables_html
from normzoo.app.components.html import render
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen
from normzoo.app.core.controls import FIRST_SPLITS, SPLIT_CHOICES, Chooser
from normzoo.app.core.errors import check_choice, guarded
from normzoo.formatting import capital
from normzoo.plotting import curves as charts
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import Variant, short_name

#: The original study's loss.
DIVIDED = Metric("loss_divided", DIVIDED_TITLE, is_fraction=False, higher_is_better=False)
SHOWN = {"loss": METRICS["loss"], DIVIDED.key: DIVIDED, "accuracy": METRICS["accuracy"], "macro_f1": METRICS["macro_f1"]}
INTRODUCTION = """
<div class="explanation"><p>Batch normalization computes its means over the images of a batch, so the size of the batch is part
of it. Group normalization looks at each image alone: it is the control. All else is the recipe's: as many epochs at the same
learning rate, so a larger batch also means fewer steps.</p><p>The original study divides its loss by the batch size once more.
Both conventions are here: choose the divided one to see how it alone moves the curves apart.</p></div>
"""
OPENING = '<p class="hint">Reading the stored results…</p>'


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; it is filled when somebody opens it."""
    gr.HTML(INTRODUCTION, js_on_load=None)
    choices = [(capital(metric.title), key) for key, metric in SHOWN.items()]
    with gr.Row():
        metric = gr.Radio(choices, value="loss", label="What is measured", min_width=280)
        splits = gr.Radio(list(SPLIT_CHOICES), value=FIRST_SPLITS, label="On which photos", min_width=280)
    plot = gr.Plot(show_label=False, container=False, elem_id="batch-size", elem_classes="chart")
    words = gr.HTML(OPENING, js_on_load=None, elem_id="batch-size-text")
    table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="batch-size-table")
    rows = gr.JSON(visible=False)

    @guarded
    def batch_sizes(
        model_set: str, variants: list[str] | None, metric: str, splits: str
    ) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
        """The networks that were trained at several batch sizes, of those norms that are among the chosen networks.

        metric: loss, loss_divided, accuracy or macro_f1. splits: Validation, Training or Both. Gives a plotly figure, words
        and an HTML table for the page; last the final figures of each network: fractions, and losses in nats.
        """
        chosen_set = catalog.get(model_set)
        norms = [norm for norm in norms_of_study() if norm in chosen(chosen_set, variants)]
        return tell(studied_set(catalog, chosen_set), norms, metric, splits)

    chooser.follow(
        batch_sizes,
        [*chooser.inputs, metric, splits],
        [plot, words, table, rows],
        also=[metric.input, splits.input],
        on_open=True,
        api_name="batch_sizes",
        show_progress_on=plot,
    )


def studied_set(catalog: Catalog, model_set: ModelSet) -> ModelSet:
    """The set itself where it has runs of other batch sizes, or else one of the same data set, at any image size, that has."""
    same_images = {model_set.data, *(twin.data for twin in sized_sets(model_set, catalog.sets.values()))}
    others = sorted(
        (other for other in catalog.sets.values() if other.data in same_images), key=lambda other: other.data != model_set.data
    )
    return next(
        (one for one in (model_set, *others) if any(Variant.parse(run.variant).batch_size for run in sized_runs(one))),
        model_set,
    )


def tell(model_set: ModelSet, norms: list[str], metric: str, splits: str) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
    """The curves, the words, the table, and the final figures as data.

    Raises:
        ConfigError: an unknown metric or choice of splits.
    """
    check_choice("metric", metric, SHOWN)
    check_choice("splits", splits, SPLIT_CHOICES)
    runs = [run for run in sized_runs(model_set) if run.norm in norms]
    learned = history(model_set, [run.variant for run in runs])
    frame = learned.frame
    if not frame.empty:
        batch_sizes = frame["variant"].map({run.variant: run.batch_size for run in runs})
        frame = frame.assign(loss_divided=frame["loss"] / batch_sizes)
    figure = charts.curves(frame, SHOWN[metric], SPLIT_CHOICES[splits]) if len(frame) else {"data": [], "layout": {}}
    plot = as_plot(figure)
    wanted = f"{short_name(norms_of_study()[0])} or {short_name(norms_of_study()[-1])}"
    if not norms:
        return plot, f'<p class="hint">Choose {wanted} at the top of the page.</p>', "", []
    missing = missing_runs(model_set, norms)
    unreadable = {variant: why for variant, why in model_set.problems.items() if Variant.parse(variant).norm in norms}
    finding, finals = batch_size_finding(model_set, norms), by_batch_size(model_set, norms)
    words = render(
        "batch_size.html",
        model_set=model_set,
        missing=missing,
        commands=missing_commands(model_set, missing),
        problems={**unreadable, **learned.problems},
        finding=finding,
    )
    rows = json.loads(finals.to_json(orient="records", double_precision=15))
    return plot, words, tables_html(finding, csv_name(model_set.name, "batch-sizes")), rows
