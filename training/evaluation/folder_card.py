"""README of the folder of all packaged checkpoints: what lies where."""

from pathlib import Path

from normzoo.analysis.findings.other_trainings import sized_sets
from normzoo.formatting import counted, listed
from normzoo.pretrained.checkpoint import COMPANIES_TABLE, CONTRAST_TABLE, UNKNOWNS_TABLE
from normzoo.pretrained.registry import ModelSet, list_model_sets
from training.engine.step import learning_rates
from training.evaluation.recipe_search import NAME as SEARCH_TABLE
from training.experiment.recipes import RECIPES, Recipe

README = "README.md"
WHAT_FOR = {
    "paper": "the final recipe of the study that is reproduced: Adam, no augmentation",
    "paper-sgd": "its first recipe: plain SGD with rotations and flips",
    "strong": "the recipe whose networks answer best; the page begins with it",
}


def folder_card(checkpoints: Path) -> str:
    """Return the Markdown."""
    model_sets = list_model_sets(checkpoints)
    rows = "\n".join(_row(model_set, model_sets) for model_set in model_sets if model_set.checkpoints)
    slow, usual = (RECIPES[name] for name in ("paper-sgd", "strong"))
    return f"""# Packaged checkpoints

Written by `python -m training package`. `<data set>/<recipe>/<variant>/` is one trained network with its results; a variant is
a norm as the recipe trains it, `torch-bn` the same with PyTorch's own layer, `bn-bs8` at another batch size.

| model set | what it is | variants |
|---|---|---|
{rows}

In each folder: `model.safetensors` (weights of the first seed), `config.json` (all that rebuilds and feeds the network),
`history.csv` (every epoch of every seed), `metrics.json` (final figures per seed, per class, provenance),
`val_logits.safetensors` (the answers to all validation images), `robustness.csv` (accuracy under corruptions), `README.md` (a
model card).

Beside the recipes of a data set:

- `{SEARCH_TABLE}`: what was tried to choose `strong`, judged on held-out training images.
- `{CONTRAST_TABLE}`: why less contrast harms, measured by `python -m training contrast`.
- `{COMPANIES_TABLE}`: what batch statistics of the images themselves change, by `python -m training companies`.
- `{UNKNOWNS_TABLE}`: how sure the networks are of things they do not know, by `python -m training unknowns`.

`paper-sgd` hardly learns: with plain SGD a weight moves by learning rate × gradient, and the rates of all its steps sum up to
{_sum(slow):.2f}, those of `strong` to {_sum(usual):,.0f} (with momentum besides). It is kept as the original study reports it.
"""


def _row(model_set: ModelSet, model_sets: list[ModelSet]) -> str:
    seeds = sorted({len(checkpoint.metrics["seeds"]) for checkpoint in model_set.checkpoints.values()})
    count = f"{counted(len(model_set.checkpoints), 'variant')}, n = {listed([str(number) for number in seeds])}"
    return f"| `{model_set.name}` | {_what_for(model_set, model_sets)} | {count} |"


def _what_for(model_set: ModelSet, model_sets: list[ModelSet]) -> str:
    smallest = sized_sets(model_set, model_sets)[0]
    if smallest is not model_set:
        size = model_set.image_size
        return f"`{smallest.name}` again, on the same photos at {size}×{size} pixels"
    base, _, changes = model_set.recipe.partition(",")
    if changes and base in WHAT_FOR:
        return f"`{base}` with {changes.replace(',', ', ')}"
    return WHAT_FOR.get(model_set.recipe, "a recipe of its own")


def _sum(recipe: Recipe, images: int = 12_500) -> float:
    return sum(learning_rates(recipe, -(-images // recipe.batch_size)))
