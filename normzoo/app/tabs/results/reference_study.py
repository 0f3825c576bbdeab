"""The original study's figures beside ours, with what keeps them from being compared digit by digit; as HTML."""

import html
from typing import Any

import pandas as pd

from normzoo.analysis import reference_study as original
from normzoo.analysis.results import METRICS, final_metrics
from normzoo.app.components.tables import csv_link, sortable
from normzoo.app.core.catalog import classes_of
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

HEADING = """
<h2>Beside the original study</h2>
<p class="explanation">What the study that this page repeats reported for validation, and what came out here.</p>
"""
NOTHING = '<p class="hint">The original study has no figures for the networks shown.</p>'
BASELINE_RECIPE = "paper-sgd"


def tell(model_set: ModelSet, variants: list[str], pairs: pd.DataFrame) -> str:
    """The table, what became of the original's order, and the caveats.

    Args:
        pairs: of the variants, as `comparisons.pairs` gives them.
    """
    ours = final_metrics(model_set, variants).frame
    recipe = model_set.name.partition("/")[2]
    rows = (
        [] if ours.empty else [(row, theirs) for row in ours.to_dict("records") if (theirs := _theirs(row["variant"], recipe))]
    )
    if not rows:
        return NOTHING
    numbers, texts = _table(rows)
    table = sortable(numbers, texts, "Validation, here and in the original study")
    link = csv_link(texts, f"normzoo-{model_set.name.replace('/', '-')}-original.csv", "Download both as CSV")
    parts = [*_orders(rows, pairs), *_caveats(model_set, recipe)]
    words = "".join(f"<p>{html.escape(part)}</p>" for part in parts)
    slips = "".join(f"<li>{html.escape(slip)}</li>" for slip in original.original_study()["known_slips_in_the_report"])
    return (
        f'{table}{link}<div class="explanation">{words}<details><summary>Slips and statements in the original report</summary>'
        f"<ul>{slips}</ul></details></div>"
    )


def _theirs(variant: str, recipe: str) -> dict[str, float | None] | None:
    """The original's validation figures of a variant with this recipe."""
    if recipe == BASELINE_RECIPE:
        return original.baseline_figures()["val"] if variant == "bn" else None
    found = original.final_figures(variant)
    return found["val"] if found else None


def _table(rows: list[tuple[dict[str, Any], dict[str, float | None]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    batch_size = original.original_study()["protocol"]["final"]["batch_size"]
    numbers: dict[str, list[Any]] = {"Network": [short_name(ours["variant"]) for ours, _ in rows]}
    texts: dict[str, list[str]] = {"Network": list(numbers["Network"])}

    def add(title: str, values: list[float | None], pattern: str) -> None:
        numbers[title] = [float("nan") if value is None else value for value in values]
        texts[title] = ["–" if value is None else format(value, pattern) for value in values]

    for key in ("accuracy", "macro_f1"):
        title = METRICS[key].title
        here = [100 * float(ours[f"val_{key}"]) for ours, _ in rows]
        there = [None if (value := theirs[key]) is None else 100 * value for _, theirs in rows]
        gaps = [None if b is None else a - b for a, b in zip(here, there, strict=True)]
        title = title[0].upper() + title[1:]
        add(f"{title} here (%)", list(here), ".2f")
        add(f"{title} original (%)", there, ".2f")
        add(f"{title} difference (points)", gaps, "+.2f")
    add("Loss here (nats)", [float(ours["val_loss"]) for ours, _ in rows], ".4f")
    printed = [theirs["loss"] for _, theirs in rows]
    add(f"Loss original × {batch_size} (nats)", [None if x is None else original.nats(x, batch_size) for x in printed], ".4f")
    add("Loss as the original prints it", printed, ".4f")
    return pd.DataFrame(numbers), pd.DataFrame(texts)


def _orders(rows: list[tuple[dict[str, Any], dict[str, float | None]]], pairs: pd.DataFrame) -> list[str]:
    """What became of the original's order of accuracies."""
    here = {ours["variant"]: float(ours["val_accuracy"]) for ours, _ in rows}
    there = {ours["variant"]: theirs["accuracy"] or 0.0 for ours, theirs in rows}
    if len(here) < 2:
        return []
    ranks = [sorted(values, key=lambda variant: -values[variant]) for values in (here, there)]
    ours, theirs = (", ".join(map(short_name, order)) for order in ranks)
    parts = [f"Best accuracy first, here: {ours}. In the original: {theirs}."]
    if pairs.empty:
        return parts
    confirmed, reversed_, undecided = list[str](), list[str](), list[str]()
    for row in pairs.itertuples():
        if row.first not in there or row.second not in there:
            continue
        better, worse = (row.first, row.second) if there[row.first] > there[row.second] else (row.second, row.first)
        agrees = (row.difference > 0) == (better == row.first)
        kept = undecided if not row.significant else confirmed if agrees else reversed_
        kept.append(f"{short_name(better)} over {short_name(worse)}")
    total = len(confirmed) + len(reversed_) + len(undecided)
    told = [f"Of the original's {total} orders of two networks, {len(confirmed)} hold here significantly"]
    if reversed_:
        told.append(f"{len(reversed_)} are significantly the other way round ({', '.join(reversed_)})")
    if undecided:
        told.append(f"{len(undecided)} are not decided ({', '.join(undecided)})")
    return [*parts, f"{'; '.join(told)}."]


def _caveats(model_set: ModelSet, recipe: str) -> list[str]:
    size = next((f"{checkpoint.config.image_size}" for checkpoint in model_set.checkpoints.values()), "?")
    data, classes = model_set.name.partition("/")[0], len(classes_of(model_set))
    parts = [
        "The images differ, so only orders and tendencies can be compared: the original learned 25 bird species from about "
        f"30,000 photos of 256×256 pixels, these networks {classes} classes of {data} at {size}×{size}.",
        "The original's loss is the mean cross entropy divided by the batch size once more; multiplied by it, it is in nats.",
    ]
    if recipe not in ("paper", BASELINE_RECIPE):
        parts.append(f"The recipe differs as well: the original trained as the recipe paper does, not as {recipe}.")
    return parts
