"""The runs of one recipe that differ in their batch size only."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normzoo.analysis.reference_study import original_study
from normzoo.analysis.results import final_metrics
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import Variant

#: What `python -m training study` trains besides the recipe's own batch size, and the original study as well.
SIZES = (8, 128)


@dataclass(frozen=True)
class SizedRun:
    """One variant of a batch-size study."""

    variant: str
    norm: str
    batch_size: int


def norms_of_study() -> list[str]:
    """The norms whose batch size the original study varied."""
    return list(original_study()["batch_size_study_train"])


def sized_runs(model_set: ModelSet) -> list[SizedRun]:
    """The readable runs of norms of the study, by norm and by batch size.

    A run's batch size is the one in its recipe; the recipe's own is that of the variant with the norm's bare name.
    """
    runs = []
    for variant, checkpoint in model_set.checkpoints.items():
        parsed = Variant.parse(variant)
        recipe = checkpoint.metrics["provenance"].get("recipe")
        batch_size = recipe.get("batch_size") if isinstance(recipe, dict) else None
        if parsed.norm in norms_of_study() and not parsed.is_reference and isinstance(batch_size, int) and batch_size > 0:
            runs.append(SizedRun(variant, parsed.norm, batch_size))
    return sorted(runs, key=lambda run: (norms_of_study().index(run.norm), run.batch_size))


def missing_runs(model_set: ModelSet, norms: Iterable[str]) -> list[str]:
    """The variants that the study has and the set lacks, or cannot read."""
    present = {run.variant for run in sized_runs(model_set)}
    wanted = [Variant(norm, size).key for norm in norms for size in (None, *SIZES)]
    return [variant for variant in wanted if variant not in present]


def by_batch_size(model_set: ModelSet, norms: Iterable[str]) -> pd.DataFrame:
    """The final figures of the runs, as `results.final_metrics` gives them, with `norm`, `batch_size`, `steps`, and the
    losses by the original study's convention, `val_loss_divided` and `train_loss_divided`: divided by the batch size once more.
    """
    runs = {run.variant: run for run in sized_runs(model_set) if run.norm in set(norms)}
    finals = final_metrics(model_set, runs).frame
    if finals.empty:
        return finals
    finals = finals.assign(
        norm=[runs[variant].norm for variant in finals["variant"]],
        batch_size=[runs[variant].batch_size for variant in finals["variant"]],
        steps=[steps_of(model_set.checkpoints[variant].metrics) for variant in finals["variant"]],
    )
    for split in ("val", "train"):
        finals[f"{split}_loss_divided"] = finals[f"{split}_loss"] / finals["batch_size"]
    return finals


def steps_of(metrics: dict[str, Any]) -> int | None:
    """Return how many steps a run took, where its stored recipe and data set say it."""
    provenance = metrics["provenance"]
    recipe, data = provenance.get("recipe"), provenance.get("data")
    if not isinstance(recipe, dict) or not isinstance(data, dict) or not {"epochs", "batch_size"} <= recipe.keys():
        return None
    return math.ceil(data["num_train"] / recipe["batch_size"]) * int(recipe["epochs"]) if "num_train" in data else None
