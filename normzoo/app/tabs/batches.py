"""The tab Batches: photos that go through together, and what batch statistics make of their answers."""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
from PIL import Image

from normzoo.analysis.results import Confusion
from normzoo.analysis.statistics import SIGNIFICANT, Interval, McNemar, accuracy_interval, holm, mcnemar
from normzoo.app.components.downloads import csv_link
from normzoo.app.components.html import NO_NETWORKS, SORT_SCRIPT, render, sortable, unavailable
from normzoo.app.components.photo import FIRST_SET, Photo, read_photos
from normzoo.app.core.batching import computing_many
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.core.controls import INSIGHT, UNDOCUMENTED, Chooser, Linked, start_after
from normzoo.app.core.errors import check_choice
from normzoo.app.core.examples import PREPARED, Example
from normzoo.app.core.upload import MOST
from normzoo.errors import ConfigError
from normzoo.formatting import capital, counted, listed, minus, p_text
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES, check_corruption, corrupt
from normzoo.inference.predict import (
    FEW_BATCHES,
    FEW_OTHERS,
    PRIOR_IMAGES,
    SAMPLED,
    BatchPredictions,
    Statistics,
    check_statistics,
    has_running_statistics,
    predict_batch,
    predict_in_batches,
)
from normzoo.pretrained.registry import Model, ModelSet
from normzoo.variants import short_name

EVERYBODY, UNCHANGED = "everybody", "none"
#: Keys that programs give, with the titles on the screen; the keys of before still work.
STATISTICS = {"running": "Running", "batch": "Batch", "blend": "Blend"}
FORMER = {"remembered": "running", "mix": "blend"}
COMPOSITIONS = {"mixed": "One mixed batch", "sorted": "Sorted by class"}
DRAWS = 8
FIRST_SIZE, LARGEST_SIZE = 8, 32
#: Photos in all batches together that a network is asked about.
MOST_DRAWN = 160
FIRST_KIND = "contrast"
#: They take turns, so that one core stays free for those who look at one photo.
TAKE_TURNS: dict[str, Any] = {**INSIGHT, "concurrency_id": "batches", "concurrency_limit": 1}
Strip = tuple[str, tuple[float, ...]]


@dataclass(frozen=True)
class Batch:
    """Photos as they are given to the networks.

    Args:
        labels: the class that each shows, None where nobody said; empty where labels do not count.
        kind, severity: of their corruption; `UNCHANGED`, 0 where there is none.
        composition: a key of `COMPOSITIONS`; sorted, each folder is a batch of its own.
    """

    photos: tuple[Photo, ...]
    images: tuple[Image.Image, ...]
    labels: tuple[str | None, ...]
    kind: str
    severity: int
    composition: str = "mixed"

    @property
    def labelled(self) -> list[int]:
        """The photos of which a class is known."""
        return [number for number, label in enumerate(self.labels) if label is not None]

    @property
    def groups(self) -> list[list[int]]:
        """The positions of the photos of each batch."""
        if self.composition == "mixed":
            return [list(range(len(self.photos)))]
        folders = dict.fromkeys(photo.folder for photo in self.photos)
        return [[number for number, photo in enumerate(self.photos) if photo.folder == folder] for folder in folders]


@dataclass(frozen=True)
class Score:
    """How many of n labelled photos a network gets right, with the Wilson interval; macro F1 over the classes shown."""

    right: int
    count: int
    accuracy: Interval
    macro_f1: float


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; it is filled when somebody opens it."""
    gr.HTML(render("many_controls.html", most=MOST), js_on_load=None, elem_id="many")
    with gr.Row(elem_classes="batches"):
        with gr.Column(scale=3, min_width=300):
            report = gr.HTML('<p class="hint">Classifying…</p>', js_on_load=SORT_SCRIPT, elem_id="many-report", label="report")
        with gr.Column(scale=2, min_width=280):
            statistics = gr.Radio(
                _choices(STATISTICS), value="batch", label="Statistics of BN and BIN", elem_id="batch-statistics"
            )
            composition = gr.Radio(_choices(COMPOSITIONS), value="mixed", label="Batch composition", elem_id="composition")
            with gr.Row():
                kinds = [("Original", UNCHANGED), *((capital(kind.title), key) for key, kind in CORRUPTIONS.items())]
                kind = gr.Dropdown(kinds, value=FIRST_KIND, label="Corruption", min_width=130, elem_id="many-kind")
                severity = gr.Slider(**_severity(FIRST_KIND), value=SEVERITIES[-1], min_width=130)
            with gr.Accordion("More choices", open=False):
                prior = gr.Slider(**_prior("batch"), value=PRIOR_IMAGES, min_width=200)
                folders = _folders([example.folder for example in PREPARED[FIRST_SET]])
                who = gr.Dropdown(folders, value=EVERYBODY, label="Folder", min_width=130, elem_id="who")
                count = gr.Slider(1, MOST, value=MOST, step=1, label="Maximum batch size", min_width=130, elem_id="count")
                labels = gr.Checkbox(True, label="Use folder names as labels")
    with gr.Accordion("Photo by photo", open=False):
        gr.HTML(render("many_filter.html"), js_on_load=None, elem_id="many-filter")
        table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="many-table", label="table")
    found = gr.JSON(visible=False, label="predictions")
    gr.HTML("<h2>Same photo, different batches</h2>", js_on_load=None, elem_classes="section")
    with gr.Row(elem_classes="controls"):
        photo = gr.Dropdown(
            _numbered(PREPARED[FIRST_SET]), value=0, label="Photo", scale=2, min_width=220, elem_id="many-photo"
        )
        size = gr.Slider(2, LARGEST_SIZE, value=FIRST_SIZE, step=1, label="Batch size", buttons=[], min_width=220)
    strips = gr.HTML(js_on_load=None, elem_id="strips", label="report")
    values = gr.JSON(visible=False, label="probabilities")

    # Prepared photos are the same for everybody: networks are asked once. Nothing of a visitor's is kept.
    @functools.lru_cache(maxsize=128)
    def ask_prepared(name: str, model_set: str, variant: str, which: Statistics, *choice: Any) -> BatchPredictions:
        chosen_set = catalog.get(model_set)
        batch = gather(read_photos({"set": name}, chosen_set.image_size).read, classes_of(chosen_set), *choice)
        return ask(catalog.load(chosen_set, [variant])[0], batch, which)[variant]

    @functools.lru_cache(maxsize=256)
    def measure_prepared(name: str, model_set: str, variant: str, *choice: Any) -> Strip:
        chosen_set = catalog.get(model_set)
        read = read_photos({"set": name}, chosen_set.image_size).read
        return measure(catalog.load(chosen_set, [variant])[0], read, *choice)[variant]

    def choose_photos(choice: object, model_set: str, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        """Take many photos: a prepared set, or files that were uploaded; what cannot be read is named with the answers."""
        wanted = choice.get("photos", choice) if isinstance(choice, dict) else choice
        read = read_photos(wanted, catalog.get(model_set).image_size, _tell(progress)).read
        folders = _folders([one.folder for one in read])
        return [wanted, gr.Dropdown(folders, value=EVERYBODY), gr.Dropdown(_numbered(read), value=0)]

    def many_photos(
        photos: object,
        model_set: str,
        variants: list[str] | None = None,
        statistics: object = "batch",
        prior: object = PRIOR_IMAGES,
        who: object = EVERYBODY,
        count: object = MOST,
        kind: object = UNCHANGED,
        severity: object = SEVERITIES[-1],
        labels: object = True,
        composition: object = "mixed",
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, dict[str, Any]]:
        """Classify many photos that go through together, with every selected network.

        photos: a list of files, or {"set": "drawings"}. statistics: of batch and batch-instance normalization: running, batch
        or blend, in which the running ones weigh as much as prior images. who: everybody, or a folder. count: maximum batch
        size. kind: none or a corruption, such as contrast; severity: 1 to 5. labels: whether folders that name a class count.
        composition: mixed, or sorted, in which each folder is a batch of its own. Gives HTML for the page, and the same as
        data.
        """
        chosen_set = catalog.get(model_set)
        models, problems = catalog.load(chosen_set, chosen(chosen_set, variants))
        if not models:
            return NO_NETWORKS + unavailable(problems), "", {}
        which = _which(statistics, prior)
        read = read_photos(photos, chosen_set.image_size, _tell(progress))
        choice = (who, count, kind, severity, bool(labels), composition)
        batch = gather(read.read, classes_of(chosen_set), *choice)
        if not batch.photos:
            nobody = "None of these photos is in that folder." if read.read else "None of these could be read."
            return words_alone(nobody, read.problems), "", {}

        def predictions(asked: dict[str, Model]) -> dict[str, BatchPredictions]:
            if isinstance(photos, dict):
                name = photos["set"]
                return {variant: ask_prepared(name, chosen_set.name, variant, which, *choice) for variant in asked}
            return ask(asked, batch, which)

        try:
            answers = predictions(models)
        except ConfigError as error:  # a single value per channel: explained, not an error
            return words_alone(str(error), read.problems), "", {}
        others = [variant for variant in main_variants_of(chosen_set) if variant not in models]
        hidden = predictions(catalog.load(chosen_set, others)[0]) if len(batch.labelled) > 1 else {}
        words = describe(batch, answers, which, read.problems, hidden) + unavailable(problems)
        return words, tabulate(batch, answers), as_data(batch, answers, which)

    def other_batches(
        photos: object,
        model_set: str,
        variants: list[str] | None = None,
        statistics: object = "batch",
        prior: object = PRIOR_IMAGES,
        photo: object = 0,
        size: object = FIRST_SIZE,
        kind: object = UNCHANGED,
        severity: object = SEVERITIES[-1],
    ) -> tuple[str, dict[str, Any]]:
        """Ask about one photo several times, each time in a batch with others that are drawn at random.

        photos, statistics, prior, kind, severity: as for many_photos; running counts as batch. photo: its position, from 0.
        size: of the batch, 2 to 32. Gives HTML for the page, and for each network its own answer and the probability of it in
        each batch: up to 8 where batch statistics count, 2 elsewhere.
        """
        chosen_set = catalog.get(model_set)
        models, _ = catalog.load(chosen_set, chosen(chosen_set, variants))
        read = read_photos(photos, chosen_set.image_size).read
        if not models or not read:
            return "", {}
        if isinstance(size, bool) or not isinstance(size, int | float) or not 2 <= size <= LARGEST_SIZE:
            raise ConfigError(f"The batch size must be from 2 to {LARGEST_SIZE}.")
        number = photo if isinstance(photo, int) and not isinstance(photo, bool) and 0 <= photo < len(read) else 0
        if len(read) < 2:
            return '<p class="hint">Seeing batch dependence takes more than one photo.</p>', {}
        which = _which(statistics, prior)
        which = "batch" if which == "running" else which
        size = int(min(size, len(read)))
        choice = (which, number, size, *((UNCHANGED, 1) if kind == UNCHANGED else check_corruption(kind, severity)))
        try:
            if isinstance(photos, dict):
                answers = {v: measure_prepared(photos["set"], chosen_set.name, v, *choice) for v in models}
            else:
                answers = measure(models, read, *choice)
        except ConfigError as error:
            return words_alone(str(error)), {}
        data = {variant: {"answer": label, "probabilities": list(each)} for variant, (label, each) in answers.items()}
        return draw_strips(models, answers, size), data

    def switch_controls(statistics: str, kind: str) -> list[Any]:
        """Switch off what has no effect, and say why."""
        return [gr.Slider(**_prior(statistics)), gr.Slider(**_severity(kind)), gr.Radio(**_composition(statistics))]

    gr.on([statistics.input, kind.input], switch_controls, [statistics, kind], [prior, severity, composition], **UNDOCUMENTED)
    shared = [chooser.photos, *chooser.inputs, statistics, prior]
    changed = [statistics.input, prior.input, kind.input, severity.input]
    answering = chooser.follow(
        many_photos,
        [*shared, who, count, kind, severity, labels, composition],
        [report, table, found],
        also=[*changed, who.input, count.input, labels.input, composition.input],
        on_open=True,
        show_progress_on=report,
        **{**TAKE_TURNS, "show_progress": "full"},
    )
    drawing = chooser.follow(
        other_batches,
        [*shared, photo, size, kind, severity],
        [strips, values],
        also=[*changed, photo.input, size.input],
        on_open=True,
        api_name="other_companies",
        show_progress_on=strips,
        **TAKE_TURNS,
    )
    taken = chooser.photos_choice.select(
        choose_photos,
        [chooser.photos_choice, chooser.model_set],
        [chooser.photos, who, photo],
        show_progress_on=report,
        concurrency_id="batches",
        **{**UNDOCUMENTED, "show_progress": "full"},
    )
    start_after(taken, [answering, drawing])
    chooser.add_to_link(
        Linked(
            "photos",
            [answering.event, drawing.event],
            [chooser.photos, photo, labels, who],
            '(([{set}, ...rest]) => { const text = [set, ...rest].join("/"); '
            f'return set && text !== "{FIRST_SET}/0/true/{EVERYBODY}" ? text : ""; }})(given)',
            _linked,
        )
    )
    chooser.add_to_link(Linked("batch", [answering.event], [statistics, composition, kind, severity, prior, count, size]))


def _linked(_: ModelSet, text: str) -> list[Any]:
    """Return the updates for a prepared set, a photo of it, whether labels count, and a folder: "drawings/0/true/everybody"."""
    name, number, labels, who = [*text.split("/", 3), "", "", ""][:4]
    photos = PREPARED[check_choice("set of photos", name, PREPARED)]
    folders = _folders([example.folder for example in photos])
    check_choice("folder", who, [key for _, key in folders])
    position = int(check_choice("photo", number, [str(each) for each in range(len(photos))]))
    is_counted = check_choice("use of labels", labels, ("true", "false")) == "true"
    shown = gr.Dropdown(_numbered(photos), value=position)
    return [{"set": name}, shown, is_counted, gr.Dropdown(folders, value=who)]


def gather(
    photos: Sequence[Photo],
    classes: Sequence[str],
    who: object,
    count: object,
    kind: object,
    severity: object,
    labels: object,
    composition: object = "mixed",
) -> Batch:
    """Choose the photos of a batch, and corrupt them.

    Args:
        who: a folder, or `EVERYBODY`; nobody is in a folder that there is not.
        count: at most so many, the first of a random order that is always the same.
        kind, severity: of the corruption, as it may come from anyone.
        labels: whether folders that name a class count.
    """
    kind, level = (UNCHANGED, 0) if kind == UNCHANGED else check_corruption(kind, severity)
    composition = check_choice("composition", composition, COMPOSITIONS)
    if isinstance(count, bool) or not isinstance(count, int | float) or not count >= 1:
        raise ConfigError("The number of photos must be at least 1.")
    here = [number for number, photo in enumerate(photos) if who in (EVERYBODY, photo.folder)]
    order = np.random.default_rng(0).permutation(len(here))[: int(min(count, len(here)))]
    members = [photos[here[position]] for position in sorted(order)]
    mapping = match_classes({photo.folder for photo in members}, classes) if labels else {}
    images = [
        corrupt(photo.square, kind, level, seed=number) if level else photo.square for number, photo in enumerate(members)
    ]
    return Batch(tuple(members), tuple(images), tuple(mapping.get(photo.folder) for photo in members), kind, level, composition)


def ask(models: Mapping[str, Model], batch: Batch, statistics: Statistics) -> dict[str, BatchPredictions]:
    """Ask one network after the other, so that other visitors get their turn between them."""
    asking = computing_many()(predict_batch)
    return {variant: asking(model, batch.images, statistics, batch.groups) for variant, model in models.items()}


def describe(
    batch: Batch,
    answers: Mapping[str, BatchPredictions],
    statistics: Statistics,
    problems: Sequence[str],
    hidden: Mapping[str, BatchPredictions] | None = None,
) -> str:
    """The headline, correct answers before and after as bars, the rest folded; as HTML.

    Args:
        hidden: of the main networks that are not shown: tests are corrected for them too, so that hiding changes none.
    """
    scores = scores_of(batch, answers)
    return render(
        "batches.html",
        headline=headline(batch, answers, statistics, scores),
        count=len(batch.labelled) if scores else len(batch.photos),
        uncounted=len(batch.photos) - len(batch.labelled),
        scores=scores,
        answers=answers,
        is_running=statistics == "running",
        title=_title(statistics),
        lines=[*_independence(answers, statistics), *_tests(batch, answers, hidden or {})],
        figures=_score_table(scores) if scores else "",
        mapping=_mapping(batch) if scores else [],
        problems=problems,
    )


def headline(
    batch: Batch, answers: Mapping[str, BatchPredictions], statistics: Statistics, scores: Mapping[str, tuple[Score, Score]]
) -> str:
    """What batch statistics do to the networks that depend on the batch, in one sentence."""
    where = ["Original photos"]
    if batch.severity:
        where = [f"Photos with {CORRUPTIONS[batch.kind].title} (severity {batch.severity} of {SEVERITIES[-1]})"]
    where += ["sorted by class"] if batch.composition == "sorted" else []
    count = len(batch.labelled) if scores else len(batch.photos)
    if statistics == "running":
        told = [f"{short_name(v)} {after.right}" for v, (_, after) in scores.items()]
        return f"{', '.join(where)}: {', '.join(told)} of {count} correct" if told else f"{', '.join(where)}"
    dependent = [variant for variant, each in answers.items() if each.depends]
    if not dependent:
        return "None of these networks depends on the batch"
    if scores:
        told = [f"{short_name(v)} goes from {scores[v][0].right} to {scores[v][1].right}" for v in dependent]
        return f"{', '.join(where)}: with {_title(statistics).lower()} {listed(told)} of {count} correct"
    told = [f"{len(answers[v].changed)} of {count} {short_name(v)} predictions" for v in dependent]
    return f"{', '.join(where)}: {_title(statistics).lower()} change {listed(told)}"


def words_alone(verdict: str, problems: Sequence[str] = ()) -> str:
    """A sentence in the place of answers."""
    return render("batches.html", headline=verdict, scores={}, answers={}, lines=[], figures="", mapping=[], problems=problems)


def tabulate(batch: Batch, answers: Mapping[str, BatchPredictions]) -> str:
    """A row for each photo, with what every network predicts, before and after."""
    rows = []
    for number, photo in enumerate(batch.photos):
        said = Counter(each.own[number].label for each in answers.values())
        cells = [
            {
                "before": each.running[number] if number in each.changed else None,
                "after": each.own[number],
                "is_right": batch.labels[number] == each.own[number].label,
            }
            for each in answers.values()
        ]
        label = batch.labels[number]
        choice = photo.choice | ({"label": label} if label else {})
        row = {"number": number, "photo": photo, "choice": choice, "label": label, "cells": cells}
        rows.append(row | {"most": max(said.values()), "of": len(answers)})
    files = csv_link(_frame(batch, answers), "normzoo-photos")
    return render("many_table.html", rows=rows, variants=list(answers)) + files


def as_data(batch: Batch, answers: Mapping[str, BatchPredictions], statistics: Statistics) -> dict[str, Any]:
    """The same as data for the API; the names of before are there too."""
    scores = scores_of(batch, answers)
    networks = {
        variant: {
            "name": short_name(variant),
            "depends_on_batch": each.depends,
            "depends_on_company": each.depends,
            "changed": list(each.changed),
            "largest_change": each.largest_change,
        }
        for variant, each in answers.items()
    }
    for variant, pair in scores.items():
        before, after = map(_as_score, pair)
        networks[variant] |= {"running": before, "remembered": before, "own": after}
    return {
        "statistics": statistics,
        "corruption": {"kind": batch.kind, "severity": batch.severity},
        "composition": batch.composition,
        "photos": _frame(batch, answers).to_dict(orient="records"),
        "networks": networks,
    }


def _as_score(found: Score) -> dict[str, Any]:
    interval = found.accuracy
    accuracy = [round(value, 6) for value in (interval.value, interval.low, interval.high)]
    return {"right": found.right, "photos": found.count, "accuracy": accuracy, "macro_f1": round(found.macro_f1, 6)}


def _independence(answers: Mapping[str, BatchPredictions], statistics: Statistics) -> list[str]:
    """That the batch does not matter to the other networks, to the last bit."""
    independent = {variant: each for variant, each in answers.items() if not each.depends}
    if statistics == "running" or not independent:
        return []
    largest = max(each.largest_change for each in independent.values())
    told = "exactly 0, to the last bit" if largest == 0 else minus(f"{largest:.1e}")
    names = listed([short_name(each) for each in independent])
    return [
        f"{names} normalize each photo by itself: the largest change of any probability (up to {SAMPLED} photos) is {told}."
    ]


def match_classes(folders: Iterable[str], classes: Sequence[str]) -> dict[str, str | None]:
    """Return which class each folder names: the same words, whatever their case and what stands between them; else None.

    >>> match_classes(["School_Bus", "oranges", "holiday"], ["school bus", "orange"])
    {'School_Bus': 'school bus', 'oranges': 'orange', 'holiday': None}
    """
    known = {_plain(name): name for name in classes}
    return {
        folder: known.get(_plain(folder)) or known.get(_plain(folder).removesuffix("s")) for folder in dict.fromkeys(folders)
    }


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def score(labels: Sequence[str], answers: Sequence[str]) -> Score:
    """Return how well the answers fit the labels, one of each for every photo; at least one photo.

    Reference:
        Sokolova and Lapalme, A systematic analysis of performance measures for classification tasks, 2009 (macro F1).
    """
    right = np.array(labels) == np.array(answers)
    shown = sorted({*labels})
    places = {label: place for place, label in enumerate([*shown, *sorted({*answers} - {*labels})])}
    counts = np.zeros((1, len(places), len(places)), dtype=np.int64)
    for label, answer in zip(labels, answers, strict=True):
        counts[0, places[label], places[answer]] += 1
    macro = float(Confusion(counts).f1[: len(shown)].mean())
    return Score(int(right.sum()), len(right), accuracy_interval(right), macro)


def scores_of(batch: Batch, answers: Mapping[str, BatchPredictions]) -> dict[str, tuple[Score, Score]]:
    """With running statistics, and with those that were asked for."""
    known = batch.labelled
    labels = [str(batch.labels[number]) for number in known]
    return {
        variant: (
            score(labels, [each.running[number].label for number in known]),
            score(labels, [each.own[number].label for number in known]),
        )
        for variant, each in answers.items()
        if known
    }


def _score_table(scores: Mapping[str, tuple[Score, Score]]) -> str:
    each = [after for _, after in scores.values()]
    numbers = pd.DataFrame(
        {
            "Network": [short_name(variant) for variant in scores],
            "Accuracy (%)": [100 * one.accuracy.value for one in each],
            "95% from": [100 * one.accuracy.low for one in each],
            "to (Wilson)": [100 * one.accuracy.high for one in each],
            "Macro F1 (%)": [100 * one.macro_f1 for one in each],
        }
    )
    texts = numbers.map(lambda value: value if isinstance(value, str) else f"{value:.0f}")
    return sortable(numbers, texts, "Accuracy on these photos") + csv_link(texts, "normzoo-photos-scores", full=numbers)


def paired_tests(labels: Sequence[str], answers: Mapping[str, Sequence[str]]) -> list[tuple[str, str, McNemar, float]]:
    """Return the exact McNemar test of every two networks, and its p-value corrected over all pairs (Holm)."""
    correct = {variant: np.array(labels) == np.array(given) for variant, given in answers.items()}
    pairs = list(itertools.combinations(correct, 2))
    tests = [mcnemar(correct[first], correct[second]) for first, second in pairs]
    corrected = holm([test.p_value for test in tests])
    return [(*pair, test, p) for pair, test, p in zip(pairs, tests, corrected, strict=True)]


def _tests(batch: Batch, answers: Mapping[str, BatchPredictions], hidden: Mapping[str, BatchPredictions]) -> list[str]:
    known = batch.labelled
    if not known or len(answers) < 2:
        return []
    labels = [str(batch.labels[number]) for number in known]
    asked = {**answers, **hidden}
    tests = paired_tests(labels, {v: [each.own[number].label for number in known] for v, each in asked.items()})
    clear = [test for test in tests if test[3] < SIGNIFICANT and {*test[:2]} <= answers.keys()]
    of_whom = f"{counted(len(tests), 'pair')}{', of hidden networks too' if hidden else ''}"
    how = f"exact McNemar tests, corrected for {of_whom} (Holm)"
    told = [
        f"{short_name(first)} and {short_name(second)} ({test.only_first} : {test.only_second}, p = {p_text(p)})"
        for first, second, test, p in clear
    ]
    words = f"Significantly different: {listed(told)}" if told else f"No significant difference, no p below {SIGNIFICANT}"
    return [f"{words}; {how}."]


def _mapping(batch: Batch) -> list[tuple[str, str | None, int]]:
    """Folder, the class that it names, and how many photos it has."""
    photos = Counter((photo.folder, label) for photo, label in zip(batch.photos, batch.labels, strict=True))
    return [(folder, label, count) for (folder, label), count in photos.items()]


def _frame(batch: Batch, answers: Mapping[str, BatchPredictions]) -> pd.DataFrame:
    rows = []
    for number, (photo, label) in enumerate(zip(batch.photos, batch.labels, strict=True)):
        row: dict[str, Any] = {"photo": photo.name, "folder": photo.folder, "class": label or ""}
        for variant, each in answers.items():
            for words, answer in (("", each.running[number]), (" batch statistics", each.own[number])):
                if not words or each.depends:
                    row[f"{variant}{words}"] = answer.label
                    row[f"{variant}{words} probability"] = round(answer.top[0][1], 6)
        rows.append(row)
    return pd.DataFrame(rows)


def measure(
    models: Mapping[str, Model],
    photos: Sequence[Photo],
    statistics: Statistics,
    number: int,
    size: int,
    kind: str,
    severity: int,
) -> dict[str, Strip]:
    """Return for each network its answer to a photo, and the probability of that class in each batch."""
    images = gather(photos, (), EVERYBODY, MOST, kind, severity, False).images
    ordered = [images[number], *(image for other, image in enumerate(images) if other != number)]
    asking = computing_many()(predict_in_batches)
    return {variant: asking(model, ordered, statistics, size, _draws(size)) for variant, model in models.items()}


def _draws(size: int) -> int:
    return min(DRAWS, MOST_DRAWN // size)


def draw_strips(models: Mapping[str, Model], strips: Mapping[str, Strip], size: int) -> str:
    """The probabilities as a strip of dots for each network, as HTML."""
    rows = [
        {"variant": variant, "label": label, "values": values, "low": min(values), "high": max(values)}
        for variant, (label, values) in strips.items()
    ]
    still = {variant for variant in strips if not has_running_statistics(models[variant].network)}
    widest = max((max(strips[variant][1]) - min(strips[variant][1]) for variant in still), default=None)
    return render(
        "many_strip.html", rows=rows, draws=_draws(size), others=size - 1, few=FEW_OTHERS, batches=FEW_BATCHES, widest=widest
    )


def _severity(kind: str) -> dict[str, Any]:
    is_on = kind != UNCHANGED
    label = "Severity" if is_on else "Severity (only for a corruption)"
    return {"minimum": 1, "maximum": SEVERITIES[-1], "step": 1, "label": label, "interactive": is_on}


def _prior(statistics: str) -> dict[str, Any]:
    is_on = statistics == "blend"
    label = "Weight of running statistics (images)" + ("" if is_on else " (only for Blend)")
    return {"minimum": 0, "maximum": 256, "step": 1, "label": label, "interactive": is_on}


def _composition(statistics: str) -> dict[str, Any]:
    is_on = statistics != "running"
    return {"label": "Batch composition" + ("" if is_on else " (no effect on running statistics)"), "interactive": is_on}


def _choices(titles: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(title, key) for key, title in titles.items()]


def _numbered(photos: Sequence[Photo | Example]) -> list[tuple[str, int]]:
    """Photos to choose one of, numbered: two may have the same name."""
    names = [photo.title if isinstance(photo, Example) else photo.name for photo in photos]
    return [(f"{number}. {name}", number - 1) for number, name in enumerate(names, start=1)]


def _folders(folders: Sequence[str]) -> list[tuple[str, str]]:
    return [("All photos", EVERYBODY), *((f"Only {folder}", folder) for folder in sorted({*folders} - {""}))]


def _which(which: object, prior: object) -> Statistics:
    which = FORMER.get(which, which) if isinstance(which, str) else which
    which = check_choice("statistics", which, STATISTICS)
    return check_statistics(prior if which == "blend" else which)


def _title(statistics: Statistics) -> str:
    return {"running": "Running statistics", "batch": "Batch statistics"}.get(str(statistics), "Blended statistics")


def _tell(progress: gr.Progress) -> Any:
    return lambda done, count: progress((done, count), desc="Reading the photos", unit="photos")
