"""How the strong recipe was chosen: everything that was tried, on held-out training images."""

from pathlib import Path

import pandas as pd

from normzoo.analysis.findings.finding import percent
from normzoo.variants import short_name
from training.evaluation.recipe_search import COLUMNS, NAME
from training.experiment.plans import SEARCH, changed_recipe
from training.experiment.recipes import get_recipe
from training.report.markdown import Section, commands, table

STRONG = "strong"


def search_section(checkpoints: Path, data: str) -> Section:
    """The stored table of the search, and whether the recipe is what it says."""
    section = Section(f"How the recipe `{STRONG}` was chosen")
    again = commands("python -m training study --plan search", "python -m training package")
    frame = _read(checkpoints / data / NAME)
    if frame is None:
        section.add("The search is not stored for this data set.", again)
        return section
    shares = ", ".join(f"{100 * share:g}%" for share in sorted(set(frame["holdout"])))
    section.add(
        f"Judged by the accuracy on {shares} of the TRAINING images, never seen in training; the validation images had no say. "
        f"Each row is a recipe, with what it changes in `strong-start`; n = "
        f"{frame.groupby(['recipe', 'variant'])['seed'].nunique().max()} of "
        "each network. Ordered by the mean over the networks.",
    )
    accuracy = frame.pivot_table(index="recipe", columns="variant", values="holdout_accuracy", sort=False)
    variants, seconds = list(accuracy.columns), frame.groupby("recipe")["seconds"].sum()
    ranked = accuracy.dropna().mean(axis=1).sort_values(ascending=False, kind="stable")
    chosen = chosen_name()
    rows = [
        [
            f"`{recipe}`" + (" **(strong)**" if recipe == chosen else ""),
            int(frame[frame["recipe"] == recipe]["epochs"].max()),
            *[
                percent(accuracy.loc[recipe, variant]) if pd.notna(accuracy.loc[recipe, variant]) else "–"
                for variant in variants
            ],
            percent(ranked[recipe]) if recipe in ranked else "–",
            f"{seconds[recipe] / 60:.1f}",
        ]
        for recipe in [*ranked.index, *[recipe for recipe in accuracy.index if recipe not in ranked]]
    ]
    header = ["Recipe", "Epochs", *[f"{short_name(variant)} (%)" for variant in variants], "Mean (%)", "Minutes"]
    section.add(table(header, rows), _verdict(ranked, chosen), again)
    return section


def _verdict(ranked: "pd.Series[float]", chosen: str | None) -> str:
    """Is the recipe the best that was tried?"""
    if chosen is None or chosen not in ranked:
        return f"`{STRONG}` is not among the recipes of this table: it was not chosen by it."
    place = int((ranked > ranked[chosen]).sum()) + 1
    if place == 1:
        return f"`{STRONG}` is the best of the {len(ranked)} that were tried, for more epochs: `{chosen}`."
    ahead = 100 * (ranked.iloc[0] - ranked[chosen])
    return (
        f"`{STRONG}` is `{chosen}`, place {place} of the {len(ranked)} in this table, which did not choose it: the best, "
        f"`{ranked.index[0]}`, is {ahead:.2f} points ahead."
    )


def chosen_name() -> str | None:
    """The name in the search of the recipe that is `strong` but for the epochs."""
    strong = get_recipe(STRONG)
    for part in SEARCH:
        recipe = changed_recipe(part.recipe, part.changes)
        if recipe.changed(name=STRONG, epochs=strong.epochs) == strong:
            return recipe.name
    return None


def _read(path: Path) -> pd.DataFrame | None:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError):
        return None
    return frame if set(COLUMNS) <= set(frame.columns) and len(frame) else None
