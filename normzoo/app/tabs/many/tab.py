"""The tab of many photos: all answers side by side, whose statistics they rest on, and one photo among others."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import gradio as gr

from normzoo.app.components import cards
from normzoo.app.components.html import NO_NETWORKS, render
from normzoo.app.components.photo_sets import FIRST_SET, Photo, read_photos
from normzoo.app.components.tables import SORT_SCRIPT
from normzoo.app.core.catalog import Catalog, chosen, classes_of, main_variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import INSIGHT, UNDOCUMENTED, start_after
from normzoo.app.core.examples import PREPARED, Example
from normzoo.app.core.upload import MOST
from normzoo.app.tabs.many import answers, strip
from normzoo.app.tabs.many.answers import EVERYBODY, UNCHANGED
from normzoo.errors import ConfigError
from normzoo.formatting import capital
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.inference.company import CompanyAnswers
from normzoo.inference.statistics import PRIOR_IMAGES, Statistics, check_statistics
from normzoo.pretrained.registry import Model, ModelSet

INTRODUCTION = """
<p class="explanation">What batch normalization does cannot be seen with one photo. While it learns, it takes mean and variance
from all photos that go through together, so its answer to one depends on the others; later it uses averages that it remembers.
Here you can give it back the company.</p>
"""
WHOSE = """
<h2>Whose statistics, and who is in the company?</h2>
<p class="explanation">Of batch and batch-instance normalization; the others have nothing to remember.</p>
"""
OTHERS = """
<h2>The same photo, in other company</h2>
<p class="explanation">One photo goes through with others that are drawn at random, eight times. Each dot is how sure a network
is of its own answer, with the statistics of that company, or a mix where that is chosen above.</p>
"""
REMEMBERED, MIX = "remembered", "mix"
OWN: Literal["batch"] = "batch"
#: They take turns, so that one core stays free for those who look at one photo.
TAKE_TURNS: dict[str, Any] = {**INSIGHT, "concurrency_id": "company", "concurrency_limit": 1}
OPENING = '<p class="hint">Asking all networks about all photos…</p>'
FIRST_SIZE = 8
#: Photos, statistics and who is there as the tab opens.
FIRST_COMPANY: tuple[dict[str, str], Statistics, str, int, str] = ({"set": FIRST_SET}, OWN, EVERYBODY, MOST, UNCHANGED)


def build(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the tab; it is filled when somebody opens it."""
    gr.HTML(INTRODUCTION, js_on_load=None)
    gr.HTML(render("many_controls.html", most=MOST), js_on_load=None, elem_id="many")
    gr.HTML(WHOSE, js_on_load=None, elem_classes="section")
    with gr.Row():
        statistics = gr.Radio(
            [("Remembered", REMEMBERED), ("This company's", OWN), ("A mix", MIX)],
            value=OWN,
            label="Statistics",
            scale=2,
            min_width=260,
            elem_id="statistics",
        )
        prior = gr.Slider(
            0, 256, value=PRIOR_IMAGES, step=1, label="In a mix, what is remembered counts as … photos", scale=2, min_width=260
        )
    with gr.Row():
        folders = _folders([example.title for example in PREPARED[FIRST_SET]])
        who = gr.Dropdown(folders, value=EVERYBODY, label="Who is there", min_width=180, elem_id="who")
        count = gr.Slider(1, MOST, value=MOST, step=1, label="At most so many", min_width=180, elem_id="count")
        kinds = [("As they are", UNCHANGED), *((capital(kind.title), key) for key, kind in CORRUPTIONS.items())]
        kind = gr.Dropdown(kinds, value=UNCHANGED, label="Corrupted", min_width=180, elem_id="many-kind")
        severity = gr.Slider(1, SEVERITIES[-1], value=SEVERITIES[-1], step=1, label="Severity", min_width=180)
    labels = gr.Checkbox(True, label="Count right answers by folder")
    report = gr.HTML(OPENING, js_on_load=None, elem_id="many-report")
    gr.HTML(render("many_filter.html"), js_on_load=None, elem_id="many-filter")
    table = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="many-table")
    found = gr.JSON(visible=False)
    gr.HTML(OTHERS, js_on_load=None, elem_classes="section")
    with gr.Row():
        photo = gr.Dropdown(_choices(PREPARED[FIRST_SET]), value=0, label="Photo", scale=2, min_width=220, elem_id="many-photo")
        size = gr.Slider(2, 32, value=FIRST_SIZE, step=1, label="Photos in each company", scale=2, min_width=220)
    strips = gr.HTML(js_on_load=None, elem_id="strips")
    values = gr.JSON(visible=False)

    # Everybody sees this first, so the networks are asked once. Nothing of a visitor's is kept.
    @functools.cache
    def first_answers(model_set: str, variant: str) -> CompanyAnswers:
        photos, which, who, count, kind = FIRST_COMPANY
        chosen_set = catalog.get(model_set)
        read = read_photos(photos, chosen_set.image_size).read
        company = answers.gather(read, classes_of(chosen_set), who, count, kind, SEVERITIES[-1], labels=False)
        return answers.ask(catalog.load(chosen_set, [variant])[0], company, which)[variant]

    @functools.cache
    def first_strips(model_set: str, variant: str) -> strip.Strips:
        photos, which, *_ = FIRST_COMPANY
        chosen_set = catalog.get(model_set)
        read = read_photos(photos, chosen_set.image_size).read
        return strip.measure(catalog.load(chosen_set, [variant])[0], read, 0, FIRST_SIZE, which)

    @guarded
    def choose_photos(choice: object, model_set: str, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        """Take many photos: a prepared set, or files that were uploaded; what cannot be read is named with the answers."""
        wanted = choice.get("photos", choice) if isinstance(choice, dict) else choice
        read = read_photos(wanted, catalog.get(model_set).image_size, _tell(progress))
        folders = [one.folder for one in read.read]
        return [
            wanted,
            gr.Dropdown(_folders(folders), value=EVERYBODY),
            gr.Dropdown(_choices(read.read), value=0),
        ]

    @guarded
    def many_photos(
        photos: object,
        model_set: str,
        variants: list[str] | None,
        statistics: object,
        prior: object,
        who: object,
        count: object,
        kind: object,
        severity: object,
        labels: object,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, dict[str, Any]]:
        """Classify many photos that go through together, with every selected network.

        photos: a list of files, or {"set": "drawings"}. statistics: of batch and batch-instance normalization: remembered,
        batch (those of these photos) or mix, in which what is remembered counts as so many photos. who: everybody, or a
        folder. count: at most so many, from 1. kind: none or a corruption, such as contrast; severity: 1 to 5. labels: whether
        folders that name a class count. Gives HTML for the page, and the same as data.
        """
        chosen_set = catalog.get(model_set)
        models, unavailable = catalog.load(chosen_set, chosen(chosen_set, variants))
        if not models:
            return NO_NETWORKS + cards.unavailable(unavailable), "", {}
        which = _statistics(statistics, prior)
        read = read_photos(photos, chosen_set.image_size, _tell(progress))
        company = answers.gather(read.read, classes_of(chosen_set), who, count, kind, severity, labels)
        if not company.photos:
            nobody = "None of these photos is in that folder." if read.read else "None of these could be read."
            return answers.words_alone(nobody, read.problems), "", {}

        def ask(asked: dict[str, Model]) -> dict[str, CompanyAnswers]:
            if (photos, which, who, count, kind) == FIRST_COMPANY:
                return {variant: first_answers(chosen_set.name, variant) for variant in asked}
            return answers.ask(asked, company, which)

        try:
            found = ask(models)
        except ConfigError as error:  # a single value per channel: explained, not an error
            return answers.words_alone(str(error), read.problems), "", {}
        others = [variant for variant in main_variants_of(chosen_set) if variant not in models]
        hidden = ask(catalog.load(chosen_set, others)[0]) if len(company.labelled) > 1 else {}
        words = answers.report(company, found, which, read.problems, hidden) + cards.unavailable(unavailable)
        return words, answers.table(company, found), answers.as_data(company, found, which)

    @guarded
    def other_companies(
        photos: object,
        model_set: str,
        variants: list[str] | None,
        statistics: object,
        prior: object,
        photo: object,
        size: object,
    ) -> tuple[str, dict[str, Any]]:
        """Ask about one photo eight times, each time among other photos that are drawn at random.

        photos, statistics, prior: as for many_photos; remembered counts as batch. photo: its position, from 0. size: photos
        that go through together. Gives HTML for the page, and for each network its own answer and the probability of it in each
        company.
        """
        chosen_set = catalog.get(model_set)
        models, _ = catalog.load(chosen_set, chosen(chosen_set, variants))
        read = read_photos(photos, chosen_set.image_size).read
        if not models or not read:
            return "", {}
        if isinstance(size, bool) or not isinstance(size, int | float) or not 2 <= size <= MOST:
            raise ConfigError(f"The photos in each company must be from 2 to {MOST}.")
        number = photo if isinstance(photo, int) and not isinstance(photo, bool) and 0 <= photo < len(read) else 0
        if len(read) < 2:
            return '<p class="hint">For other company it takes more than one photo.</p>', {}
        which = _statistics(OWN if statistics == REMEMBERED else statistics, prior)
        size = int(min(size, len(read)))
        try:
            if (photos, which, number, size) == (*FIRST_COMPANY[:2], 0, FIRST_SIZE):
                found = {v: each for variant in models for v, each in first_strips(chosen_set.name, variant).items()}
            else:
                found = strip.measure(models, read, number, size, which)
        except ConfigError as error:
            return answers.words_alone(str(error)), {}
        data = {variant: {"answer": label, "probabilities": list(each)} for variant, (label, each) in found.items()}
        return strip.draw(models, found, read[number], size), data

    shared = [chooser.photos, *chooser.inputs, statistics, prior]
    choices = [statistics.input, prior.input, who.input, count.input, kind.input, severity.input, labels.input]
    answering = chooser.follow(
        many_photos,
        [*shared, who, count, kind, severity, labels],
        [report, table, found],
        also=[*choices],
        on_open=True,
        api_name="many_photos",
        show_progress_on=report,
        **{**TAKE_TURNS, "show_progress": "full"},
    )
    drawing = chooser.follow(
        other_companies,
        [*shared, photo, size],
        [strips, values],
        also=[statistics.input, prior.input, photo.input, size.input],
        on_open=True,
        api_name="other_companies",
        show_progress_on=strips,
        **TAKE_TURNS,
    )
    taken = chooser.photos_choice.select(
        choose_photos,
        [chooser.photos_choice, chooser.model_set],
        [chooser.photos, who, photo],
        api_name="choose_photos",
        show_progress_on=report,
        concurrency_id="company",
        **{**UNDOCUMENTED, "show_progress": "full"},
    )
    start_after(taken, [answering, drawing])


def _choices(photos: Sequence[Photo | Example]) -> list[tuple[str, int]]:
    """Photos to choose one of, numbered: two may have the same name."""
    names = [photo.title if isinstance(photo, Example) else photo.name for photo in photos]
    return [(f"{number}. {name}", number - 1) for number, name in enumerate(names, start=1)]


def _folders(folders: Sequence[str]) -> list[tuple[str, str]]:
    return [("All photos", EVERYBODY), *((f"Only {folder}", folder) for folder in sorted({*folders} - {""}))]


def _statistics(which: object, prior: object) -> Statistics:
    if which not in (REMEMBERED, OWN, MIX):
        raise ConfigError(f"statistics must be {REMEMBERED}, {OWN} or {MIX}.")
    return check_statistics(prior if which == MIX else which)


def _tell(progress: gr.Progress) -> Any:
    return lambda done, count: progress((done, count), desc="Reading the photos", unit="photos")
