"""The part of Results that shows which classes a network takes for which, alone or against another network."""

from typing import Any

import gradio as gr
import numpy as np
from gradio.components.plot import PlotData

from normzoo.analysis.confusion import Confusion, confusions
from normzoo.analysis.results import val_accuracy
from normzoo.app.components import cards, charts
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.core.catalog import Catalog, classes_of, main_variants_of, variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import check_choice, guarded
from normzoo.app.core.events import UNDOCUMENTED
from normzoo.plotting import results as result_charts
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

#: What the dropdowns hold where nothing is chosen.
NONE = ""
MOST = 5
OPENING = '<p class="hint">Counting the answers…</p>'
HEADING = """
<h2>What is taken for what</h2>
<p class="explanation">Each row holds the validation photos of one class, each column what the network says. A good network
fills the diagonal. Choose a second network to see the difference: blue where the first says so more often, red where the second
does. Click a cell, or choose a class, to read what it means.</p>
"""


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the part; it is filled when somebody opens the tab."""
    gr.HTML(HEADING, js_on_load=None, elem_classes="section")
    with gr.Row():
        controls = [gr.Dropdown(**settings) for settings in _controls(default)]
    words = gr.HTML(OPENING, js_on_load=None, elem_id="confusion-text")
    plot = gr.Plot(show_label=False, container=False, elem_id="confusion", elem_classes=["chart", "wide"])
    clicks = charts.listener("confusion")
    counts = gr.JSON(visible=False)

    @guarded
    def confusion(model_set: str, network: str, other: str, label: str) -> tuple[str, PlotData | None, dict[str, Any]]:
        """Which classes a network takes for which on the validation photos.

        network: a variant, such as bn. other: another to subtract, or empty. label: a class to tell about, or empty for all.
        Gives HTML and a plotly figure for the page; last the classes, and for each network the counts over all seeds, a row
        for each true class.
        """
        return tell(catalog.get(model_set), network, other, label)

    chooser.follow(
        confusion,
        [chooser.model_set, *controls],
        [words, plot, counts],
        choices=["set"],
        also=[*(control.input for control in controls)],
        on_open=True,
        api_name="confusion",
        concurrency_id="confusion",
    )

    @guarded
    def confusion_cell(model_set: str, network: str, other: str, clicked: object) -> tuple[Any, str]:
        """What the clicked cell means, in words; and its class, to be told about."""
        said, label = charts.cell(clicked)
        return label, tell_cell(catalog.get(model_set), network, other, label, said)

    picked = clicks.select(
        confusion_cell,
        [chooser.model_set, *controls[:2], clicks],
        [controls[2], words],
        api_name="confusion_cell",
        concurrency_id="confusion",  # they take turns
        **UNDOCUMENTED,
    )
    picked.success(None, js=charts.show("confusion-text"), api_name="show_confusion_cell", **UNDOCUMENTED)
    chooser.list_of_set(lambda other: [gr.Dropdown(**settings) for settings in _controls(other)], controls)


def tell(model_set: ModelSet, network: Any, other: Any, label: Any) -> tuple[str, PlotData | None, dict[str, Any]]:
    """The words, the heat map, and the counts as data.

    Raises:
        ConfigError: no such network or class.
    """
    found, problems = _find(model_set, network, other, [] if label == NONE else [label])
    classes = classes_of(model_set)
    if not found:
        return cards.unavailable(problems) or NO_NETWORKS, None, {}
    names = [short_name(variant) for variant in found]
    each = list(found.values())
    if len(each) == 2:
        figure = result_charts.difference_heat(each[0].shares, each[1].shares, classes, (names[0], names[1]))
    else:
        figure = result_charts.confusion_heat(each[0].counts, classes, names[0])
    place = classes.index(label) if label != NONE else None
    paragraphs = [
        mistakes(name, one, classes) if place is None else about(name, one, classes, place)
        for name, one in zip(names, each, strict=True)
    ]
    data = {"classes": list(classes), "counts": {variant: one.counts.tolist() for variant, one in found.items()}}
    plot = charts.as_plot(figure)
    return as_words(paragraphs) + cards.unavailable(problems), plot, data


def tell_cell(model_set: ModelSet, network: Any, other: Any, label: Any, said: Any) -> str:
    """What a cell means, and the class of its row, as HTML.

    Args:
        label: what the photos show.
        said: what the network says.

    Raises:
        ConfigError: no such network or class.
    """
    found, problems = _find(model_set, network, other, [label, said])
    classes = classes_of(model_set)
    row, column = classes.index(label), classes.index(said)
    paragraphs = [
        f"{short_name(variant)} takes {one.counts[row, column]} of {one.counts[row].sum()} photos of {label} "
        f"for {said}{_seeds(one)}."
        for variant, one in found.items()
        if row != column  # of the diagonal the rest tells anyway
    ]
    paragraphs += [about(short_name(variant), one, classes, row) for variant, one in found.items()]
    return as_words(paragraphs) + cards.unavailable(problems)


def _find(model_set: ModelSet, network: Any, other: Any, labels: list[Any]) -> tuple[dict[str, Confusion], dict[str, str]]:
    """The confusions of one network or two, and what cannot be read.

    Raises:
        ConfigError: no such network or class.
    """
    known = variants_of(model_set)
    asked = [check_choice("network", variant, known) for variant in (network, other) if variant != NONE]
    for label in labels:
        check_choice("class", label, classes_of(model_set))
    return confusions(model_set, dict.fromkeys(asked))


def as_words(paragraphs: list[str]) -> str:
    """Paragraphs as HTML that a screen reader tells when it changes."""
    return render("paragraphs.html", paragraphs=paragraphs, is_status=True)


def mistakes(name: str, found: Confusion, classes: tuple[str, ...]) -> str:
    """A network's most frequent mistakes, in a sentence."""
    wrong = found.counts.copy()
    np.fill_diagonal(wrong, 0)
    totals = found.counts.sum(1)
    shares = wrong / np.maximum(totals, 1)[:, None]
    order = np.argsort(-shares, axis=None, kind="stable")[:MOST]
    pairs = [(int(place) // len(classes), int(place) % len(classes)) for place in order]
    told = [
        f"{classes[true]} for {classes[said]} ({wrong[true, said]} of {totals[true]})"
        for true, said in pairs
        if wrong[true, said]
    ]
    return f"{name} most often takes {', '.join(told)}{_seeds(found)}." if told else f"{name} makes no mistake{_seeds(found)}."


def about(name: str, found: Confusion, classes: tuple[str, ...], place: int) -> str:
    """What a network makes of the photos of one class, and when it names that class."""
    counts, label = found.counts, classes[place]
    right, total, named = int(counts[place, place]), int(counts[place].sum()), int(counts[:, place].sum())
    parts = [f"{name} recognizes {right} of {total} photos of {label}{_seeds(found)}: recall {100 * found.recall[place]:.1f}%."]
    taken = _largest(counts[place], classes, place)
    parts.append(f"It takes the others most often for {taken}." if taken else "It takes none of them for anything else.")
    if named:
        parts.append(
            f"Of the {named} times that it says {label}, {right} are right: precision {100 * found.precision[place]:.1f}%."
        )
        instead = _largest(counts[:, place], classes, place)
        parts.append(f"Otherwise it was most often {instead}." if instead else "")
    else:
        parts.append(f"It never says {label}.")
    return " ".join(filter(None, [*parts, f"F1 {100 * found.f1[place]:.1f}%."]))


def _largest(counts: Any, classes: tuple[str, ...], place: int) -> str:
    """The three most frequent other classes."""
    order = [k for k in np.argsort(-counts, kind="stable").tolist() if k != place and counts[k]][:3]
    return ", ".join(f"{classes[k]} ({counts[k]})" for k in order)


def _seeds(found: Confusion) -> str:
    count = len(found.by_seed)
    return f", {count} seeds together" if count > 1 else ""


def _controls(model_set: ModelSet) -> list[dict[str, Any]]:
    """The settings of the three dropdowns: a network, at first the most accurate; another; a class."""
    networks = [(short_name(variant), variant) for variant in variants_of(model_set)]
    accuracies = {variant: (val_accuracy(model_set, variant) or (-1.0, 0))[0] for variant in main_variants_of(model_set)}
    best = max(accuracies, key=lambda variant: accuracies[variant], default=None)
    labels = [(name, name) for name in classes_of(model_set)]
    return [
        {"choices": networks, "value": best, "label": "Network", "min_width": 160},
        {"choices": [("nothing", NONE), *networks], "value": NONE, "label": "Minus", "min_width": 160},
        {"choices": [("all classes", NONE), *labels], "value": NONE, "label": "Tell about", "min_width": 160},
    ]
