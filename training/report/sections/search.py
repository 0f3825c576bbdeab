"""How the strong recipe was chosen: everything that was tried, on held-out training images."""

from pathlib import Path

import pandas as pd

from normzoo.analysis.commands import PACKAGE
from normzoo.formatting import listed, percent
from normzoo.nn.registry import NORM_LAYERS
from normzoo.variants import short_name
from training.cards import SEARCH_TABLE as NAME
from training.config import SEARCH, SEARCH_FINAL, changed_recipe, get_recipe
from training.package import SEARCH_COLUMNS as COLUMNS
from training.report.markdown import Section, commands, table

STRONG = "strong"
FIRST_ROUND = SEARCH[0].norms


def search_section(checkpoints: Path, data: str) -> Section:
    """The stored table of the search, and whether the recipe is what it says."""
    section = Section(f"How the recipe `{STRONG}` was chosen")
    again = commands(*(f"python -m training study --plan {plan}" for plan in ("search", "search-final")), PACKAGE)
    frame = _read(checkpoints / data / NAME)
    if frame is None:
        section.add("The search is not stored for this data set.", again)
        return section
    shares = ", ".join(f"{100 * share:g}%" for share in sorted(set(frame["holdout"])))
    seeds = frame.groupby(["recipe", "variant"])["seed"].nunique().max()
    accuracy = frame.pivot_table(index="recipe", columns="variant", values="holdout_accuracy", sort=False)
    accuracy = accuracy[[norm for norm in NORM_LAYERS if norm in accuracy]]
    first, final = (accuracy.reindex(columns=list(norms)).dropna().mean(axis=1) for norms in (FIRST_ROUND, NORM_LAYERS))
    ranked = (final if len(final) else first).sort_values(ascending=False, kind="stable")
    section.add(
        f"Judged by the accuracy on {shares} of the TRAINING images, never seen in training; the validation images had no say. "
        f"Each row is a recipe, with what it changes in `strong-start`; n = {seeds} of each network.",
        f"The rule: every candidate is trained with {listed([short_name(norm) for norm in FIRST_ROUND])}; the "
        f"{len(SEARCH_FINAL)} with the best mean are trained with all {len(NORM_LAYERS)} norms; the best mean over these wins."
        f"{_passed_over(first, final)}",
    )
    minutes, chosen = frame.groupby("recipe")["seconds"].sum() / 60, chosen_name()
    order = [*ranked.index, *(each for each in first.sort_values(ascending=False).index if each not in ranked)]
    rows = [
        [
            f"`{recipe}`" + (" **(strong)**" if recipe == chosen else ""),
            int(frame[frame["recipe"] == recipe]["epochs"].max()),
            *(_cell(accuracy.loc[recipe, variant]) for variant in accuracy),
            _cell(first.get(recipe)),
            _cell(final.get(recipe)),
            f"{minutes[recipe]:.1f}",
        ]
        for recipe in order
    ]
    header = ["Recipe", "Epochs", *[f"{short_name(variant)} (%)" for variant in accuracy]]
    header += [f"Mean of {listed([short_name(norm) for norm in FIRST_ROUND])} (%)", "Mean of all (%)", "Minutes"]
    section.add(table(header, rows), _verdict(ranked, chosen), again)
    return section


def _passed_over(first: "pd.Series[float]", final: "pd.Series[float]") -> str:
    """Return which candidates the rule would have taken into the second round, and were not trained there."""
    best = first.sort_values(ascending=False, kind="stable").index[: len(SEARCH_FINAL)]
    missing = [f"`{recipe}`" for recipe in best if recipe not in final.index]
    return f" Not yet trained with all: {listed(missing)}." if len(final) and missing else ""


def _cell(share: float | None) -> str:
    return "–" if share is None or pd.isna(share) else percent(share)


def _verdict(ranked: "pd.Series[float]", chosen: str | None) -> str:
    """Return whether the recipe is the best that was tried."""
    if chosen is None or chosen not in ranked:
        return f"`{STRONG}` is not among the recipes that the rule judges: it was not chosen by it."
    place = int((ranked > ranked[chosen]).sum()) + 1
    if place == 1:
        return f"`{STRONG}` is the best of the {len(ranked)} that the rule judges, for more epochs: `{chosen}`."
    ahead = 100 * (ranked.iloc[0] - ranked[chosen])
    return (
        f"`{STRONG}` is `{chosen}`, place {place} of the {len(ranked)} that the rule judges, which did not choose it: the "
        f"best, "
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
