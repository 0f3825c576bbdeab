"""Recipe search: the candidates for the strong recipe, evaluated on held-out training images."""

from pathlib import Path

import pandas as pd

from normzoo.findings.finding import PACKAGE, Evidence, Finding, ResultTable, names
from normzoo.formatting import counted, listed, percent, signed
from normzoo.nn.registry import NORM_LAYERS
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

TABLE = "search.csv"
RECIPE = "strong"
_NEEDED = {"recipe", "variant", "seed", "epochs", "holdout", "holdout_accuracy"}


def recipe_search_finding(evidence: Evidence) -> Finding | None:
    """Return the candidates of the search, ranked by the mean over the norms."""
    chosen = evidence.find(RECIPE)
    frame = None if chosen is None else _read(next(iter(chosen.checkpoints.values())).folder.parents[1] / TABLE)
    if chosen is None or frame is None:
        return None
    accuracy = frame.pivot_table(index="recipe", columns="variant", values="holdout_accuracy", sort=False)
    accuracy = accuracy[[norm for norm in NORM_LAYERS if norm in accuracy]]
    final = accuracy.dropna().mean(axis=1).sort_values(ascending=False, kind="stable")
    prescreened = [norm for norm in accuracy if accuracy[norm].notna().all()]
    first = accuracy[prescreened].mean(axis=1)
    if len(final) < 2:
        return None
    best, second = final.index[:2]
    gains = (accuracy.loc[second] - accuracy.loc[best]).sort_values(ascending=False)
    suits = [f"{short_name(str(norm))} {signed(gain, 1)}" for norm, gain in gains.items() if gain > 0]
    rates = {_field(recipe, "lr") for recipe in accuracy.index} - {None}
    mine = "it is" if _is_chosen(best, chosen) else "it is not"
    table = ResultTable("Accuracy (%) on held-out training images; n = 1")
    order = [*final.index, *(each for each in first.sort_values(ascending=False).index if each not in final.index)]
    table.add("Recipe", [_short(recipe) for recipe in order])
    for norm in accuracy:
        table.add(short_name(norm), [_percent(accuracy.loc[recipe, norm]) for recipe in order], ".1f", higher_is_better=True)
    table.add("Mean of all", [_percent(final.get(recipe)) for recipe in order], ".2f", higher_is_better=True)
    return Finding(
        key="recipe-search",
        title="Choice of the strong recipe",
        headline=f"Of {counted(len(accuracy), 'recipe')} tried, {_short(best)} has the highest mean accuracy over the "
        f"norms ({percent(final[best])}%; second best {percent(final[second])}%; n = 1); {mine} the recipe `{RECIPE}`, "
        "trained for longer.",
        tables=[table],
        method=[
            f"Evaluated on {', '.join(f'{100 * share:g}%' for share in sorted(set(frame['holdout'])))} of the training images, "
            f"held out; the validation images were not used. Every recipe was tried with {names(prescreened)}, the best ones "
            "with all norms.",
        ],
        notes=[
            f"The second best, {_short(second)}, is better for some norms: {listed(suits)} points."
            if suits
            else "The best recipe is best for every norm.",
            *([f"The largest learning rate tried is {max(filter(None, rates)):g}."] if rates else []),
        ],
        commands=["python -m training study --plan search", "python -m training study --plan search-final", PACKAGE],
    )


def _read(path: Path) -> pd.DataFrame | None:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError):
        return None
    return frame if set(frame.columns) >= _NEEDED and len(frame) else None


def _is_chosen(recipe: str, chosen: ModelSet) -> bool:
    """Does the recipe of the set have every changed field of this candidate, except the number of epochs?"""
    stored = next(iter(chosen.checkpoints.values())).metrics["provenance"].get("recipe", {})
    fields = [change.split("=", 1) for change in recipe.split(",")[1:]]
    return all(str(stored.get(name)) == value for name, value in fields if name != "epochs")


def _field(recipe: str, name: str) -> float | None:
    return next((float(each.partition("=")[2]) for each in recipe.split(",") if each.startswith(f"{name}=")), None)


def _short(recipe: str) -> str:
    """Return the changes of a candidate."""
    changes = [change for change in recipe.split(",")[1:] if not change.startswith("epochs=")]
    return f"`{', '.join(changes) or 'unchanged'}`"


def _percent(share: float | None) -> float | None:
    return None if share is None or pd.isna(share) else 100 * share
