"""Model cards, from templates: of a checkpoint, of the folder of all, and of a repository on the Hugging Face Hub."""

import functools
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from normzoo.findings.finding import images_of
from normzoo.formatting import counted, listed
from normzoo.nn.registry import describe_norm
from normzoo.pretrained.checkpoint import BATCH_STATISTICS_TABLE, CONTRAST_TABLE, OOD_TABLE, ModelConfig
from normzoo.pretrained.hub import PREFIX
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.variants import Variant, describe_variant
from training.config import RECIPES, Recipe
from training.data.sources import SOURCES
from training.engine.step import learning_rates

#: Table of the recipe search, on held-out training images.
SEARCH_TABLE = "search.csv"
_METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "f1", "micro_f1": "f1"}
README = "README.md"
WHAT_FOR = {
    "paper": "the final recipe of the original study: Adam, no augmentation",
    "paper-sgd": "its first recipe: plain SGD with rotations and flips",
    "strong": "the most accurate recipe, the page's default",
}


@functools.cache
def _environment() -> Environment:
    folder = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(
        loader=folder, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.globals |= {function.__name__: function for function in (counted, describe_variant, figure_cell)}
    return environment


def _render(template: str, **context: Any) -> str:
    return _environment().get_template(template).render(**context)


def model_card(config: ModelConfig, figures: dict[str, Any], license: str | None = None) -> str:
    """Return Markdown with front matter, from the stored figures alone.

    Args:
        license: its identifier on the Hub; None: the project's licence for its own networks, none for others.
    """
    name, provenance = f"normzoo-{figures['data']}-{figures['recipe']}-{figures['variant']}", figures["provenance"]
    val = figures["final"]["val"]
    results = [_result(figures["data"], kind, metric, val[metric]["mean"]) for metric, kind in _METRIC_NAMES.items()]
    sessions = [session for run in provenance["runs"] for session in run["sessions"]]
    minutes = [sum(session["seconds"] for session in run["sessions"]) / 60 for run in provenance["runs"]]
    return _render(
        "model.md",
        # The project's own networks are under its licence; what is trained on other images is its maker's to license.
        front=_front(license or ("apache-2.0" if figures["data"] in SOURCES else None), name, results, figures["norm"]),
        name=name,
        config=config,
        figures=figures,
        data=provenance["data"],
        variant=Variant.parse(figures["variant"]),
        remark=describe_norm(figures["norm"]).remark,
        minutes=" to ".join(dict.fromkeys(f"{bound:.0f}" for bound in (min(minutes), max(minutes)))),
        devices=listed(sorted({f"{each['device']} ({counted(each['threads'], 'thread')})" for each in sessions})),
        torchs=listed(sorted({each["packages"]["torch"] for each in sessions})),
    )


def figure_cell(figure: dict[str, Any]) -> str:
    """Mean, with standard deviation if there is more than one seed."""
    return f"{figure['mean']:.4f}" + ("" if figure["sd"] is None else f" ± {figure['sd']:.4f}")


def folder_card(checkpoints: Path) -> str:
    """Return the card of the folder of all checkpoints."""
    model_sets = list_model_sets(checkpoints)
    rows = [(each, _what_for(each, model_sets), _numbers_of_seeds(each)) for each in model_sets if each.checkpoints]
    slow, usual = (_sum(RECIPES[name]) for name in ("paper-sgd", "strong"))
    tables = (SEARCH_TABLE, CONTRAST_TABLE, BATCH_STATISTICS_TABLE, OOD_TABLE)
    return _render("folder.md", rows=rows, tables=tables, slow=slow, usual=usual)


def _numbers_of_seeds(model_set: ModelSet) -> str:
    return listed([str(count) for count in sorted({len(each.metrics["seeds"]) for each in model_set.checkpoints.values()})])


def _what_for(model_set: ModelSet, model_sets: list[ModelSet]) -> str:
    same = [each for each in model_sets if each.recipe == model_set.recipe and images_of(each) == images_of(model_set)]
    smallest = min(same, key=lambda each: each.image_size)
    if smallest is not model_set:
        size = model_set.image_size
        return f"`{smallest.name}` again, on the same photos at {size}×{size} pixels"
    base, _, changes = model_set.recipe.partition(",")
    if changes and base in WHAT_FOR:
        return f"`{base}` with {changes.replace(',', ', ')}"
    return WHAT_FOR.get(model_set.recipe, "a custom recipe")


def _sum(recipe: Recipe, images: int = 12_500) -> float:
    return sum(learning_rates(recipe, -(-images // recipe.batch_size)))


def repository_card(repository: str, model_sets: list[ModelSet], license: str | None = None) -> str:
    """Return the card of a Hub repository of packaged model sets, with a model-index of every variant."""
    results = [
        _result(each.data, "accuracy", f"{each.recipe}/{variant} accuracy", found.metrics["final"]["val"]["accuracy"]["mean"])
        for each in model_sets
        for variant, found in each.checkpoints.items()
    ]
    return _render(
        "repository.md",
        front=_front(license, repository.partition("/")[2], results),
        repository=repository,
        prefix=PREFIX,
        name=f"{PREFIX}{repository}" + ("" if len(model_sets) == 1 else f"/{model_sets[0].name}"),
        results=results,
        model_sets=model_sets,
    )


def _result(data: str, kind: str, name: str, value: float) -> EvalResult:
    figure = round(value, 4)
    return EvalResult("image-classification", data, data, kind, figure, dataset_split="val", metric_name=name)


def _front(license: str | None, name: str, results: list[EvalResult], *tags: str) -> str:
    card = ModelCardData(
        license=license,
        library_name="normzoo",
        pipeline_tag="image-classification",
        tags=["normalization", "resnet", *tags],
        model_name=name,
        eval_results=results,
    )
    return str(card.to_yaml())
