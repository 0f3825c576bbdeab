"""What the networks make of many photos: who agrees, what their own statistics change, how many are right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from normzoo.analysis.comparisons import SIGNIFICANT
from normzoo.analysis.findings.finding import Figures
from normzoo.app.components.findings import figures_html
from normzoo.app.components.html import render
from normzoo.app.components.photo_sets import Photo
from normzoo.app.components.tables import csv_link
from normzoo.app.core.batching import computing_many
from normzoo.app.tabs.many.scores import Score, match_classes, paired_tests, score
from normzoo.errors import ConfigError
from normzoo.formatting import counted, listed, minus, p_text
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from normzoo.inference.agreement import agreement
from normzoo.inference.company import CompanyAnswers, answer_company
from normzoo.inference.statistics import Statistics
from normzoo.pretrained.registry import Model
from normzoo.variants import short_name

EVERYBODY = "everybody"
UNCHANGED = "none"


@dataclass(frozen=True)
class Company:
    """Photos that go through together, as they are given to the networks.

    Args:
        labels: the class that each shows, None where nobody said; empty where labels do not count.
        kind, severity: of their corruption; `UNCHANGED`, 0 where there is none.
    """

    photos: tuple[Photo, ...]
    images: tuple[Image.Image, ...]
    labels: tuple[str | None, ...]
    kind: str
    severity: int

    @property
    def labelled(self) -> list[int]:
        """The photos of which a class is known."""
        return [number for number, label in enumerate(self.labels) if label is not None]


def gather(
    photos: Sequence[Photo], classes: Sequence[str], who: object, count: object, kind: object, severity: object, labels: object
) -> Company:
    """Choose who is in the company, and corrupt them.

    Args:
        who: a folder, or `EVERYBODY`; nobody is in a folder that there is not.
        count: at most so many, the first of a random order that is always the same.
        kind, severity: of the corruption, as it may come from anyone.
        labels: whether folders that name a class count.

    Raises:
        ConfigError: a choice that there is not.
    """
    if kind != UNCHANGED and (not isinstance(kind, str) or kind not in CORRUPTIONS):
        raise ConfigError(f"Unknown corruption. Choose one of: {', '.join((UNCHANGED, *CORRUPTIONS))}.")
    if isinstance(severity, bool) or not isinstance(severity, int | float) or severity not in SEVERITIES:
        raise ConfigError(f"severity must be a whole number from 1 to {SEVERITIES[-1]}.")
    if isinstance(count, bool) or not isinstance(count, int | float) or not count >= 1:
        raise ConfigError("The number of photos must be at least 1.")
    here = [number for number, photo in enumerate(photos) if who in (EVERYBODY, photo.folder)]
    order = np.random.default_rng(0).permutation(len(here))[: int(min(count, len(here)))]
    members = [photos[here[position]] for position in sorted(order)]
    mapping = match_classes({photo.folder for photo in members}, classes) if labels else {}
    images = [
        photo.square if kind == UNCHANGED else corrupt(photo.square, str(kind), int(severity), seed=number)
        for number, photo in enumerate(members)
    ]
    return Company(
        tuple(members),
        tuple(images),
        tuple(mapping.get(photo.folder) for photo in members),
        str(kind),
        0 if kind == UNCHANGED else int(severity),
    )


def ask(models: Mapping[str, Model], company: Company, statistics: Statistics) -> dict[str, CompanyAnswers]:
    """Ask one network after the other, so that other visitors get their turn between them."""
    found: dict[str, CompanyAnswers] = {}
    for variant, model in models.items():
        with computing_many():
            found |= answer_company({variant: model}, company.images, statistics)
    return found


def report(
    company: Company,
    answers: Mapping[str, CompanyAnswers],
    statistics: Statistics,
    problems: Sequence[str],
    hidden: Mapping[str, CompanyAnswers] | None = None,
) -> str:
    """Return in words, and in a table where classes are known, what came out.

    Args:
        hidden: of the main networks that are not shown: tests are corrected for them too, so that hiding changes none.
    """
    lines = [*_whose(company, answers, statistics), *_tests(company, answers, hidden or {})]
    words = render("many_report.html", verdict=_verdict(company, answers, statistics), lines=lines, problems=problems)
    scores = _score_figures(company, answers, statistics)
    if scores is None:
        return words
    return words + figures_html(scores, "normzoo-photos-scores.csv") + render("many_mapping.html", mapping=_mapping(company))


def words_alone(verdict: str, problems: Sequence[str] = ()) -> str:
    """Return a sentence in the place of answers."""
    return render("many_report.html", verdict=verdict, lines=(), problems=problems)


def table(company: Company, answers: Mapping[str, CompanyAnswers]) -> str:
    """Return a row for each photo, with what every network says, before and after."""
    rows = []
    for number, photo in enumerate(company.photos):
        said = {variant: each.own[number].label for variant, each in answers.items()}
        most = max((list(said.values()).count(label) for label in said.values()), default=0)
        cells = [
            {
                "before": each.remembered[number] if number in each.changed else None,
                "after": each.own[number],
                "is_right": company.labels[number] == each.own[number].label,
            }
            for each in answers.values()
        ]
        label = company.labels[number]
        rows.append({"number": number, "photo": photo, "label": label, "cells": cells, "most": most, "of": len(said)})
    return render("many_table.html", rows=rows, variants=list(answers)) + csv_link(
        _frame(company, answers), "normzoo-photos.csv"
    )


def as_data(company: Company, answers: Mapping[str, CompanyAnswers], statistics: Statistics) -> dict[str, Any]:
    """Return the same as data for the API."""
    scores = _scores(company, answers)
    return {
        "statistics": statistics,
        "corruption": {"kind": company.kind, "severity": company.severity},
        "photos": _frame(company, answers).to_dict(orient="records"),
        "networks": {
            variant: {
                "name": short_name(variant),
                "depends_on_company": each.depends,
                "changed": list(each.changed),
                "largest_change": each.largest_change,
                **{words: _as_score(each) for words, each in zip(("remembered", "own"), scores.get(variant, ()), strict=False)},
            }
            for variant, each in answers.items()
        },
    }


def _as_score(found: Score) -> dict[str, Any]:
    interval = found.accuracy
    return {
        "right": found.right,
        "photos": found.count,
        "accuracy": [round(value, 6) for value in (interval.value, interval.low, interval.high)],
        "macro_f1": round(found.macro_f1, 6),
    }


def _verdict(company: Company, answers: Mapping[str, CompanyAnswers], statistics: Statistics) -> str:
    count = len(company.photos)
    agreed = sum(len({each.own[number].label for each in answers.values()}) == 1 for number in range(count))
    if count == 1:
        words = agreement({variant: each.own[0].label for variant, each in answers.items()}).sentence
    elif len(answers) == 1:
        words = f"{counted(count, 'photo')}, one network."
    else:
        words = f"All {len(answers)} networks agree on {agreed} of {counted(count, 'photo')}."
    if statistics == "remembered":
        return words
    moved = [f"{short_name(variant)} {len(each.changed)}" for variant, each in answers.items() if each.depends]
    still = [short_name(variant) for variant, each in answers.items() if not each.depends]
    if moved:
        words += f" Of {counted(count, 'answer')} other statistics change: {', '.join(moved)}."
    return f"{words} {listed(still)}: none." if still else words


def _whose(company: Company, answers: Mapping[str, CompanyAnswers], statistics: Statistics) -> list[str]:
    """Whose statistics were taken, and that they do not matter to the other networks."""
    count = len(company.photos)
    dependent = [short_name(variant) for variant, each in answers.items() if each.depends]
    lines = []
    if company.severity:
        kind = CORRUPTIONS[company.kind]
        lines.append(f"All are corrupted before the networks see them: {kind.title}, severity {company.severity} of 5.")
    if statistics != "remembered" and dependent:
        whose = f"of {'this photo' if count == 1 else f'these {count} photos'} in each layer"
        if statistics == "batch":
            lines.append(f"{listed(dependent)} take mean and variance {whose}, as in training. Nothing that is stored moves.")
        else:
            mixed = f"what they remember counts as {statistics:g} photos, mean and variance {whose} as {count}"
            lines.append(f"{listed(dependent)} take a mix: {mixed}. Nothing that is stored moves.")
        if count == 1:
            lines.append(
                "A company of one: batch normalization takes the statistics of this photo alone, channel by channel, as "
                "instance normalization does. Add others, and its answer moves."
            )
    independent = {variant: each for variant, each in answers.items() if not each.depends}
    if statistics != "remembered" and independent:
        largest = max(each.largest_change for each in independent.values())
        told = "exactly 0, to the last bit" if largest == 0 else minus(f"{largest:.1e}")
        lines.append(
            f"{listed([short_name(each) for each in independent])} look at one photo at a time. Computed by itself and in this "
            f"company, the largest change of any of their probabilities is {told}."
        )
    return lines


def _scores(company: Company, answers: Mapping[str, CompanyAnswers]) -> dict[str, tuple[Score, Score]]:
    """With remembered statistics, and with those that were asked for."""
    known = company.labelled
    labels = [str(company.labels[number]) for number in known]
    return {
        variant: (
            score(labels, [each.remembered[number].label for number in known]),
            score(labels, [each.own[number].label for number in known]),
        )
        for variant, each in answers.items()
        if known
    }


def _score_figures(company: Company, answers: Mapping[str, CompanyAnswers], statistics: Statistics) -> Figures | None:
    scores = _scores(company, answers)
    if not scores:
        return None
    count = len(company.labelled)
    found = Figures(f"On your {counted(count, 'photo')} of known things, with 95% intervals (Wilson)")
    found.add("Network", [short_name(variant) for variant in scores])
    if statistics != "remembered":
        found.add("Right, remembered", [before.right for before, _ in scores.values()], "d", higher_is_better=True)
    words = "" if statistics == "remembered" else ", other statistics"
    each = [after for _, after in scores.values()]
    found.add(f"Right{words}", [one.right for one in each], "d", higher_is_better=True)
    found.add("Accuracy (%)", [100 * one.accuracy.value for one in each], ".1f", higher_is_better=True)
    found.add("from", [100 * one.accuracy.low for one in each], ".1f")
    found.add("to", [100 * one.accuracy.high for one in each], ".1f")
    found.add("Macro F1 (%)", [100 * one.macro_f1 for one in each], ".1f", higher_is_better=True)
    return found


def _tests(company: Company, answers: Mapping[str, CompanyAnswers], hidden: Mapping[str, CompanyAnswers]) -> list[str]:
    known = company.labelled
    if not known or len(answers) < 2:
        return []
    labels = [str(company.labels[number]) for number in known]
    asked = {**answers, **hidden}
    tests = paired_tests(labels, {v: [each.own[number].label for number in known] for v, each in asked.items()})
    clear = [test for test in tests if test.p_holm < SIGNIFICANT and {test.first, test.second} <= answers.keys()]
    photos = f"on your {counted(len(known), 'photo')}"
    of_whom = f"all {counted(len(tests), 'pair')}, of hidden networks too" if hidden else counted(len(tests), "pair")
    how = f"exact McNemar tests, corrected for {of_whom} (Holm)"
    if not clear:
        return [f"No two networks differ clearly {photos}: {how}, no p below {SIGNIFICANT}."]
    told = [
        f"{short_name(test.first)} and {short_name(test.second)} (only one is right {test.test.only_first} against "
        f"{test.test.only_second} times, p = {p_text(test.p_holm)})"
        for test in clear
    ]
    return [f"Clearly different {photos}: {listed(told)}; {how}."]


def _mapping(company: Company) -> list[tuple[str, str | None, int]]:
    """Folder, the class that it names, and how many photos it has."""
    found: dict[str, tuple[str | None, int]] = {}
    for photo, label in zip(company.photos, company.labels, strict=True):
        found[photo.folder] = (label, found.get(photo.folder, (None, 0))[1] + 1)
    return [(folder, *rest) for folder, rest in found.items()]


def _frame(company: Company, answers: Mapping[str, CompanyAnswers]) -> pd.DataFrame:
    rows = []
    for number, (photo, label) in enumerate(zip(company.photos, company.labels, strict=True)):
        row: dict[str, Any] = {"photo": photo.name, "folder": photo.folder, "class": label or ""}
        for variant, each in answers.items():
            for words, answer in (("", each.remembered[number]), (" own statistics", each.own[number])):
                if not words or each.depends:
                    row[f"{variant}{words}"] = answer.label
                    row[f"{variant}{words} probability"] = round(answer.top[0][1], 6)
        rows.append(row)
    return pd.DataFrame(rows)
