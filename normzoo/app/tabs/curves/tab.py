"""The tab of learning curves: any metric of any of the chosen networks, over the epochs."""

from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from normzoo.analysis.results import METRICS, Metric, Table, chance_loss, history, over_seeds
from normzoo.app.components import cards, downloads
from normzoo.app.components.charts import as_plot
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.core.controls import FIRST_SPLITS, SPLIT_CHOICES, Chooser
from normzoo.app.core.errors import check_choice, guarded
from normzoo.app.core.events import UNDOCUMENTED
from normzoo.app.tabs.curves import panels
from normzoo.formatting import capital
from normzoo.plotting import curves as charts
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

FIRST_METRIC = "accuracy"
VIEWS = ("All networks, one metric", "One network, four panels")
#: what the control says -> the axes that it stands for
LOG_CHOICES = [("Values", "y"), ("Epochs", "x")]
MAX_SMOOTHING = 0.95


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab, with the first chart in it."""
    with gr.Row():
        view = gr.Radio(list(VIEWS), value=VIEWS[0], label="View", scale=3, min_width=280)
        smoothing = gr.Slider(
            0, MAX_SMOOTHING, value=0, step=0.05, label="Smoothing (0: none)", buttons=[], scale=2, min_width=280
        )
        log_axes = gr.CheckboxGroup(LOG_CHOICES, label="Logarithmic axes", scale=2, min_width=200)
    with gr.Column() as together:
        _build_together(catalog, default, chooser, smoothing, log_axes)
    with gr.Column(visible=False) as alone:
        panels.build(catalog, default, chooser, view, smoothing, log_axes)

    @guarded
    def choose_view(view: str) -> list[Any]:
        """Show the one part and hide the other."""
        return [gr.Column(visible=view == VIEWS[0]), gr.Column(visible=view != VIEWS[0])]

    view.input(choose_view, view, [together, alone], api_name="choose_view", **UNDOCUMENTED)


def _build_together(
    catalog: Catalog, default: ModelSet, chooser: Chooser, smoothing: gr.Slider, log_axes: gr.CheckboxGroup
) -> None:
    choices = [(capital(metric.title), key) for key, metric in METRICS.items()]
    figure, words = draw(default, main_variants_of(default), FIRST_METRIC, FIRST_SPLITS)
    with gr.Row():
        metric = gr.Radio(choices, value=FIRST_METRIC, label="What is measured", min_width=280)
        splits = gr.Radio(list(SPLIT_CHOICES), value=FIRST_SPLITS, label="On which photos", min_width=280)
    plot = gr.Plot(figure, show_label=False, container=False, elem_id="curves")
    inputs = [*chooser.inputs, metric, splits, smoothing, log_axes]

    def make(
        model_set: str, variants: list[str] | None, metric: str, splits: str, smoothing: float, log_axes: list[str], to: str
    ) -> tuple[str, bytes]:
        chosen_set = catalog.get(model_set)
        return as_file(chosen_set, chosen(chosen_set, variants), metric, splits, smoothing, log_axes, to)

    downloads.build(make, inputs, "curves", plot)
    explanation = gr.HTML(words, js_on_load=None, elem_id="curves-text")

    @guarded
    def learning_curves(
        model_set: str,
        variants: list[str] | None,
        metric: str,
        splits: str,
        smoothing: float = 0,
        log_axes: list[str] | None = None,
    ) -> tuple[PlotData, str]:
        """The stored learning curves of the chosen networks: a plotly figure, and in words what it shows.

        metric: loss, accuracy, macro_f1 or micro_f1. splits: Validation, Training or Both. smoothing: from 0, which is none,
        to less than 1. log_axes: those of x and y that are logarithmic.
        """
        chosen_set = catalog.get(model_set)
        return draw(chosen_set, chosen(chosen_set, variants), metric, splits, smoothing, log_axes)

    chooser.follow(
        learning_curves,
        inputs,
        [plot, explanation],
        also=[metric.input, splits.input, smoothing.input, log_axes.input],
        api_name="learning_curves",
    )


def draw(
    model_set: ModelSet,
    variants: list[str],
    metric: str,
    splits: str,
    smoothing: float = 0,
    log_axes: list[str] | None = None,
) -> tuple[PlotData, str]:
    """The chart, and the words below it.

    Raises:
        ConfigError: an unknown metric, choice of splits, amount of smoothing, or axis.
    """
    table, chance = _curves_of(model_set, variants, metric, splits)
    figure = charts.curves(table.frame, METRICS[metric], SPLIT_CHOICES[splits], chance, smoothing, panels.check_axes(log_axes))
    num_classes = len(classes_of(model_set)) if chance else 0
    words = explain(table.frame, METRICS[metric], splits, num_classes, smoothing) + cards.unavailable(table.problems)
    return as_plot(figure), words


def as_file(
    model_set: ModelSet,
    variants: list[str],
    metric: str,
    splits: str,
    smoothing: float,
    log_axes: list[str] | None,
    file_format: str,
) -> tuple[str, bytes]:
    """The chart as a picture, or its numbers as CSV: a name without ending, and the content."""
    table, chance = _curves_of(model_set, variants, metric, splits)
    name = downloads.file_name(model_set.name, metric, splits)
    chosen_splits = SPLIT_CHOICES[splits]
    if file_format == "csv":
        return name, panels.to_csv(table.frame[table.frame["split"].isin(chosen_splits)], [metric], smoothing)
    from normzoo.plotting import static as plots  # matplotlib: only for those who want a file

    figure = plots.curves(table.frame, METRICS[metric], chosen_splits, chance, smoothing, panels.check_axes(log_axes))
    return name, plots.to_bytes(figure, file_format)


def _curves_of(model_set: ModelSet, variants: list[str], metric: str, splits: str) -> tuple[Table, float | None]:
    """What is to be drawn: the histories, and the loss of guessing where that belongs there."""
    check_choice("metric", metric, METRICS)
    check_choice("splits", splits, SPLIT_CHOICES)
    num_classes = len(classes_of(model_set))
    return history(model_set, variants), chance_loss(num_classes) if metric == "loss" and num_classes else None


def explain(frame: Any, metric: Metric, splits: str, num_classes: int, smoothing: float = 0) -> str:
    """What the chart shows, in words, with the last values for those who cannot see it; as HTML."""
    if frame.empty:
        return NO_NETWORKS
    chosen_splits = SPLIT_CHOICES[splits]
    parts = []
    if "val" in chosen_splits:
        parts.append("Validation: photos that the networks never learned from, measured after every epoch.")
    if "train" in chosen_splits:
        dotted = "Training (dotted)" if len(chosen_splits) > 1 else "Training"
        parts.append(f"{dotted}: measured on each batch just as they learn from it; Results has the finished networks.")
    if num_classes:
        parts.append(f"Dashed: the loss of guessing among {num_classes} classes, ln {num_classes}.")
    parts.append(panels.tell_seeds(frame))
    parts.append(panels.tell_smoothing(smoothing))
    parts.append("Click a name above the chart to hide its line, click it twice to see it alone.")
    ends = [_last_values(frame, metric, split) for split in chosen_splits]
    names = cards.names(frame["variant"].unique().tolist())
    return names + render("paragraphs.html", paragraphs=[" ".join(filter(None, parts)), *ends], is_status=False)


def _last_values(frame: Any, metric: Metric, split: str) -> str:
    averaged = over_seeds(frame[frame["split"] == split], metric.key)
    last = averaged.groupby("variant", sort=False).last().sort_values("mean", ascending=not metric.higher_is_better)
    epoch = int(last["epoch"].max())
    unit = "%" if metric.is_fraction else ""
    values = ", ".join(f"{short_name(variant)} {metric.text(mean)}{unit}" for variant, mean in last["mean"].items())
    split_words = "validation" if split == "val" else "training"
    return f"After epoch {epoch}, {split_words} {metric.title}, best first: {values}."
