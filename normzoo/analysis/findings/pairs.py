"""Finding on pairs of networks: which differ by more than chance, and whether seeds agree on it."""

from collections.abc import Iterable

import pandas as pd

from normzoo.analysis.comparisons import SIGNIFICANT
from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.formatting import counted, listed, p_text
from normzoo.variants import short_name


def pairs_finding(pairs: pd.DataFrame, shown: Iterable[str]) -> Finding:
    """Return what the comparison of every two networks says about those that are shown.

    Args:
        pairs: as `comparisons.pairs` gives them; all of them are tested, also those that are not shown: a choice of networks
            must not make a difference significant.
    """
    both = among(pairs, list(shown))
    if both.empty:
        return Finding(paragraphs=["This takes two networks with stored answers for the same images."])
    apart = int(both["significant"].sum())
    order = best_first(both)
    return Finding(
        summary=f"{apart} of {counted(len(both), 'pair')} of networks can be told apart on the validation images.",
        paragraphs=[_method(both, len(pairs)), *_would_another_seed_agree(both), *_likely(both)],
        points=[_line(both, order, variant) for variant in order],
        tables=[_figures(both)],
    )


def among(pairs: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    """Return the pairs of which both are shown."""
    return pairs if pairs.empty else pairs[pairs["first"].isin(shown) & pairs["second"].isin(shown)]


def best_first(pairs: pd.DataFrame) -> list[str]:
    """Return the variants of the pairs by how far they lead the others on average."""
    leads = pd.concat(
        [
            pd.DataFrame({"variant": pairs["first"], "lead": pairs["difference"]}),
            pd.DataFrame({"variant": pairs["second"], "lead": -pairs["difference"]}),
        ]
    )
    means = leads.groupby("variant", sort=False)["lead"].mean().sort_values(ascending=False, kind="stable")
    return [str(variant) for variant in means.index]


def _line(pairs: pd.DataFrame, order: list[str], variant: str) -> str:
    """One network against all others."""
    beats, even, loses = list[str](), list[str](), list[str]()
    for other in order:
        row = pairs[pairs["first"].isin([variant, other]) & pairs["second"].isin([variant, other])]
        if other == variant or row.empty:
            continue
        lead = row["difference"].iloc[0] * (1 if row["first"].iloc[0] == variant else -1)
        (even if not row["significant"].iloc[0] else beats if lead > 0 else loses).append(short_name(other))
    told = (("beats", beats), ("is beaten by", loses), ("is not told apart from", even))
    return f"{short_name(variant)} {'; '.join(f'{words} {listed(names)}' for words, names in told if names)}."


def _method(pairs: pd.DataFrame, tested: int) -> str:
    runs = int(pairs["n"].max())
    test = (
        "Exact McNemar test on the validation images that only one of the two gets right, corrected by Holm's method over "
        f"{counted(tested, 'pair')}, level {SIGNIFICANT}."
    )
    if runs == 1:
        seeds = listed([str(seed) for seed in sorted(set(pairs["seed"]))])
        return f"{test} n = 1 (seed {seeds}): it says that these trained networks differ, not that others, trained anew, would."
    return (
        f"{test} p is the largest over the seeds that both have (up to {runs}): two networks are told apart only where the "
        "test finds them different in every seed, and the same one ahead. The difference is the mean over the seeds; its 95% "
        "interval is a paired bootstrap over images and seeds."
    )


def _would_another_seed_agree(pairs: pd.DataFrame) -> list[str]:
    several = pairs[pairs["n"] > 1]
    if several.empty:
        return []
    split = several[several["seeds_agreeing"] < several["n"]]
    told = f"In {len(several) - len(split)} of {counted(len(several), 'pair')} all seeds agree on which of the two is better"
    if split.empty:
        return [f"Would another seed agree? {told}."]
    names = [
        f"{short_name(row.first)} and {short_name(row.second)} ({row.seeds_agreeing} of {row.n})" for row in split.itertuples()
    ]
    return [f"Would another seed agree? {told}; they do not on {listed(names)}."]


def _likely(pairs: pd.DataFrame) -> list[str]:
    """Return the differences that the strict test leaves open and the interval does not."""
    agreed = pairs[(pairs["n"] > 1) & (pairs["seeds_agreeing"] == pairs["n"]) & ~pairs["significant"].astype(bool)]
    clear = agreed[agreed["low"] * agreed["high"] > 0]
    if clear.empty:
        return []
    names = "; ".join(f"{short_name(row.first)} and {short_name(row.second)}" for row in clear.itertuples())
    return [
        "The rule is strict: that two are not told apart does not show them to be equal. A difference is likely, but not "
        f"shown, where all seeds agree and the interval leaves out 0: {names}."
    ]


def _figures(pairs: pd.DataFrame) -> Figures:
    table = Figures(
        "Every two networks: accuracy of the first minus that of the second, in points, with its 95% interval; p, and the "
        "images that only one gets right, in the seed with the largest p"
    )
    table.add("Pair", [f"{short_name(row.first)} − {short_name(row.second)}" for row in pairs.itertuples()])
    table.add("n", pairs["n"], "d")
    for title, key in (("Difference (points)", "difference"), ("From", "low"), ("To", "high")):
        table.add(title, 100 * pairs[key], "+.2f")
    table.add("Seeds that agree", pairs["seeds_agreeing"], "d")
    table.add("Only the first is right", pairs["only_first"], "d")
    table.add("Only the second is right", pairs["only_second"], "d")
    for title, key in (("p", "p_value"), ("p, corrected", "p_holm")):
        table.numbers[title], table.texts[title] = pairs[key].tolist(), [p_text(value) for value in pairs[key]]
    table.add("Told apart", ["yes" if significant else "no" for significant in pairs["significant"]])
    return table
