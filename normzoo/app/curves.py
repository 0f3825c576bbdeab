"""The tab of learning curves: any metric of any of the chosen networks, over the epochs."""

import html
import json
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from normzoo import charts
from normzoo.app import cards
from normzoo.app.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.chooser import Chooser
from normzoo.app.guard import guarded
from normzoo.errors import ConfigError
from normzoo.palette import short_name
from normzoo.results import METRICS, Metric, chance_loss, history, over_seeds
from normzoo.zoo import ModelSet

#: what the control says -> the splits it stands for
SPLIT_CHOICES = {"Validation": ("val",), "Training": ("train",), "Both": ("val", "train")}
FIRST_METRIC, FIRST_SPLITS = "accuracy", "Validation"


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab, with the first chart in it."""
    choices = [(_capital(metric.title), key) for key, metric in METRICS.items()]
    figure, words = draw(default, main_variants_of(default), FIRST_METRIC, FIRST_SPLITS)
    with gr.Row():
        metric = gr.Radio(choices, value=FIRST_METRIC, label="What is measured", min_width=280)
        splits = gr.Radio(list(SPLIT_CHOICES), value=FIRST_SPLITS, label="On which photos", min_width=280)
    plot = gr.Plot(figure, show_label=False, container=False, elem_id="curves")
    explanation = gr.HTML(words, js_on_load=None, elem_id="curves-text")

    @guarded
    def learning_curves(model_set: str, variants: list[str] | None, metric: str, splits: str) -> tuple[PlotData, str]:
        """The stored learning curves of the chosen networks: a plotly figure, and in words what it shows.

        metric: loss, accuracy, macro_f1 or micro_f1. splits: Validation, Training or Both.
        """
        chosen_set = catalog.get(model_set)
        return draw(chosen_set, chosen(chosen_set, variants), metric, splits)

    chooser.follow(
        learning_curves,
        [*chooser.inputs, metric, splits],
        [plot, explanation],
        also=[metric.input, splits.input],
        api_name="learning_curves",
    )


def draw(model_set: ModelSet, variants: list[str], metric: str, splits: str) -> tuple[PlotData, str]:
    """The chart, and the words below it.

    Raises:
        ConfigError: an unknown metric or choice of splits.
    """
    if metric not in METRICS:
        raise ConfigError(f"Unknown metric. Choose one of: {', '.join(METRICS)}.")
    if splits not in SPLIT_CHOICES:
        raise ConfigError(f"Unknown splits. Choose one of: {', '.join(SPLIT_CHOICES)}.")
    table = history(model_set, variants)
    num_classes = len(classes_of(model_set))
    chance = chance_loss(num_classes) if metric == "loss" and num_classes else None
    figure = charts.curves(table.frame, METRICS[metric], SPLIT_CHOICES[splits], chance)
    words = explain(table.frame, METRICS[metric], splits, num_classes if chance else 0) + cards.unavailable(table.problems)
    return PlotData(type="plotly", plot=json.dumps(figure, allow_nan=False)), words


def explain(frame: Any, metric: Metric, splits: str, num_classes: int) -> str:
    """What the chart shows, in words, with the last values for those who cannot see it; as HTML."""
    if frame.empty:
        return cards.NO_NETWORKS
    chosen_splits = SPLIT_CHOICES[splits]
    parts = []
    if "val" in chosen_splits:
        parts.append("Validation: photos that the networks never learned from, measured after every epoch.")
    if "train" in chosen_splits:
        dotted = "Training (dotted)" if len(chosen_splits) > 1 else "Training"
        parts.append(f"{dotted}: measured on each batch just as they learn from it; Results has the finished networks.")
    if num_classes:
        parts.append(f"Dashed: the loss of guessing among {num_classes} classes, ln {num_classes}.")
    seeds = sorted(frame["seed"].unique().tolist())
    if len(seeds) > 1:
        parts.append(f"Lines are means over up to n\u00a0=\u00a0{len(seeds)} seeds, bands ± one standard deviation.")
    else:
        parts.append(f"n\u00a0=\u00a01: one run each, seed {seeds[0]}.")
    ends = "".join(f"<p>{html.escape(_last_values(frame, metric, split))}</p>" for split in chosen_splits)
    names = cards.names(frame["variant"].unique().tolist())
    return f'{names}<div class="explanation"><p>{" ".join(parts)}</p>{ends}</div>'


def _last_values(frame: Any, metric: Metric, split: str) -> str:
    averaged = over_seeds(frame[frame["split"] == split], metric.key)
    last = averaged.groupby("variant", sort=False).last().sort_values("mean", ascending=not metric.higher_is_better)
    epoch = int(last["epoch"].max())
    unit = "%" if metric.is_fraction else ""
    values = ", ".join(f"{short_name(variant)} {metric.text(mean)}{unit}" for variant, mean in last["mean"].items())
    split_words = "validation" if split == "val" else "training"
    return f"After epoch {epoch}, {split_words} {metric.title}, best first: {values}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
