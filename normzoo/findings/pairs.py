"""Pairwise comparison: which norms of a set differ significantly."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from normzoo.analysis.statistics import SIGNIFICANT, Contrast, Runs, RunVariance, accuracy, compare, holm
from normzoo.findings.finding import (
    HOLM,
    SINGLE_RUN,
    TEST,
    Evidence,
    Finding,
    ResultTable,
    counts,
    interval_row,
    names,
    training_commands,
    where,
)
from normzoo.formatting import counted, listed
from normzoo.plotting.spec import Axis, Chart, Panel, Rule
from normzoo.variants import short_name


@dataclass(frozen=True)
class Pair:
    """Two norms of a set, the better one first.

    Args:
        p_value: after Holm's correction over all pairs of the set.
    """

    first: str
    second: str
    difference: Contrast
    p_value: float

    @property
    def is_significant(self) -> bool:
        return self.p_value < SIGNIFICANT


def compare_pairs(evidence: Evidence) -> list[Pair]:
    """Return all pairs of norms of the shown set, the largest difference first.

    Hidden networks are tested as well, so that a choice of networks cannot make a difference significant.
    """
    runs = dict(sorted(evidence.shown_runs.items(), key=lambda item: -accuracy(item[1])))
    return sorted(compare_all(runs, evidence.run_variance), key=lambda pair: -pair.difference.estimate.value)


def compare_all(runs: Mapping[str, Runs], between_runs: RunVariance) -> list[Pair]:
    """Return all pairs of these, which are ordered from the best."""
    both = list(itertools.combinations(runs, 2))
    found = [compare(runs[a], runs[b], between_runs) for a, b in both]
    return [Pair(a, b, each, p) for (a, b), each, p in zip(both, found, holm([each.p_value for each in found]), strict=True)]


def similar(pairs: Sequence[Pair]) -> list[list[str]]:
    """Return the largest groups of norms within which no difference is significant, the best first; each norm is in one at
    least.
    """
    order = rank(pairs)
    apart = {frozenset((pair.first, pair.second)) for pair in pairs if pair.is_significant}
    groups = list[list[str]]()
    for start in range(len(order)):
        group = [order[start]]
        for other in order[start + 1 :]:
            if all(frozenset((each, other)) not in apart for each in group):
                group.append(other)
        if not any(set(group) <= set(each) for each in groups):
            groups.append(group)
    return groups


def rank(pairs: Sequence[Pair]) -> list[str]:
    """Return the norms of the pairs, the most accurate first."""
    leads = dict[str, float]()
    for pair in pairs:
        for variant, sign in ((pair.first, 1), (pair.second, -1)):
            leads[variant] = leads.get(variant, 0.0) + sign * pair.difference.estimate.value
    return sorted(leads, key=lambda variant: -leads[variant])


def ranks(pairs: Sequence[Pair]) -> dict[str, tuple[int, int]]:
    """Return the best and worst rank of each norm that significant differences allow."""
    order = rank(pairs)
    beaten_by = {variant: sum(pair.second == variant and pair.is_significant for pair in pairs) for variant in order}
    beats = {variant: sum(pair.first == variant and pair.is_significant for pair in pairs) for variant in order}
    return {variant: (1 + beaten_by[variant], len(order) - beats[variant]) for variant in order}


def pairs_finding(evidence: Evidence) -> Finding | None:
    """Return the pairwise comparison of the shown set's norms."""
    pairs = compare_pairs(evidence)
    if not pairs:
        return None
    single = any(1 in pair.difference.runs for pair in pairs)
    table = ResultTable("Accuracy of the first minus that of the second, in points, with its 95% interval")
    table.add("Pair", [f"{short_name(pair.first)} − {short_name(pair.second)}" for pair in pairs])
    table.add_contrasts("Difference (points)", [pair.difference for pair in pairs])
    return Finding(
        key="pairs",
        title="Pairwise comparison",
        headline=_headline(evidence, pairs),
        chart=_chart(pairs),
        tables=[table],
        method=[SINGLE_RUN if single else f"{TEST} {HOLM}"],
        notes=[] if single else [f"The standard deviation between runs is {100 * evidence.run_variance.sd:.2f} points."],
        commands=training_commands(evidence.shown_runs, evidence.shown),
    )


def order_words(pairs: Sequence[Pair]) -> str:
    """Return "BIN > BN > NN, GN and LN > IN" where the groups do not overlap; empty where they do."""
    groups = similar(pairs)
    return "" if sum(map(len, groups)) > len(rank(pairs)) else " > ".join(names(group) for group in groups)


def _headline(evidence: Evidence, pairs: Sequence[Pair]) -> str:
    runs = counts(n for pair in pairs for n in pair.difference.runs)
    number = sum(pair.is_significant for pair in pairs)
    phrases = order_words(pairs)
    if not phrases:
        groups = [names(group) for group in similar(pairs) if len(group) > 1]
        phrases = f"no significant difference within {listed(groups) if len(groups) < 2 else '; '.join(groups)}"
    words = f"{number} of {counted(len(pairs), 'difference')} between norms {'is' if number == 1 else 'are'} significant"
    return f"{words}: {phrases} ({where(evidence.shown)}, {runs})."


def _chart(pairs: Sequence[Pair]) -> Chart:
    rows = []
    for pair in pairs:
        marker = "square" if pair.is_significant else "square-open"
        label = f"{short_name(pair.first)} − {short_name(pair.second)}"
        rows.append((pair.first, pair.difference, {"name": label, "marker": marker}))
    title = "Differences of validation accuracy with 95% intervals (open: not significant)"
    return forest(title, "Difference of validation accuracy (points)", rows)


def forest(title: str, axis: str, rows: Iterable[tuple[str, Contrast, dict[str, str]]]) -> Chart:
    """Return a forest plot: each contrast with its interval, in the style of its variant except for some fields."""
    lines = [interval_row(variant, place, found.estimate, **style) for place, (variant, found, style) in enumerate(rows)]
    labels = Axis(names=tuple(line.name for line in lines))
    return Chart(title, Axis(axis), labels, (Panel(tuple(lines)),), (Rule(0.0, axis="x"),), is_sideways=True)
