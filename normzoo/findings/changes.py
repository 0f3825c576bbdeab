"""Effect of larger images, or of a changed field of the recipe."""

import re

from normzoo.analysis.statistics import Contrast, accuracy, compare, pooled_run_variance
from normzoo.findings.batch_size import without_ghost_batches
from normzoo.findings.finding import Evidence, Finding, ResultTable, counts, tested, training_commands, with_interval
from normzoo.findings.learning_rate import rated_sets
from normzoo.findings.pairs import forest
from normzoo.formatting import listed
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

#: Why a field matters for the norms.
EXPLANATIONS = {
    "last_norm": (
        "Average pooling follows the last norm and keeps only the mean of each map. Instance normalization sets that mean to "
        "its bias, the same for every photo, before the shortcut is added. Here only this layer is replaced (`nn`: "
        "removed, with its weight and bias)."
    ),
}


def image_size_finding(evidence: Evidence) -> Finding | None:
    """Return the effect of larger images, with the same recipe."""
    for recipe in dict.fromkeys([evidence.shown.recipe, *(each.recipe for each in evidence.model_sets)]):
        sets = sorted((each for each in evidence.model_sets if each.recipe == recipe), key=lambda each: each.image_size)
        if len({each.image_size for each in sets}) > 1 and (found := _changes(evidence, sets[0], sets[-1])):
            small, large = (f"{each.image_size}×{each.image_size}" for each in (sets[0], sets[-1]))
            return _finding(
                ("image-size", "Image size", f"From {small} to {large} pixels"),
                (sets[0], sets[-1]),
                found,
                [
                    f"The same photos and recipe (`{recipe}`) at both sizes. Shifts and blurs are measured in pixels, so they "
                    "are relatively smaller on larger photos."
                ],
            )
    return None


def recipe_change_finding(evidence: Evidence) -> Finding | None:
    """Return the effect of a changed field other than the learning rate; of the shown set if possible."""
    for changed in (evidence.shown, *evidence.model_sets):
        base = evidence.find(changed.recipe.partition(",")[0])
        if (
            base is None
            or changed.recipe != without_ghost_batches(changed.recipe)
            or changed in rated_sets(evidence, base.recipe).values()
            or base.image_size != changed.image_size
        ):
            continue
        if found := _changes(evidence, base, changed):
            fields = re.split(",", changed.recipe)[1:]
            phrases = ", ".join(field.replace("=", " = ") for field in fields)
            notes = [text for field in fields if (text := EXPLANATIONS.get(field.partition("=")[0]))]
            words = f"With {phrases} in `{base.recipe}`"
            return _finding(("recipe-change", f"Changed recipe: {phrases}", words), (base, changed), found, notes)
    return None


def _changes(evidence: Evidence, before: ModelSet, after: ModelSet) -> dict[str, tuple[float, float, Contrast]]:
    """Return accuracies and change of each common norm, the largest change first."""
    old, new = evidence.runs(before), evidence.runs(after)
    common = [key for key in old if key in new and before is not after]
    between_runs = pooled_run_variance([*old.values(), *new.values()])
    found = {key: (accuracy(old[key]), accuracy(new[key]), compare(new[key], old[key], between_runs)) for key in common}
    return dict(sorted(found.items(), key=lambda item: -item[1][2].estimate.value))


def _finding(
    words: tuple[str, str, str],
    sets: tuple[ModelSet, ModelSet],
    found: dict[str, tuple[float, float, Contrast]],
    notes: list[str],
) -> Finding:
    key, title, start = words
    changes = [each for _, _, each in found.values()]
    phrases = [f"{short_name(variant)} {with_interval(each, 1)}" for variant, each in zip(found, changes, strict=True)]
    table = ResultTable("Validation accuracy and its change, with the 95% interval")
    table.add("Norm", [short_name(variant) for variant in found])
    table.add("Before (%)", [100 * before for before, _, _ in found.values()], ".1f", higher_is_better=True)
    table.add("After (%)", [100 * after for _, after, _ in found.values()], ".1f", higher_is_better=True)
    table.add_contrasts("Change (points)", changes)
    runs = [n for each in changes for n in each.runs]
    return Finding(
        key=key,
        title=title,
        headline=f"{start} validation accuracy changes by (points): {listed(phrases)} ({counts(runs)}).",
        chart=forest(
            "Change of validation accuracy with its 95% interval",
            "Change (points)",
            [(variant, change, {}) for variant, (_, _, change) in found.items()],
        ),
        tables=[table],
        method=[tested(runs)],
        notes=notes,
        commands=training_commands(found, *sets),
    )
