"""The card of a repository on the Hugging Face Hub that holds packaged model sets, from their stored figures."""

from huggingface_hub import EvalResult, ModelCardData

from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.hub import PREFIX
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import describe_variant
from training.evaluation.model_card import figure_cell

NAME = "normzoo"


def repository_card(repository: str, model_sets: list[ModelSet]) -> str:
    """Markdown with front matter and a model-index of every variant."""
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=model_set.data,
            dataset_name=model_set.data,
            dataset_split="val",
            metric_type="accuracy",
            metric_name=f"{model_set.recipe}/{variant} accuracy",
            metric_value=round(checkpoint.metrics["final"]["val"]["accuracy"]["mean"], 4),
        )
        for model_set in model_sets
        for variant, checkpoint in model_set.checkpoints.items()
    ]
    front = ModelCardData(
        license="apache-2.0",
        library_name=NAME,
        pipeline_tag="image-classification",
        tags=["normalization", "resnet"],
        model_name=repository.partition("/")[2],
        eval_results=results,
    )
    count = sum(len(model_set.checkpoints) for model_set in model_sets)
    first = model_sets[0]
    name = f"{PREFIX}{repository}" if len(model_sets) == 1 else f"{PREFIX}{repository}/{first.name}"
    sections = "\n".join(_section(model_set) for model_set in model_sets)
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


def _section(model_set: ModelSet) -> str:
    rows = "\n".join(_row(variant, checkpoint) for variant, checkpoint in model_set.checkpoints.items())
    return f"""## {model_set.name}

On the validation images after the last epoch, mean ± sd over n seeds; they were watched during training. Loss is the mean
cross entropy per image in nats.

| variant | | n | loss | accuracy | macro F1 | parameters |
|---|---|---|---|---|---|---|
{rows}
"""


def _row(variant: str, checkpoint: Checkpoint) -> str:
    metrics = checkpoint.metrics
    val = metrics["final"]["val"]
    figures = " | ".join(figure_cell(val[metric]) for metric in ("loss", "accuracy", "macro_f1"))
    return f"| `{variant}` | {describe_variant(variant)} | {len(metrics['seeds'])} | {figures} | {metrics['parameters']:,} |"
