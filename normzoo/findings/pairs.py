"""Pairwise comparison: which norms of a set differ significantly."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from normzoo.analysis.commands import training_commands
from normzoo.analysis.statistics import SIGNIFICANT, Contrast, accuracy, holm
from normzoo.findings.finding import HOLM, SINGLE_RUN, TEST, Evidence, Finding, ResultTable, compare, counts, names, where
from normzoo.formatting import counted, listed, p_text
from normzoo.plotting.spec import Axis, Chart, Panel, Rule, series
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
    """Return every two norms of the set that is shown, the largest difference first.

    All are tested, also those that a visitor hides: a choice of networks must not make a difference significant.
    """
    runs = evidence.shown_runs
    order = sorted(runs, key=lambda variant: -accuracy(runs[variant]))
    both = list(itertools.combinations(order, 2))
    found = [compare(runs[a], runs[b], evidence.run_variance) for a, b in both]
    pairs = [Pair(a, b, each, p) for (a, b), each, p in zip(both, found, holm([each.p_value for each in found]), strict=True)]
    return sorted(pairs, key=lambda pair: -pair.difference.estimate.value)


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
    """Return of each norm the best and the worst rank that the significant differences leave it."""
    order = rank(pairs)
    beaten_by = {variant: sum(pair.second == variant and pair.is_significant for pair in pairs) for variant in order}
    beats = {variant: sum(pair.first == variant and pair.is_significant for pair in pairs) for variant in order}
    return {variant: (1 + beaten_by[variant], len(order) - beats[variant]) for variant in order}


def pairs_finding(evidence: Evidence) -> Finding | None:
    """Return the pairwise comparison of the norms of the set that is shown."""
    pairs = compare_pairs(evidence)
    if not pairs:
        return None
    single = any(1 in pair.difference.runs for pair in pairs)
    table = ResultTable("Accuracy of the first minus that of the second, in points, with its 95% interval")
    table.add("Pair", [f"{short_name(pair.first)} − {short_name(pair.second)}" for pair in pairs])
    table.add_interval("Difference (points)", [pair.difference for pair in pairs])
    table.add("p (Holm)", [pair.p_value for pair in pairs], texts=[p_text(pair.p_value) for pair in pairs])
    table.add("Significant", ["yes" if pair.is_significant else "no" for pair in pairs])
    return Finding(
        key="pairs",
        title="Pairwise comparison",
        headline=_headline(evidence, pairs),
        chart=_chart(pairs),
        tables=[table],
        method=[SINGLE_RUN if single else f"{TEST} {HOLM}"],
        notes=[] if single else [f"The standard deviation between runs is {100 * evidence.run_variance.sd:.2f} points."],
        commands=training_commands(evidence.shown, evidence.shown_runs),
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
    """A forest plot: each difference with its interval."""
    rows = []
    for place, pair in enumerate(pairs):
        found = pair.difference.estimate
        ends = {"low": [100 * found.low], "high": [100 * found.high]}
        label = f"{short_name(pair.first)} − {short_name(pair.second)}"
        style = {"dash": None, "is_listed": False, "marker": "square" if pair.is_significant else "square-open"}
        rows.append(series(pair.first, [100 * found.value], [place], name=label, **ends, **style))
    labels = tuple(f"{short_name(pair.first)} − {short_name(pair.second)}" for pair in pairs)
    return Chart(
        "Differences of validation accuracy with 95% intervals (open: not significant)",
        Axis("Difference of validation accuracy (points)"),
        Axis(names=labels),
        (Panel(tuple(rows)),),
        (Rule(0.0, axis="x"),),
        is_sideways=True,
    )
