"""The part of Results that shows how well every network knows every class."""

from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
from gradio.components.plot import PlotData

from normzoo.analysis.confusion import confusions
from normzoo.app.components import cards, charts
from normzoo.app.components.findings import csv_name
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.components.tables import SORT_SCRIPT, csv_link, sortable
from normzoo.app.core.catalog import Catalog, chosen, classes_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import UNDOCUMENTED
from normzoo.app.tabs.results import confusion
from normzoo.errors import ConfigError
from normzoo.plotting import results as result_charts
from normzoo.plotting.style import style_of
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

EXTREMES = 3
HEADING = """
<h2>Class by class</h2>
<p class="explanation">F1 of every class in per cent, the easiest class on top: high only where a network finds most photos of
the class and seldom names it wrongly. Click a cell to read what it means.</p>
"""


def build(catalog: Catalog, chooser: Chooser) -> None:
    """Place the part; it is filled when somebody opens the tab."""
    gr.HTML(HEADING, js_on_load=None, elem_classes="section")
    words = gr.HTML(js_on_load=None, elem_id="per-class-text")
    plot = gr.Plot(show_label=False, container=False, elem_id="per-class", elem_classes="chart")
    clicks = charts.listener("per-class")
    with gr.Accordion("F1 of every class as a table", open=False):
        table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="per-class-table")
    f1 = gr.JSON(visible=False)

    @guarded
    def per_class(model_set: str, variants: list[str] | None) -> tuple[str, PlotData | None, str, dict[str, Any]]:
        """How well each of the chosen networks knows each class.

        Gives HTML and a plotly figure for the page, and as data the F1 of each class for each network, as fractions.
        """
        chosen_set = catalog.get(model_set)
        return tell(chosen_set, chosen(chosen_set, variants))

    chooser.follow(
        per_class,
        chooser.inputs,
        [words, plot, table, f1],
        on_open=True,
        api_name="per_class",
        concurrency_id="per class",
    )

    @guarded
    def per_class_cell(model_set: str, variants: list[str] | None, clicked: object) -> str:
        """What the clicked cell means, in words."""
        name, label = charts.cell(clicked)
        chosen_set = catalog.get(model_set)
        return tell_cell(chosen_set, chosen(chosen_set, variants), name, label)

    picked = clicks.select(
        per_class_cell,
        [*chooser.inputs, clicks],
        words,
        api_name="per_class_cell",
        concurrency_id="per class",  # they take turns
        **UNDOCUMENTED,
    )
    picked.success(None, js=charts.show("per-class-text"), api_name="show_per_class_cell", **UNDOCUMENTED)


def tell_cell(model_set: ModelSet, variants: list[str], name: str, label: str) -> str:
    """What one network makes of one class, as HTML.

    Args:
        name: of the network, as the chart shows it.

    Raises:
        ConfigError: no such network or class.
    """
    variant = next((variant for variant in variants if style_of(variant).name == name), None)
    classes = classes_of(model_set)
    found, problems = confusions(model_set, [variant] if variant else [])
    if label not in classes or not (found or problems):
        raise ConfigError("The chart shows no such network or class any more. Click again.")
    told = [confusion.about(short_name(variant), one, classes, classes.index(label)) for variant, one in found.items()]
    return confusion.as_words(told) + cards.unavailable(problems)


def tell(model_set: ModelSet, variants: list[str]) -> tuple[str, PlotData | None, str, dict[str, Any]]:
    """The words, the heat map, the table, and the figures as data."""
    found, problems = confusions(model_set, variants)
    classes = classes_of(model_set)
    if not found:
        return cards.unavailable(problems) or NO_NETWORKS, None, "", {}
    f1 = pd.DataFrame({variant: one.f1 for variant, one in found.items()}, index=pd.Index(classes))
    ordered = f1.loc[f1.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    figure = result_charts.f1_heat({str(variant): ordered[variant].tolist() for variant in ordered}, ordered.index.tolist())
    numbers = (100 * ordered).rename(columns=short_name).rename_axis("Class").reset_index()
    texts = numbers.map(lambda value: value if isinstance(value, str) else f"{value:.2f}")
    name = csv_name(model_set.name, "f1")
    table = sortable(numbers, texts, "F1 of every class in per cent") + csv_link(texts, name, "Download the classes as CSV")
    words = render("paragraphs.html", paragraphs=explain(ordered), is_status=False)
    plot = charts.as_plot(figure)
    data = {variant: dict(zip(classes, f1[variant].tolist(), strict=True)) for variant in f1}
    return words + cards.unavailable(problems), plot, table, data


def explain(f1: pd.DataFrame) -> list[str]:
    """What stands out, in sentences.

    Args:
        f1: fractions; a row for each class, the easiest first, a column for each variant.
    """

    def told(rows: pd.DataFrame) -> str:
        return ", ".join(f"{label} ({100 * mean:.0f}%)" for label, mean in rows.mean(axis=1).items())

    parts = [f"Easiest: {told(f1.head(EXTREMES))}. Hardest: {told(f1.tail(EXTREMES).iloc[::-1])}."]
    if f1.shape[1] < 2:
        return parts
    spread = (f1.max(axis=1) - f1.min(axis=1)).sort_values(ascending=False, kind="stable")
    apart = ", ".join(
        f"{label} ({short_name(str(f1.loc[label].idxmax()))} {100 * f1.loc[label].max():.0f}%, "
        f"{short_name(str(f1.loc[label].idxmin()))} {100 * f1.loc[label].min():.0f}%)"
        for label in spread.index[:EXTREMES]
    )
    parts.append(f"The networks differ most about {apart}.")
    values = f1.to_numpy()
    led = (np.isclose(values, values.max(axis=1, keepdims=True))).sum(axis=0)
    leads = ", ".join(f"{short_name(str(variant))} in {count}" for variant, count in zip(f1, led, strict=True) if count)
    parts.append(f"Best, alone or with others, of {len(f1)} classes: {leads}.")
    return parts
