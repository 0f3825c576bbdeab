"""The part of Learning curves about one network: all four metrics, training beside validation."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import pandas as pd
from gradio.components.plot import PlotData

from normzoo.analysis.results import METRICS, SPLITS, chance_loss, history, over_seeds
from normzoo.analysis.smoothing import smoothed
from normzoo.app.components import cards, downloads
from normzoo.app.components.charts import as_plot
from normzoo.app.core.catalog import Catalog, classes_of, variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import check_choice, guarded
from normzoo.errors import ConfigError
from normzoo.plotting import curves as charts
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

PANEL_PIXELS = 320
PREFERRED = "bn"


def build(
    catalog: Catalog, default: ModelSet, chooser: Chooser, view: gr.Radio, smoothing: gr.Slider, log_axes: gr.CheckboxGroup
) -> None:
    """Place the part. It is filled when somebody chooses its view."""
    variant = gr.Radio(**_choices(default), label="Network", elem_id="panels-network")
    with gr.Row(elem_classes="panels"):
        plots = [_place_panel(key) for key in METRICS]
    inputs = [chooser.model_set, variant, smoothing, log_axes]

    def make(model_set: str, variant: str, smoothing: float, log_axes: list[str], to: str) -> tuple[str, bytes]:
        return as_file(catalog.get(model_set), variant, smoothing, log_axes, to)

    downloads.build(make, inputs, "panels", plots[0])
    explanation = gr.HTML(js_on_load=None, elem_id="panels-text")

    @guarded
    def learning_panels(
        model_set: str, variant: str, smoothing: float = 0, log_axes: list[str] | None = None
    ) -> list[PlotData | str]:
        """The stored learning curves of one network: a plotly figure for each metric, and in words what they show.

        The figures are loss, accuracy, macro F1 and micro F1, training and validation in each. smoothing: from 0, which is
        none, to less than 1. log_axes: those of x and y that are logarithmic.
        """
        return draw(catalog.get(model_set), variant, smoothing, log_axes)

    chooser.follow(
        learning_panels,
        inputs,
        [*plots, explanation],
        choices=["set"],
        also=[view.input, variant.input, smoothing.input, log_axes.input],
        api_name="learning_panels",
    )
    chooser.list_of_set(lambda other: [gr.Radio(**_choices(other))], [variant])


def draw(
    model_set: ModelSet, variant: str, smoothing: float = 0, log_axes: Sequence[str] | None = None
) -> list[PlotData | str]:
    """A chart for each metric, and the words below them.

    Raises:
        ConfigError: an unknown network, amount of smoothing, or axis.
    """
    frame, problems = _history_of(model_set, variant)
    figures = []
    for key, metric in METRICS.items():
        figure = charts.curves(frame, metric, tuple(SPLITS), _chance(model_set, key), smoothing, check_axes(log_axes))
        figure["layout"] |= {"height": PANEL_PIXELS}
        figures.append(as_plot(figure))
    return [*figures, explain(frame, smoothing) + cards.unavailable(problems)]


def explain(frame: pd.DataFrame, smoothing: float) -> str:
    """What the charts show, in words, with the last values for those who cannot see them; as HTML."""
    if frame.empty:
        return ""
    parts = [
        "Solid: validation, on photos that the network never learned from. Dotted: training, measured on each batch just as "
        "it learns from it. Where the two part, it learns its photos by heart.",
        tell_seeds(frame),
        tell_smoothing(smoothing),
    ]
    ends = []
    for split, title in SPLITS.items():
        last = {key: over_seeds(frame[frame["split"] == split], key).iloc[-1] for key in METRICS}
        values = ", ".join(
            f"{metric.title} {metric.text(last[key]['mean'])}{'%' if metric.is_fraction else ''}"
            for key, metric in METRICS.items()
        )
        ends.append(f"<p>{title} after epoch {int(last['loss']['epoch'])}: {values}.</p>")
    names = cards.names(frame["variant"].unique().tolist())
    return f'{names}<div class="explanation"><p>{" ".join(filter(None, parts))}</p>{"".join(ends)}</div>'


def as_file(
    model_set: ModelSet, variant: str, smoothing: float, log_axes: Sequence[str] | None, file_format: str
) -> tuple[str, bytes]:
    """The four charts as a picture, or their numbers as CSV: a name without ending, and the content."""
    frame, _ = _history_of(model_set, variant)
    name = downloads.file_name(model_set.name, variant)
    if file_format == "csv":
        return name, to_csv(frame, list(METRICS), smoothing)
    from normzoo.plotting import static as plots  # matplotlib: only for those who want a file

    figure = plots.panels(frame, _chance(model_set, "loss"), smoothing, check_axes(log_axes))
    return name, plots.to_bytes(figure, file_format)


def to_csv(frame: pd.DataFrame, metrics: Sequence[str], smoothing: float) -> bytes:
    """The numbers of curves: mean, standard deviation and n of every epoch, and the smooth mean where there is one."""
    keys = ["variant", "split", "epoch"]
    table = frame[keys].drop_duplicates()
    for metric in metrics:
        values = over_seeds(frame, metric).rename(columns={name: f"{metric}_{name}" for name in ("mean", "sd")})
        table = table.merge(values, on=[*keys, *(["n"] if "n" in table else [])])
        if smoothing:
            smooth = over_seeds(smoothed(frame, metric, smoothing), metric)[[*keys, "mean"]]
            table = table.merge(smooth.rename(columns={"mean": f"{metric}_smoothed_{smoothing:g}"}), on=keys)
    content: str = table.to_csv(index=False, float_format="%.8g")
    return content.encode()


def tell_seeds(frame: pd.DataFrame) -> str:
    """What lines and bands stand for."""
    seeds = sorted(frame["seed"].unique().tolist())
    if len(seeds) > 1:
        return f"Lines are means over up to n\u00a0=\u00a0{len(seeds)} seeds, bands ± one standard deviation."
    each = " each" if frame["variant"].nunique() > 1 else ""
    return f"n\u00a0=\u00a01: one run{each}, seed {seeds[0]}."


def tell_smoothing(smoothing: float) -> str:
    """How lines were made smooth; nothing where they were not."""
    if not smoothing:
        return ""
    return (
        f"Smoothed by {smoothing:g}, each run for itself: an exponential moving average with bias correction, as in "
        "TensorBoard. What was measured is the faint line behind; the numbers below are measured ones."
    )


def check_axes(log_axes: Sequence[str] | None) -> tuple[str, ...]:
    """The logarithmic axes.

    Raises:
        ConfigError: one of them is neither x nor y.
    """
    if log_axes is None:
        return ()
    if not isinstance(log_axes, list | tuple) or not all(axis in ("x", "y") for axis in log_axes):
        raise ConfigError('The logarithmic axes must be a list of x and y, such as ["y"].')
    return tuple(dict.fromkeys(log_axes))


def _history_of(model_set: ModelSet, variant: str) -> tuple[pd.DataFrame, dict[str, str]]:
    table = history(model_set, [check_choice("network", variant, variants_of(model_set))])
    return table.frame, table.problems


def _chance(model_set: ModelSet, metric: str) -> float | None:
    num_classes = len(classes_of(model_set))
    return chance_loss(num_classes) if metric == "loss" and num_classes else None


def _choices(model_set: ModelSet) -> dict[str, Any]:
    variants = variants_of(model_set)
    return {
        "choices": [(short_name(variant), variant) for variant in variants],
        "value": PREFERRED if PREFERRED in variants else next(iter(variants), None),
    }


def _place_panel(key: str) -> gr.Plot:
    with gr.Column(min_width=300, elem_classes="panel"):
        return gr.Plot(show_label=False, container=False, elem_id=f"panel-{key.replace('_', '-')}", elem_classes="chart")
