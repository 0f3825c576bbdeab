"""The part of Results that holds the networks against each other: which two differ by more than chance."""

import functools
import html
import json
from typing import Any

import gradio as gr
import pandas as pd

from normzoo.analysis.results import Table
from normzoo.app.components import cards
from normzoo.app.components.tables import SORT_SCRIPT, csv_link, sortable
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of, variants_of
from normzoo.app.core.controls import Chooser
from normzoo.app.core.errors import guarded
from normzoo.app.tabs.results import reference_study as beside_original
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

OPENING = '<p class="hint">Comparing every two networks on every validation photo…</p>'
TOO_FEW = '<p class="hint">Choose at least two networks at the top of the page.</p>'
HEADING = """
<h2>Who beats whom</h2>
<p class="explanation">Every two networks answered the same validation photos. Two differ significantly if one is right so much
more often where the other is wrong that chance alone would rarely do it.</p>
"""


def build(catalog: Catalog, chooser: Chooser) -> None:
    """Place the part; it is filled when somebody opens the tab."""
    gr.HTML(HEADING, js_on_load=None, elem_classes="section")
    matrix = gr.HTML(OPENING, js_on_load=None, elem_id="versus")
    with gr.Accordion("Every pair as a table", open=False):
        pairs = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="pairs")
    gr.HTML(beside_original.HEADING, js_on_load=None, elem_classes="section")
    original = gr.HTML(js_on_load=SORT_SCRIPT, elem_id="original")
    rows = gr.JSON(visible=False)

    @functools.lru_cache(maxsize=64)
    def compared(name: str, family: tuple[str, ...]) -> Table:
        from normzoo.analysis import comparisons  # it brings scipy, which the start of the page should not wait for

        return comparisons.pairs(catalog.get(name), family)

    @guarded
    def compare_networks(model_set: str, variants: list[str] | None) -> tuple[str, str, str, list[dict[str, Any]]]:
        """Every two of the chosen networks on the same validation photos, and both beside the original study.

        Gives three HTML tables for the page, and as data for each pair: the difference of the accuracies (fractions) with
        its 95% interval, and the exact McNemar test, its p-value also corrected by Holm's method over all pairs tested.
        """
        chosen_set = catalog.get(model_set)
        shown = chosen(chosen_set, variants)
        # What is hidden is still tested: a choice of networks must not make a difference significant.
        tested = {*main_variants_of(chosen_set), *shown}
        found = compared(chosen_set.name, tuple(variant for variant in variants_of(chosen_set) if variant in tested))
        both = among(found.frame, shown)
        problems = cards.unavailable({variant: why for variant, why in found.problems.items() if variant in shown})
        return (
            (draw(both, len(found.frame)) if len(both) else TOO_FEW) + problems,
            tabulate(both, chosen_set),
            beside_original.tell(chosen_set, shown, both),
            json.loads(both.to_json(orient="records", double_precision=15)),
        )

    opened = [] if chooser.tab is None else [chooser.tab.select]
    chooser.follow(
        compare_networks,
        chooser.inputs,
        [matrix, pairs, original, rows],
        also=opened,
        api_name="compare_networks",
        show_progress_on=matrix,
    )


def among(pairs: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    """The pairs of which both are shown."""
    return pairs if pairs.empty else pairs[pairs["first"].isin(shown) & pairs["second"].isin(shown)]


def draw(pairs: pd.DataFrame, tested: int) -> str:
    """The matrix, best network first, and each network's line in words; as HTML.

    Args:
        pairs: as `comparisons.pairs` gives them.
        tested: over how many pairs the p-values were corrected.
    """
    cells = _both_ways(pairs)
    order = _best_first(pairs)
    heads = "".join(f'<th scope="col">{html.escape(short_name(variant))}</th>' for variant in order)
    body = "".join(
        f'<tr><th scope="row">{html.escape(short_name(row))}</th>{"".join(_cell(cells, row, column) for column in order)}</tr>'
        for row in order
    )
    caption = "Validation accuracy of the row minus that of the column, in points"
    table = (
        f'<div class="table versus" role="region" tabindex="0" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    key = "▲ the row is significantly better · ▼ significantly worse · ≈ these photos cannot tell them apart"
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in (_line(cells, order, variant) for variant in order))
    return (
        f'{table}<div class="explanation"><p>{key}</p><ul class="plain">{lines}</ul>'
        f"<p>{html.escape(_method(pairs, tested))}</p></div>"
    )


def tabulate(pairs: pd.DataFrame, model_set: ModelSet) -> str:
    """Every pair with its figures, as a sortable table with its CSV."""
    if pairs.empty:
        return TOO_FEW
    points = {key: 100 * pairs[key] for key in ("difference", "low", "high")}
    numbers = pd.DataFrame(
        {
            "Pair": [f"{short_name(row.first)} − {short_name(row.second)}" for row in pairs.itertuples()],
            "Difference (points)": points["difference"],
            "From": points["low"],
            "To": points["high"],
            "Only the first is right": pairs["only_first"],
            "Only the second is right": pairs["only_second"],
            "p": pairs["p_value"],
            "p, corrected": pairs["p_holm"],
            "Significant": ["yes" if significant else "no" for significant in pairs["significant"]],
            "n": pairs["n"],
        }
    )
    texts = numbers.astype(object)
    for title in ("Difference (points)", "From", "To"):
        texts[title] = numbers[title].map(lambda value: f"{value:+.2f}")
    for title in ("p", "p, corrected"):
        texts[title] = numbers[title].map(lambda value: f"{value:.2g}")
    name = f"normzoo-{model_set.name.replace('/', '-')}-pairs.csv"
    return sortable(numbers, texts, "Every two networks, with the 95% interval of the difference") + csv_link(
        texts, name, "Download the pairs as CSV"
    )


def _both_ways(pairs: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float, float, float, bool]]:
    """(row, column) -> difference, its interval, corrected p-value, whether it is significant."""
    cells = {}
    for row in pairs.itertuples():
        rest = (float(row.p_holm), bool(row.significant))
        cells[row.first, row.second] = (float(row.difference), float(row.low), float(row.high), *rest)
        cells[row.second, row.first] = (0.0 - float(row.difference), -float(row.high), -float(row.low), *rest)
    return cells


def _best_first(pairs: pd.DataFrame) -> list[str]:
    """The variants of the pairs by how far they lead the others on average."""
    leads = pd.concat(
        [
            pd.DataFrame({"variant": pairs["first"], "lead": pairs["difference"]}),
            pd.DataFrame({"variant": pairs["second"], "lead": -pairs["difference"]}),
        ]
    )
    means = leads.groupby("variant", sort=False)["lead"].mean().sort_values(ascending=False, kind="stable")
    return [str(variant) for variant in means.index]


def _cell(cells: dict[tuple[str, str], tuple[float, float, float, float, bool]], row: str, column: str) -> str:
    if (row, column) not in cells:
        return '<td class="same">–</td>' if row == column else "<td>?</td>"
    difference, low, high, p_value, significant = cells[row, column]
    kind, mark, words = (
        ("even", "≈", "not told apart")
        if not significant
        else (("wins", "▲", "better") if difference > 0 else ("loses", "▼", "worse"))
    )
    title = f"95% interval {100 * low:+.2f} to {100 * high:+.2f} points, corrected p = {p_value:.2g}"
    return (
        f'<td class="{kind}" title="{title}"><span aria-hidden="true">{mark}</span> <span class="unseen">{words}, </span>'
        f"{100 * difference:+.2f}</td>"
    )


def _line(cells: dict[tuple[str, str], tuple[float, float, float, float, bool]], order: list[str], variant: str) -> str:
    """One network in words."""
    against = {other: cells[variant, other] for other in order if (variant, other) in cells}
    beaten = [short_name(other) for other, cell in against.items() if cell[4] and cell[0] > 0]
    even = [short_name(other) for other, cell in against.items() if not cell[4]]
    better = [short_name(other) for other, cell in against.items() if cell[4] and cell[0] < 0]
    parts = [
        f"{words} {', '.join(names)}"
        for words, names in (("beats", beaten), ("cannot be told apart from", even), ("is beaten by", better))
        if names
    ]
    return f"{short_name(variant)} {'; '.join(parts)}."


def _method(pairs: pd.DataFrame, tested: int) -> str:
    runs = int(pairs["n"].max())
    seeds = ", ".join(str(seed) for seed in sorted(pairs["seed"].unique()))
    test = f"Exact McNemar test on the networks of seed {seeds}, corrected by Holm's method over {tested} pairs, level 0.05."
    if runs > 1:
        return f"{test} The differences are means over up to {runs} seeds."
    return f"{test} n\u00a0=\u00a01: it says that these trained networks differ, not that others, trained anew, would."
