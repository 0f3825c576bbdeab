"""Effect of another training on the same networks: larger images, or changed fields of the recipe."""

from collections.abc import Iterable, Sequence

import pandas as pd

from normzoo.analysis import comparisons, results
from normzoo.analysis.findings.finding import Finding, beyond_words, change_figures, changes_told
from normzoo.formatting import listed, percent, signed
from normzoo.nn.resnet import WIDTHS
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

#: The norm whose statistics are those of one map, and the one that it is held against: its maps are as large, but it has
#: those of the other images as well.
STUDIED, CONTROL = "in", "bn"

#: What a field has to do with the norms, where there is something to know.
EXPLANATIONS = {
    "last_norm": (
        "Average pooling follows the last norm, and reads nothing of a map but its mean. Instance normalization sets that mean "
        "to its bias, the same for every photo, just before the shortcut is added: what is left of it are the shortcut and "
        "what ReLU makes of the shape. How much of IN's distance to the others is this one layer? Here it is "
        "replaced (`nn`: removed, with its weight and bias), and nothing else."
    ),
    "lr": "One rate for all also tests which norm suits that rate. Is a last place the norm or the rate?",
}


def sized_sets(model_set: ModelSet, others: Iterable[ModelSet]) -> list[ModelSet]:
    """Return the set among those trained in the same way on the same images at other sizes, smallest first.

    Only the set itself where there is no other; nothing where none of its networks can be read.
    """
    usual = _usual_network(model_set)
    if usual is None:
        return []
    found, training = {}, _training(usual)
    for other in others:
        twin = _usual_network(other)
        if twin and training and _training(twin) == training:
            found[other.image_size] = other
    found[model_set.image_size] = model_set
    return [found[size] for size in sorted(found)]


def _usual_network(model_set: ModelSet) -> Checkpoint | None:
    """One that was trained as the recipe of the set says, if there is one."""
    keys = [*model_set.main_variants, *model_set.checkpoints]
    return model_set.checkpoints[keys[0]] if keys else None


def _training(checkpoint: Checkpoint) -> tuple[object, object] | None:
    """What decides a training but for norm, seed and image size; None where it is not recorded."""
    provenance = checkpoint.metrics["provenance"]
    recipe, data = provenance.get("recipe"), provenance.get("data")
    if not isinstance(recipe, dict) or not isinstance(data, dict):
        return None
    return {key: value for key, value in recipe.items() if key != "image_size"}, data.get("digest")


def image_size_finding(sets: Sequence[ModelSet], variants: Iterable[str]) -> Finding:
    """Return what the largest images change against the smallest, for these variants, with seeds that both sets have.

    Args:
        sets: as `sized_sets` gives them.
    """
    if len(sets) < 2:
        return Finding()
    small, large = sets[0], sets[-1]
    changes = comparisons.changes(small, large, variants)
    if changes.empty:
        return Finding()
    sides = f"At {_side(small)}", f"At {_side(large)}"
    return Finding(
        f"from {_side(small)} to {_side(large)} pixels validation accuracy changes, in points: {changes_told(changes)}.",
        [
            f"The same photos, recipe and seeds, at {_side(small)} and at {_side(large)} pixels. A network then sees "
            f"{_ratio(small, large)} times as many pixels of each photo, does as many times the work, and its last maps have "
            f"{_places(large)} places in place of {_places(small)}.{_shift(large)}",
            *_orders(changes, *(f"at {_side(each)}" for each in (small, large))),
            *_grows_with_the_maps(small, large),
        ],
        tables=[change_figures(changes, "Validation accuracy by the size of the images", *sides)],
    )


def _grows_with_the_maps(small: ModelSet, large: ModelSet) -> list[str]:
    """Return whether the norm with statistics of single maps gains more than its control."""
    return [
        f"{short_name(STUDIED)} takes its statistics from the {_places(small)} values of one last map, here from "
        f"{_places(large)}. Does it gain on {short_name(CONTROL)} as the maps grow? {answer}"
        for answer in _beyond_the_control(small, large)
    ]


def _fit(before: ModelSet, after: ModelSet, changes: pd.DataFrame) -> list[str]:
    """Return how the accuracy on the training images changes: whether more was fitted, or more of it carries over."""
    told = []
    for variant in changes["variant"]:
        by_seed = [
            dict(zip(metrics["seeds"], metrics["final"]["train"]["accuracy"]["values"], strict=True))
            for metrics in (each.checkpoints[variant].metrics for each in (before, after))
        ]
        common = by_seed[0].keys() & by_seed[1].keys()
        old, new = (sum(each[seed] for seed in common) / len(common) for each in by_seed)
        told.append(f"{short_name(variant)} {percent(old, 1)} → {percent(new, 1)}")
    return [f"On the training images accuracy goes, in per cent: {listed(told)}."]


def _beyond_the_control(before: ModelSet, after: ModelSet) -> list[str]:
    """Return what changes for the norm with statistics of single maps, and how much of it is not so for its control."""
    forms = [results.correct_images(each, (STUDIED, CONTROL))[0] for each in (before, after)]
    if not all({STUDIED, CONTROL} <= form.keys() for form in forms):
        return []
    change = comparisons.controlled_change(*([form[norm] for form in forms] for norm in (STUDIED, CONTROL)))
    if change is None:
        return []
    return [
        f"{short_name(STUDIED)} changes by {signed(change.studied)} points, {short_name(CONTROL)} by {signed(change.control)}. "
        f"The difference is {beyond_words(change)}."
    ]


def _orders(changes: pd.DataFrame, before: str, after: str) -> list[str]:
    """Return the order of the networks in both trainings, and whether the last is the same; none of fewer than three."""
    if len(changes) < 3:
        return []
    orders = [
        [short_name(variant) for variant in changes.sort_values(column, ascending=False, kind="stable")["variant"]]
        for column in ("before", "after")
    ]
    last, place = orders[0][-1], orders[1].index(orders[0][-1]) + 1
    told = f"{last} is last in both" if place == len(changes) else f"{last}, last before, is in place {place} of {len(changes)}"
    return [
        f"Best first, {before}: {listed(orders[0])}; {after}: {listed(orders[1])}. {told}. Which neighbours can be told "
        "apart, each set's own comparison of pairs says."
    ]


def _shift(each: ModelSet) -> str:
    """Return what the recipe says in pixels, which is less of a larger image."""
    checkpoint = next(iter(each.checkpoints.values()))
    pixels = checkpoint.metrics["provenance"]["recipe"].get("crop_padding")
    return (
        f" The random shift while they learned stayed {pixels} pixels, so it is a smaller part of a larger photo."
        if pixels
        else ""
    )


def _side(each: ModelSet) -> str:
    return f"{each.image_size}×{each.image_size}"


def _ratio(small: ModelSet, large: ModelSet) -> str:
    return f"{(large.image_size / small.image_size) ** 2:g}"


def _places(each: ModelSet) -> int:
    """Places of a map of the last stage: each stage but the first halves the side, rounded up."""
    side = each.image_size
    for _ in WIDTHS[1:]:
        side = -(-side // 2)
    return side * side


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
        [
            *(text for field in fields if (text := EXPLANATIONS.get(field.partition("=")[0]))),
            *_orders(changes, f"as {base.recipe} says", f"with {told}"),
            *_fit(base, changed, changes),
            *_beyond_the_control(base, changed),
        ],
        tables=[change_figures(changes, f"Validation accuracy with {told}", f"As {base.recipe} says", "Changed")],
    )
