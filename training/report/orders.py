"""Two orders of the same networks, held against each other in a sentence."""

import itertools
import math

from normzoo.analysis.statistics import kendall_tau
from normzoo.variants import short_name
from training.report.markdown import how_often, listed

#: Variant -> what it is ordered by, the lowest first.
Scores = dict[str, float]


def compare_orders(title: str, here: Scores, there: Scores) -> str:
    """Both orders, how many pairs stand the same way in both, and who moved furthest; nothing for less than two networks."""
    if len(here) < 2:
        return ""
    orders = f"{title}: ours {_in_words(here)}; original {_in_words(there)}."
    places, before = _places(here), _places(there)
    most = max(abs(places[variant] - before[variant]) for variant in here)
    moved = [
        f"{short_name(variant)} (place {before[variant]} there, {places[variant]} here)"
        for variant in here
        if abs(places[variant] - before[variant]) == most
    ]
    furthest = f" Furthest apart: {listed(moved)}." if most else ""
    return f"{orders} {agreement(here, there)}.{furthest}"


def agreement(here: Scores, there: Scores) -> str:
    """In words and as Kendall's tau; for two networks or more."""
    pairs = list(itertools.combinations(here, 2))
    same = sum((here[a] - here[b]) * (there[a] - there[b]) > 0 for a, b in pairs)
    tau = kendall_tau(list(here.values()), list(there.values()))
    if not math.isfinite(tau):
        return "One of the two has them all equal, so there is no order to compare"
    words = "The same order" if same == len(pairs) else "The reverse order" if tau == -1 else "Not the same order"
    return f"{words}: {same} of {how_often(len(pairs), 'pair')} stand the same way in both, Kendall's τ = {tau:.2f}".replace(
        "-", "−"
    )


def _in_words(scores: Scores) -> str:
    """The first to the last, "=" between equals."""
    ordered = sorted(scores, key=lambda variant: scores[variant])
    words = short_name(ordered[0])
    for before, variant in itertools.pairwise(ordered):
        words += f" {'=' if scores[before] == scores[variant] else '·'} {short_name(variant)}"
    return words


def _places(scores: Scores) -> dict[str, int]:
    """From 1; equals share a place."""
    return {variant: 1 + sum(other < score for other in scores.values()) for variant, score in scores.items()}
