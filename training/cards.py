"""Model cards: of a packaged checkpoint, of the folder of all, and of a repository on the Hugging Face Hub."""

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from normzoo.findings.finding import images_of
from normzoo.formatting import counted, listed
from normzoo.nn.registry import describe_norm
from normzoo.pretrained.checkpoint import BATCH_STATISTICS_TABLE, CONTRAST_TABLE, OOD_TABLE, Checkpoint, ModelConfig
from normzoo.pretrained.hub import PREFIX
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.variants import Variant, describe_variant
from training.config import RECIPES, Recipe
from training.data.sources import SOURCES
from training.engine.step import learning_rates

#: The table of the runs that were tried to choose a recipe, validated on held-out training images.
SEARCH_TABLE = "search.csv"
_METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "f1", "micro_f1": "f1"}
README = "README.md"
WHAT_FOR = {
    "paper": "the final recipe of the study that is reproduced: Adam, no augmentation",
    "paper-sgd": "its first recipe: plain SGD with rotations and flips",
    "strong": "the recipe whose networks answer best; the page begins with it",
}


def model_card(config: ModelConfig, figures: dict[str, Any], license: str | None = None) -> str:
    """Markdown with front matter, from the stored figures alone.

    Args:
        license: by its name on the Hub; None: the project's own for its own networks, none for others.
    """
    variant, recipe, data = figures["variant"], figures["recipe"], figures["provenance"]["data"]
    name = f"normzoo-{figures['data']}-{recipe}-{variant}"
    seeds = figures["seeds"]
    val = figures["final"]["val"]
    results = [_result(figures["data"], kind, metric, val[metric]["mean"]) for metric, kind in _METRIC_NAMES.items()]
    # The project's own networks are under its licence; what is trained on other images is its maker's to license.
    front = _front(license or ("apache-2.0" if figures["data"] in SOURCES else None), name, results, figures["norm"])
    seed_names = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    rows = "\n".join(
        f"| {metric.replace('_', ' ')} | {figure_cell(figures['final']['train'][metric])} | {figure_cell(val[metric])} |"
        for metric in val
    )
    fields = "\n".join(f"| {key} | {value} |" for key, value in figures["provenance"]["recipe"].items())
    return f"""---
{front.to_yaml()}
---

# {name}

A ResNet of {config.depth} layers with {describe_variant(variant)}, trained from scratch on {figures["data"]} with the recipe
`{recipe}`. {_differs(variant)}{_remark(figures["norm"])}{_last_norm(config)}

{figures["parameters"]:,} parameters, {figures["macs"] / 1e6:.1f} million multiply-accumulates an image. Input: RGB, the central
square reduced to {config.image_size}×{config.image_size} pixels by box averaging. Output: {len(config.classes)} classes.

```python
import normzoo
model = normzoo.load_model("checkpoints/{figures["data"]}/{recipe}/{variant}")
normzoo.predict({{"{variant}": model}}, normzoo.load_image("photo.jpg"), k=5)
```

## Figures

After the last epoch, n = {len(seeds)} ({seed_names}); the weights here are those of seed {seeds[0]}. Loss is the mean
cross entropy per image in nats. Every image has one label, so micro F1 equals accuracy.

| | train ({data["num_train"]:,} images) | validation ({data["num_val"]:,} images) |
|---|---|---|
{rows}

The validation images were watched during training; there is no third set. `python -m training evaluate --check` computes these
figures again.

## Recipe

| field | value |
|---|---|
{fields}
| precision | {figures["provenance"]["precision"]} |

{_trained(figures["provenance"]["runs"])}

## Data and limits

{data["note"]} The images are not part of this folder. A network of this size, trained on so few small pictures, is for learning
about normalization, not for recognizing things: it always answers with one of its {len(config.classes)} classes.
"""


def _differs(key: str) -> str:
    """In what the network differs from the others of its set."""
    variant = Variant.parse(key)
    if variant.batch_size is not None:
        return f"It differs from `{variant.norm}` only in the batch size."
    if variant.is_reference:
        return f"It differs from `{variant.norm}` only in whose code the norm is: PyTorch's own."
    return "One of a set of networks that differ only in the normalization layer."


def _trained(runs: list[dict[str, Any]]) -> str:
    """How long each run took, and on what."""
    sessions = [session for run in runs for session in run["sessions"]]
    minutes = [sum(session["seconds"] for session in run["sessions"]) / 60 for run in runs]
    took = " to ".join(dict.fromkeys(f"{bound:.0f}" for bound in (min(minutes), max(minutes))))
    devices = listed(sorted({f"{each['device']} ({counted(each['threads'], 'thread')})" for each in sessions}))
    torchs = listed(sorted({each["packages"]["torch"] for each in sessions}))
    return f"Trained in {counted(len(runs), 'run')} of {took} minutes, on {devices}; torch {torchs}."


def _last_norm(config: ModelConfig) -> str:
    """Where the last norm is another, which one."""
    return f" Its last norm layer is another: {describe_variant(config.last_norm)}." if config.last_norm else ""


def _remark(norm: str) -> str:
    remark = describe_norm(norm).remark
    return f"\n{remark}" if remark else ""


def figure_cell(figure: dict[str, Any]) -> str:
    """A mean with its standard deviation, where there is more than one seed."""
    if figure["sd"] is None:
        return f"{figure['mean']:.4f}"
    return f"{figure['mean']:.4f} ± {figure['sd']:.4f}"


def folder_card(checkpoints: Path) -> str:
    """Return the Markdown."""
    model_sets = list_model_sets(checkpoints)
    rows = "\n".join(_set_row(model_set, model_sets) for model_set in model_sets if model_set.checkpoints)
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
- `{CONTRAST_TABLE}`, `{BATCH_STATISTICS_TABLE}`, `{OOD_TABLE}`: less contrast, batch statistics at test time, and
  out-of-distribution images, measured by `python -m training measure all`.

`paper-sgd` hardly learns: with plain SGD a weight moves by learning rate × gradient, and the rates of all its steps sum up to
{_sum(slow):.2f}, those of `strong` to {_sum(usual):,.0f} (with momentum besides). It is kept as the original study reports it.
"""


def _set_row(model_set: ModelSet, model_sets: list[ModelSet]) -> str:
    seeds = sorted({len(checkpoint.metrics["seeds"]) for checkpoint in model_set.checkpoints.values()})
    count = f"{counted(len(model_set.checkpoints), 'variant')}, n = {listed([str(number) for number in seeds])}"
    return f"| `{model_set.name}` | {_what_for(model_set, model_sets)} | {count} |"


def _what_for(model_set: ModelSet, model_sets: list[ModelSet]) -> str:
    same = [each for each in model_sets if each.recipe == model_set.recipe and images_of(each) == images_of(model_set)]
    smallest = min(same, key=lambda each: each.image_size)
    if smallest is not model_set:
        size = model_set.image_size
        return f"`{smallest.name}` again, on the same photos at {size}×{size} pixels"
    base, _, changes = model_set.recipe.partition(",")
    if changes and base in WHAT_FOR:
        return f"`{base}` with {changes.replace(',', ', ')}"
    return WHAT_FOR.get(model_set.recipe, "a recipe of its own")


def _sum(recipe: Recipe, images: int = 12_500) -> float:
    return sum(learning_rates(recipe, -(-images // recipe.batch_size)))


def repository_card(repository: str, model_sets: list[ModelSet], license: str | None = None) -> str:
    """Card of a repository on the Hub that holds packaged model sets: front matter with a model-index of every variant."""
    results = [
        _result(model_set.data, "accuracy", f"{model_set.recipe}/{variant} accuracy", _val(checkpoint)["accuracy"]["mean"])
        for model_set in model_sets
        for variant, checkpoint in model_set.checkpoints.items()
    ]
    front = _front(license, repository.partition("/")[2], results)
    count = sum(len(model_set.checkpoints) for model_set in model_sets)
    first = model_sets[0]
    name = f"{PREFIX}{repository}" if len(model_sets) == 1 else f"{PREFIX}{repository}/{first.name}"
    sections = "\n".join(_set_section(model_set) for model_set in model_sets)
    return f"""---
{front.to_yaml()}
---

# {repository}

Residual networks that differ in one thing, the normalization layer: {count} of them, made with NormZoo.
Each lies in `<data set>/<recipe>/<variant>/`, with a card of its own that says how it was made. Weights are
safetensors; nothing here is a pickle. The images that they were trained on are not here; their terms are in those cards.

```python
import normzoo
models = normzoo.load_models("{name}")
normzoo.predict(models, normzoo.load_image("photo.jpg"), k=5)
```

Their page: `NORMZOO_CHECKPOINTS={PREFIX}{repository} python app.py`.

{sections}
"""


def _set_section(model_set: ModelSet) -> str:
    rows = "\n".join(_variant_row(variant, checkpoint) for variant, checkpoint in model_set.checkpoints.items())
    return f"""## {model_set.name}

On the validation images after the last epoch, mean ± sd over n seeds; they were watched during training. Loss is the mean
cross entropy per image in nats.

| variant | | n | loss | accuracy | macro F1 | parameters |
|---|---|---|---|---|---|---|
{rows}
"""


def _variant_row(variant: str, checkpoint: Checkpoint) -> str:
    metrics = checkpoint.metrics
    figures = " | ".join(figure_cell(_val(checkpoint)[metric]) for metric in ("loss", "accuracy", "macro_f1"))
    return f"| `{variant}` | {describe_variant(variant)} | {len(metrics['seeds'])} | {figures} | {metrics['parameters']:,} |"


def _result(data: str, kind: str, name: str, value: float) -> EvalResult:
    return EvalResult(
        task_type="image-classification",
        dataset_type=data,
        dataset_name=data,
        dataset_split="val",
        metric_type=kind,
        metric_name=name,
        metric_value=round(value, 4),
    )


def _front(license: str | None, name: str, results: list[EvalResult], *tags: str) -> ModelCardData:
    return ModelCardData(
        license=license,
        library_name="normzoo",
        pipeline_tag="image-classification",
        tags=["normalization", "resnet", *tags],
        model_name=name,
        eval_results=results,
    )


def _val(checkpoint: Checkpoint) -> dict[str, Any]:
    val: dict[str, Any] = checkpoint.metrics["final"]["val"]
    return val
