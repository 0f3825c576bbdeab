"""The model card of a packaged checkpoint, with a model-index that the Hugging Face Hub reads."""

from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from normzoo.formatting import counted, listed
from normzoo.nn.registry import describe_norm
from normzoo.pretrained.checkpoint import ModelConfig
from normzoo.variants import Variant, describe_variant

_METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "f1", "micro_f1": "f1"}


def model_card(config: ModelConfig, figures: dict[str, Any]) -> str:
    """Markdown with front matter, from the stored figures alone."""
    variant, recipe, data = figures["variant"], figures["recipe"], figures["provenance"]["data"]
    name = f"normzoo-{figures['data']}-{recipe}-{variant}"
    seeds = figures["seeds"]
    val = figures["final"]["val"]
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=figures["data"],
            dataset_name=figures["data"],
            dataset_split="val",
            metric_type=kind,
            metric_name=metric,
            metric_value=round(val[metric]["mean"], 4),
        )
        for metric, kind in _METRIC_NAMES.items()
    ]
    front = ModelCardData(
        license="apache-2.0",
        library_name="normzoo",
        pipeline_tag="image-classification",
        tags=["normalization", "resnet", figures["norm"]],
        model_name=name,
        eval_results=results,
    )
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
