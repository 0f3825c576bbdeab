"""Scores of networks on photos whose folders name what they show."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normzoo.analysis.confusion import Confusion
from normzoo.analysis.statistics import Interval, McNemar, accuracy_interval, holm, mcnemar


@dataclass(frozen=True)
class Score:
    """How many of n labelled photos a network gets right.

    Args:
        accuracy: with its Wilson interval.
        macro_f1: the mean of F1 over the classes that the photos show.
    """

    right: int
    count: int
    accuracy: Interval
    macro_f1: float


@dataclass(frozen=True)
class PairTest:
    """The exact paired test of two networks on the same photos, and its p-value corrected over all pairs (Holm)."""

    first: str
    second: str
    test: McNemar
    p_holm: float


def match_classes(folders: Iterable[str], classes: Sequence[str]) -> dict[str, str | None]:
    """Return which class each folder names: the same words, whatever their case and what stands between them; else None.

    >>> match_classes(["School_Bus", "oranges", "holiday"], ["school bus", "orange"])
    {'School_Bus': 'school bus', 'oranges': 'orange', 'holiday': None}
    """
    known = {_plain(name): name for name in classes}
    return {
        folder: known.get(_plain(folder)) or known.get(_plain(folder).removesuffix("s")) for folder in dict.fromkeys(folders)
    }


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


def paired_tests(labels: Sequence[str], answers: Mapping[str, Sequence[str]]) -> list[PairTest]:
    """Return the exact McNemar test of every two networks.

    Args:
        answers: variant -> one for each label.
    """
    correct = {variant: np.array(labels) == np.array(given) for variant, given in answers.items()}
    pairs = list(itertools.combinations(correct, 2))
    tests = [mcnemar(correct[first], correct[second]) for first, second in pairs]
    corrected = holm([test.p_value for test in tests])
    return [PairTest(*pair, test, p) for pair, test, p in zip(pairs, tests, corrected, strict=True)]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()
