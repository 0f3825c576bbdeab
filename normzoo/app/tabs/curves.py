"""The tab Curves & metrics: how networks learned, where they ended, and which classes they confuse."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
from gradio.components.plot import PlotData

from normzoo.analysis.results import (
    METRICS,
    SPLITS,
    Confusion,
    Metric,
    Table,
    chance_loss,
    confusions,
    final_metrics,
    history,
    over_seeds,
    smoothed,
    val_accuracy,
)
from normzoo.app.components import charts, downloads
from normzoo.app.components.charts import as_plot
from normzoo.app.components.downloads import csv_link
from normzoo.app.components.html import NO_NETWORKS, SORT_SCRIPT, render, sortable, unavailable
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of, variants_of
from normzoo.app.core.controls import FIRST_SPLITS, SPLIT_CHOICES, Chooser, Linked, start_after
from normzoo.app.core.errors import check_choice
from normzoo.errors import ConfigError
from normzoo.formatting import capital
from normzoo.plotting import plotly
from normzoo.plotting.curves import class_f1, confusion_difference, confusion_matrix, curve_chart
from normzoo.plotting.spec import ELSEWHERE, Chart, style_of
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

FIRST_METRIC = "accuracy"
MAX_SMOOTHING = 0.95
PANEL_PIXELS = 320
#: What the dropdowns hold where nothing is chosen.
NONE = ""
#: Columns of the table on the screen: micro F1 equals accuracy, since every photo has one label; the CSV has both.
SHOWN = {"accuracy": "accuracy = micro F1 (%)", "macro_f1": "macro F1 (%)", "loss": "loss (nats)"}
HOW_TO_READ = """
<details class="explanation"><summary>How to read it</summary><p>Validation: images that the networks never learned from, after
every epoch. Training: each batch as the network learns from it; a growing gap indicates overfitting. Lines are means over
seeds, bands ± one standard deviation. Smoothing is TensorBoard's: an exponential moving average with bias correction; the
measured line stays, faint. The table is measured after the last epoch, in evaluation mode, without augmentation. Click a name
in a legend to hide its line.</p></details>
"""
CONFUSION = """
<h2>Confusion matrix</h2>
<details class="explanation"><summary>How to read it</summary><p>Rows are true classes, columns predicted ones; numbers count
validation images, of all seeds together, colours are shares of the row. Compared with another network: blue where the first
predicts it more often. Click a cell to read it in words.</p></details>
"""
PER_CLASS = '<h2>F1 of every class</h2><p class="explanation">The class with the highest mean F1 on top.</p>'


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab, with the first chart and table in it."""
    metrics = [(capital(metric.title), key) for key, metric in METRICS.items()]
    figure, words, finals, _ = draw(catalog, View(default, main_variants_of(default)))
    with gr.Row(elem_classes="controls"):
        metric = gr.Radio(metrics, value=FIRST_METRIC, label="Metric", min_width=260, scale=3)
        splits = gr.Radio(list(SPLIT_CHOICES), value=FIRST_SPLITS, label="Split", min_width=260, scale=3)
        others = gr.Dropdown(**_others(catalog, default), label="Add networks", min_width=220, scale=2)
    with gr.Accordion("Smoothing and axes", open=False), gr.Row():
        smoothing = gr.Slider(0, MAX_SMOOTHING, value=0, step=0.05, label="Smoothing (0: none)", buttons=[], min_width=260)
        log_axes = gr.CheckboxGroup([("Values", "y"), ("Epochs", "x")], label="Logarithmic axes", min_width=200)
    plot = charts.place("curves", value=figure)
    explanation = gr.HTML(words, js_on_load=None, elem_id="curves-text", label="report")
    inputs = [*chooser.inputs, metric, splits, smoothing, log_axes, others]
    downloads.build(lambda *asked: as_file(catalog, view_of(catalog, *asked[:-1]), asked[-1]), inputs, "curves", plot)
    gr.HTML(HOW_TO_READ, js_on_load=None)
    plots = []
    with gr.Accordion("All four metrics", open=False) as open_panels, gr.Row(elem_classes="panels"):
        for key in METRICS:
            with gr.Column(min_width=300, elem_classes="panel"):
                plots.append(charts.place(f"panel-{key.replace('_', '-')}", f"{key}_figure"))
    panels_words = gr.HTML(visible=False, js_on_load=None, label="report")
    table = gr.HTML(finals, js_on_load=SORT_SCRIPT, elem_id="results", label="table")
    rows = gr.JSON(visible=False, label="rows")

    def learning_curves(
        model_set: str,
        variants: list[str] | None = None,
        metric: str = FIRST_METRIC,
        splits: str = FIRST_SPLITS,
        smoothing: float = 0,
        log_axes: list[str] | None = None,
        others: list[str] | None = None,
    ) -> tuple[PlotData, str]:
        """The stored learning curves of networks: a plotly figure, and in words what it shows.

        metric: loss, accuracy, macro_f1 or micro_f1. splits: Validation, Training or Both. smoothing: from 0, which is none,
        to less than 1. log_axes: those of x and y that are logarithmic. others: networks of other model sets of the same data
        beside the chosen ones, such as tiny-imagenet-25/paper/bn-bs8.
        """
        return draw(catalog, view_of(catalog, model_set, variants, metric, splits, smoothing, log_axes, others))[:2]

    def results(
        model_set: str, variants: list[str] | None = None, others: list[str] | None = None
    ) -> tuple[str, list[dict[str, Any]]]:
        """The final figures of networks: an HTML table for the page, and the same as data.

        others: as for learning_curves. The data hold for each network the mean over its seeds and the standard deviation of
        every metric, as fractions and nats.
        """
        return tabulate(catalog, view_of(catalog, model_set, variants, others=others))

    def learning_panels(
        model_set: str,
        variant: list[str] | str | None = None,
        smoothing: float = 0,
        log_axes: list[str] | None = None,
        others: list[str] | None = None,
    ) -> list[PlotData | str]:
        """The stored learning curves in all metrics, training and validation: a plotly figure each, and their ends in words.

        variant: one network or a list. smoothing, log_axes, others: as for learning_curves.
        """
        if isinstance(variant, str):
            variant = [check_choice("network", variant, variants_of(catalog.get(model_set)))]
        view = view_of(catalog, model_set, variant, FIRST_METRIC, "Both", smoothing, log_axes, others)
        figures, told = [], ""
        for key, metric in METRICS.items():
            chart, table = _chart(catalog, dataclasses.replace(view, metric=key))
            drawn = plotly.draw(chart)
            drawn["layout"] |= {"height": PANEL_PIXELS}
            figures.append(as_plot(drawn))
            told += explain(table.frame, metric, "Both")
        return [*figures, told]

    changed = [smoothing.input, log_axes.input, others.input]
    drawing = chooser.follow(learning_curves, inputs, [plot, explanation], also=[metric.input, splits.input, *changed])
    chooser.follow(results, [*chooser.inputs, others], [table, rows], also=[others.input], show_progress_on=table)
    panels = chooser.follow(
        learning_panels,
        [*chooser.inputs, smoothing, log_axes, others],
        [*plots, panels_words],
        choices=(),
        also=[open_panels.expand],
    )
    start_after(drawing.event, [panels], only_if='document.querySelector("#panel-loss")?.offsetParent')
    chooser.add_to_link(Linked("curves", [drawing.event], [metric, splits, smoothing, log_axes]))
    chooser.add_to_link(
        Linked(
            "with",
            [drawing.event],
            [others],
            'given[0].join(";")',
            lambda model_set, text: [gr.Dropdown(**_others(catalog, model_set, text.split(";")))],
            settings=lambda other: [_others(catalog, other)],
        )
    )
    _build_confusion(catalog, default, chooser)
    _build_per_class(catalog, chooser)


@dataclass(frozen=True)
class View:
    """What the tab shows: networks, a metric of some splits, smoothed or not, along some axes.

    Args:
        others: networks of other model sets of the same data, such as tiny-imagenet-25/paper/bn-bs8.
    """

    model_set: ModelSet
    variants: list[str]
    metric: str = FIRST_METRIC
    splits: str = FIRST_SPLITS
    smoothing: float = 0
    log_axes: list[str] | None = None
    others: list[str] | None = None


def view_of(catalog: Catalog, model_set: str, variants: list[str] | None, *choices: Any, **named: Any) -> View:
    """The view that the names in controls, or of a program, stand for."""
    chosen_set = catalog.get(model_set)
    return View(chosen_set, chosen(chosen_set, variants), *choices, **named)


def draw(catalog: Catalog, view: View) -> tuple[PlotData, str, str, list[dict[str, Any]]]:
    """The chart, the words below it, and the table of final figures with its rows as data."""
    chart, table = _chart(catalog, view)
    words = explain(table.frame, METRICS[view.metric], view.splits) + unavailable(table.problems)
    return as_plot(plotly.draw(chart)), words, *tabulate(catalog, view)


def _chart(catalog: Catalog, view: View) -> tuple[Chart, Table]:
    check_choice("metric", view.metric, METRICS)
    check_choice("splits", view.splits, SPLIT_CHOICES)
    table = _collect(catalog, view, history)
    classes = len(classes_of(view.model_set))
    chance = chance_loss(classes) if view.metric == "loss" and classes else None
    axes = check_axes(view.log_axes)
    return curve_chart(table.frame, METRICS[view.metric], SPLIT_CHOICES[view.splits], chance, view.smoothing, axes), table


def _collect(catalog: Catalog, view: View, read: Any) -> Table:
    """What a function of a model set and variants gives, also of networks elsewhere, which bring their set's title."""
    named: list[str] = _others(catalog, view.model_set, view.others)["value"]
    found = [read(view.model_set, view.variants)]
    titles = {name: title for title, name in catalog.titles}
    for other in named:
        name, _, variant = other.rpartition("/")
        one = read(catalog.get(name), [variant])
        key = f"{variant}{ELSEWHERE}{titles[name]}"
        frame = one.frame if one.frame.empty else one.frame.assign(variant=key)
        found.append(Table(frame, {f"{broken}{ELSEWHERE}{titles[name]}": why for broken, why in one.problems.items()}))
    frames = [one.frame for one in found if not one.frame.empty]
    problems = {variant: why for one in found for variant, why in one.problems.items()}
    return Table(pd.concat(frames, ignore_index=True) if frames else found[0].frame, problems)


def _others(catalog: Catalog, model_set: ModelSet, asked: object = None) -> dict[str, Any]:
    """Networks of all sets of the same data, but those that can be ticked above: their titles and keys, and those asked for."""
    choices = [
        (f"{short_name(variant)} · {title}", f"{name}/{variant}")
        for title, name in catalog.titles
        if name != model_set.name and catalog.get(name).base_data == model_set.base_data
        for variant in variants_of(catalog.get(name))
    ]
    known, wanted = [key for _, key in choices], [] if asked is None else asked
    if not isinstance(wanted, list) or not all(isinstance(each, str) and each in known for each in wanted):
        raise ConfigError(f"Unknown networks. Choose from: {', '.join(known)}.")
    return {"choices": choices, "value": wanted, "multiselect": True, "interactive": bool(choices)}


def explain(frame: pd.DataFrame, metric: Metric, splits: str) -> str:
    """How many seeds a chart shows, and for those who cannot see it the last values; as HTML."""
    if frame.empty:
        return NO_NETWORKS
    unit = "%" if metric.is_fraction else ""
    ends = []
    for split in SPLIT_CHOICES[splits]:
        last = over_seeds(frame[frame["split"] == split], metric.key).groupby("variant", sort=False).last()
        last = last.sort_values("mean", ascending=not metric.higher_is_better)
        values = ", ".join(f"{style_of(str(key)).name} {metric.text(mean)}{unit}" for key, mean in last["mean"].items())
        ends.append(f"{SPLITS[split]} {metric.title} after epoch {int(last['epoch'].max())}, best first: {values}.")
    counts = sorted(frame.groupby("variant")["seed"].nunique().unique().tolist())
    n = "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return render("curves.html", n=n, ends=ends)


def tabulate(catalog: Catalog, view: View) -> tuple[str, list[dict[str, Any]]]:
    """The final figures with their files, as HTML; and as data for the API."""
    finals = _collect(catalog, view, final_metrics)
    problems = unavailable(finals.problems)
    if finals.frame.empty:
        return problems or NO_NETWORKS, []
    frame = finals.frame
    names = [style_of(variant).name for variant in frame["variant"]]
    numbers, texts, better = pd.DataFrame({"Network": names}), pd.DataFrame({"Network": names}), {}
    for split, title in SPLITS.items():
        for key, words in SHOWN.items():
            column = f"{title} {words}"
            numbers[column] = [METRICS[key].on_screen(value) for value in frame[f"{split}_{key}"]]
            texts[column] = [
                _rounded(METRICS[key], mean, sd)
                for mean, sd in zip(frame[f"{split}_{key}"], frame[f"{split}_{key}_sd"], strict=True)
            ]
            better[column] = METRICS[key].higher_is_better
    numbers["n"] = texts["n"] = frame["n"].to_numpy()
    full = frame.assign(network=names)
    caption = "Final figures: mean ± standard deviation over n seeds; ★ best"
    name = downloads.file_name(view.model_set.name, "results")
    table = sortable(numbers, texts, caption, better) + csv_link(texts, name, full=full)
    return table + problems, json.loads(frame.to_json(orient="records", double_precision=15))  # NaN becomes null


def _rounded(metric: Metric, mean: float, sd: float | None) -> str:
    """As many digits as the differences between seeds bear."""
    digits = 1 if metric.is_fraction else 3
    value = f"{metric.on_screen(mean):.{digits}f}"
    return value if sd is None or np.isnan(sd) else f"{value} ± {metric.on_screen(sd):.{digits}f}"


def as_file(catalog: Catalog, view: View, file_format: str) -> tuple[str, bytes]:
    """The chart as a picture, or its numbers: a name without ending, and the content."""
    chart, table = _chart(catalog, view)
    frame = table.frame[table.frame["split"].isin(SPLIT_CHOICES[view.splits])]
    content = downloads.chart_file(chart, to_frame(frame, view.metric, view.smoothing), file_format)
    return downloads.file_name(view.model_set.name, view.metric, view.splits), content


def to_frame(frame: pd.DataFrame, metric: str, smoothing: float) -> pd.DataFrame:
    """The numbers of curves: mean, standard deviation and n of every epoch, and the smooth mean where there is one."""
    keys = ["variant", "split", "epoch"]
    table = over_seeds(frame, metric).rename(columns={name: f"{metric}_{name}" for name in ("mean", "sd")})
    if smoothing:
        smooth = over_seeds(smoothed(frame, metric, smoothing), metric)[[*keys, "mean"]]
        table = table.merge(smooth.rename(columns={"mean": f"{metric}_smoothed_{smoothing:g}"}), on=keys)
    return table


def check_axes(log_axes: Sequence[str] | None) -> tuple[str, ...]:
    """The logarithmic axes."""
    if log_axes is None:
        return ()
    if not isinstance(log_axes, list | tuple) or not all(axis in ("x", "y") for axis in log_axes):
        raise ConfigError('The logarithmic axes must be a list of x and y, such as ["y"].')
    return tuple(dict.fromkeys(log_axes))


def _build_confusion(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """The part with the confusion matrix of one network, or the difference of two; filled when it comes into view."""
    gr.HTML(CONFUSION, js_on_load=None, elem_classes="section")
    with gr.Row(elem_classes="controls"):
        controls = [gr.Dropdown(**settings) for settings in _confusion_controls(default)]
    words = gr.HTML(js_on_load=None, elem_id="confusion-text", label="report")
    plot = charts.place("confusion")
    clicks = charts.listener("confusion")
    counts = gr.JSON(visible=False, label="counts")

    def confusion(
        model_set: str, network: str, other: str = NONE, label: str = NONE
    ) -> tuple[str, PlotData | None, dict[str, Any]]:
        """Which classes a network takes for which on the validation images.

        network: a variant, such as bn. other: another to compare with, or empty. label: a class, or empty for all.
        Gives HTML and a plotly figure for the page; last the classes, and for each network the counts over all seeds, a row
        for each true class.
        """
        return tell_confusion(catalog.get(model_set), network, other, label)

    def confusion_cell(model_set: str, network: str, other: str, clicked: object) -> tuple[Any, str]:
        """What the clicked cell means, in words; and its class, to be told about."""
        said, label = charts.cell(clicked)
        return label, tell(catalog.get(model_set), [network, other], label, said)

    shown = chooser.follow(
        confusion,
        [chooser.model_set, *controls],
        [words, plot, counts],
        choices=["set"],
        also=[clicks.expand, *(control.input for control in controls)],
        place=charts.once_seen("confusion"),
        concurrency_id="confusion",
    )
    given = [chooser.model_set, *controls[:2]]
    picked = charts.follow_clicks(clicks, confusion_cell, given, [controls[2], words], "confusion-text", "confusion")
    chooser.add_to_link(Linked("confusion", [shown.event, picked], controls, settings=_confusion_controls))


def tell_confusion(model_set: ModelSet, network: Any, other: Any, label: Any) -> tuple[str, PlotData | None, dict[str, Any]]:
    """The words, the heat map, and the counts as data."""
    found, problems = _find(model_set, [network, other])
    classes = classes_of(model_set)
    if not found:
        return unavailable(problems) or NO_NETWORKS, None, {}
    names, each = [short_name(variant) for variant in found], list(found.values())
    if len(each) == 2:
        figure = plotly.draw(confusion_difference(each[0].shares, each[1].shares, classes, (names[0], names[1])))
    else:
        figure = plotly.draw(confusion_matrix(each[0].counts, classes, names[0]))
    told = tell(model_set, [network, other], label) if label != NONE else _as_status([]) + unavailable(problems)
    data = {"classes": list(classes), "counts": {variant: one.counts.tolist() for variant, one in found.items()}}
    return told, as_plot(figure), data


def tell(model_set: ModelSet, networks: Sequence[Any], label: Any, said: Any = NONE) -> str:
    """What networks make of the images of a class, and of those how many they take for another, as HTML."""
    found, problems = _find(model_set, networks)
    classes = classes_of(model_set)
    row, column = (classes.index(check_choice("class", each, classes)) for each in (label, said or label))
    told = [
        f"{short_name(variant)} predicts {said} for {one.counts[row, column]} of {one.counts[row].sum()} images of {label}."
        for variant, one in found.items()
        if row != column  # of the diagonal the rest tells anyway
    ]
    told += [about(short_name(variant), one, classes, row) for variant, one in found.items()]
    return _as_status(told) + unavailable(problems)


def _find(model_set: ModelSet, networks: Sequence[Any]) -> tuple[dict[str, Confusion], dict[str, str]]:
    """The confusions of networks, and what cannot be read."""
    known = variants_of(model_set)
    return confusions(model_set, dict.fromkeys(check_choice("network", each, known) for each in networks if each != NONE))


def about(name: str, found: Confusion, classes: tuple[str, ...], place: int) -> str:
    """What a network makes of the images of one class, and when it predicts that class."""
    counts, label = found.counts, classes[place]
    right, total, predicted = int(counts[place, place]), int(counts[place].sum()), int(counts[:, place].sum())
    seeds = f", {len(found.by_seed)} seeds together" if len(found.by_seed) > 1 else ""
    parts = [f"{name} recognizes {right} of {total} images of {label}{seeds}: recall {100 * found.recall[place]:.1f}%."]
    parts += [f"The others are most often predicted as {_largest(counts[place], classes, place)}."] * (right < total)
    if predicted:
        parts.append(f"It predicts {label} {predicted} times: precision {100 * found.precision[place]:.1f}%.")
        parts += [f"Confused with it: {_largest(counts[:, place], classes, place)}."] * (predicted > right)
    else:
        parts.append(f"It never predicts {label}.")
    return " ".join([*parts, f"F1 {100 * found.f1[place]:.1f}%."])


def _largest(counts: Any, classes: tuple[str, ...], place: int) -> str:
    """The three most frequent other classes."""
    order = [k for k in np.argsort(-counts, kind="stable").tolist() if k != place and counts[k]][:3]
    return ", ".join(f"{classes[k]} ({counts[k]})" for k in order)


def _as_status(paragraphs: list[str]) -> str:
    """Paragraphs as HTML that a screen reader tells when it changes."""
    return render("paragraphs.html", paragraphs=paragraphs, is_status=True)


def _confusion_controls(model_set: ModelSet) -> list[dict[str, Any]]:
    """The settings of the three dropdowns: a network, at first the most accurate; another; a class."""
    networks = [(short_name(variant), variant) for variant in variants_of(model_set)]
    accuracies = {variant: (val_accuracy(model_set, variant) or (-1.0, 0))[0] for variant in main_variants_of(model_set)}
    best = max(accuracies, key=lambda variant: accuracies[variant], default=None)
    labels = [(name, name) for name in classes_of(model_set)]
    return [
        {"choices": networks, "value": best, "label": "Network", "min_width": 160},
        {"choices": [("none", NONE), *networks], "value": NONE, "label": "Compare with", "min_width": 160},
        {"choices": [("all classes", NONE), *labels], "value": NONE, "label": "Class", "min_width": 160},
    ]


def _build_per_class(catalog: Catalog, chooser: Chooser) -> None:
    """The part with the F1 of every class and network; filled when it comes into view."""
    gr.HTML(PER_CLASS, js_on_load=None, elem_classes="section")
    words = gr.HTML(js_on_load=None, elem_id="per-class-text", label="report")
    plot = charts.place("per-class")
    clicks = charts.listener("per-class")
    with gr.Accordion("F1 of every class as a table", open=False):
        table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="per-class-table", label="table")
    f1 = gr.JSON(visible=False, label="f1")

    def per_class(model_set: str, variants: list[str] | None = None) -> tuple[str, PlotData | None, str, dict[str, Any]]:
        """How well each of the chosen networks knows each class.

        Gives HTML and a plotly figure for the page, and as data the F1 of each class for each network, as fractions.
        """
        chosen_set = catalog.get(model_set)
        return tell_classes(chosen_set, chosen(chosen_set, variants))

    def per_class_cell(model_set: str, variants: list[str] | None, clicked: object) -> str:
        """What the clicked cell means, in words."""
        name, label = charts.cell(clicked)
        chosen_set = catalog.get(model_set)
        names = {style_of(variant).name: variant for variant in chosen(chosen_set, variants)}
        return tell(chosen_set, [names.get(name)], label)

    chooser.follow(
        per_class,
        chooser.inputs,
        [words, plot, table, f1],
        also=[clicks.expand],
        place=charts.once_seen("per-class"),
        concurrency_id="per_class",
    )
    charts.follow_clicks(clicks, per_class_cell, chooser.inputs, [words], "per-class-text", "per_class")


def tell_classes(model_set: ModelSet, variants: list[str]) -> tuple[str, PlotData | None, str, dict[str, Any]]:
    """The words, the heat map, the table, and the figures as data."""
    found, problems = confusions(model_set, variants)
    classes = classes_of(model_set)
    if not found:
        return unavailable(problems) or NO_NETWORKS, None, "", {}
    f1 = pd.DataFrame({variant: one.f1 for variant, one in found.items()}, index=pd.Index(classes))
    ordered = f1.loc[f1.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    figure = plotly.draw(class_f1({str(variant): ordered[variant].tolist() for variant in ordered}, ordered.index.tolist()))
    numbers = (100 * ordered).rename(columns=short_name).rename_axis("Class").reset_index()
    texts = numbers.map(lambda value: value if isinstance(value, str) else f"{value:.1f}")
    name = downloads.file_name(model_set.name, "f1")
    table = sortable(numbers, texts, "F1 of every class (%)") + csv_link(texts, name, full=numbers)
    data = {variant: dict(zip(classes, f1[variant].tolist(), strict=True)) for variant in f1}
    return unavailable(problems), as_plot(figure), table, data
