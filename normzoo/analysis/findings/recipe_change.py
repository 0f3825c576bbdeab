"""Effect of fields that were changed in a recipe, on the same networks: paper against paper,last_norm=nn."""

from collections.abc import Iterable

from normzoo.analysis import comparisons
from normzoo.analysis.findings.finding import Finding, change_figures, changes_told
from normzoo.pretrained.registry import ModelSet

#: What a field has to do with the norms, where there is something to know.
EXPLANATIONS = {
    "last_norm": (
        "Average pooling follows the last norm, and reads nothing of a map but its mean. Instance normalization sets that mean "
        "to its bias, the same for every photo, just before the shortcut is added: what is left of it are the shortcut and "
        "what ReLU makes of the shape. How much of IN's distance to the others is this one layer? Here the last norm is "
        "another, and nothing else."
    ),
    "lr": "One rate for all also tests which norm suits that rate.",
}


def base_set(model_set: ModelSet, others: Iterable[ModelSet]) -> ModelSet | None:
    """Return the set of the same images whose recipe was changed to make this one's; None where there is none."""
    base, _, changes = model_set.recipe.partition(",")
    return next((other for other in others if changes and (other.data, other.recipe) == (model_set.data, base)), None)


def recipe_change_finding(base: ModelSet, changed: ModelSet, variants: Iterable[str]) -> Finding:
    """Return what the changed fields of a recipe change for these variants, with seeds that both sets have."""
    changes = comparisons.changes(base, changed, variants)
    if changes.empty:
        return Finding()
    fields = changed.recipe.partition(",")[2].split(",")
    told = ", ".join(field.replace("=", " = ") for field in fields)
    return Finding(
        f"with {told} in place of `{base.recipe}`'s own, validation accuracy changes, in points: {changes_told(changes)}.",
        [text for field in fields if (text := EXPLANATIONS.get(field.partition("=")[0]))],
        tables=[change_figures(changes, f"Validation accuracy with {told}", f"As {base.recipe} says", "Changed")],
    )
