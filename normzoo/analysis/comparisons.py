"""The variants of a model set held against each other: what their stored logits and histories say."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.results import Table, correct_images, read_each
from normzoo.analysis.statistics import (
    Correct,
    Interval,
    change_interval,
    difference_interval,
    epochs_to,
    holm,
    mcnemar,
    mean_accuracy_interval,
)
from normzoo.pretrained.checkpoint import ROBUSTNESS_COLUMNS, Checkpoint
from normzoo.pretrained.registry import ModelSet

#: Below this, after Holm's correction, two networks are said to differ.
SIGNIFICANT = 0.05


def accuracies(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Validation accuracy with its 95% interval, and the gap to training.

    Returns:
        one row per variant: `variant`, `n`, `values` (by seed), `mean`, `sd` (None for one seed), `low`, `high`, `gap` (mean
        training accuracy minus mean validation accuracy).
    """
    correct, problems = correct_images(model_set, variants)
    rows = []
    for variant, by_seed in correct.items():
        stacked = np.stack(list(by_seed.values()))
        values = stacked.mean(1)
        interval = mean_accuracy_interval(stacked)
        train = model_set.checkpoints[variant].metrics["final"]["train"]["accuracy"]["mean"]
        rows.append(
            {
                "variant": variant,
                "n": len(values),
                "values": [float(value) for value in values],
                "mean": interval.value,
                "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
                "low": interval.low,
                "high": interval.high,
                "gap": train - interval.value,
            }
        )
    return Table(pd.DataFrame(rows), problems)


def pairs(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Compare every two variants on the same validation images, in every seed that both have.

    Returns:
        one row per pair: `first`, `second`, `n` (common seeds), `difference` of the mean accuracies with `low` and `high` of
        the paired bootstrap, `seeds_agreeing` (with the sign of the difference), and of the seed whose exact McNemar test
        has the largest p-value, `seed`: `only_first`, `only_second`, `p_value`; `p_holm` (corrected over all pairs),
        `significant`: that is below `SIGNIFICANT` and all seeds agree.
    """
    correct, problems = correct_images(model_set, variants)
    rows: list[dict[str, Any]] = []
    for first, second in itertools.combinations(correct, 2):
        seeds = sorted(correct[first].keys() & correct[second].keys())
        if not seeds or len(correct[first][seeds[0]]) != len(correct[second][seeds[0]]):
            continue
        left, right = (np.stack([correct[variant][seed] for seed in seeds]) for variant in (first, second))
        interval = difference_interval(left, right)
        tests = [mcnemar(a, b) for a, b in zip(left, right, strict=True)]
        # Each must be below the level for all to be: the largest p-value is one of "different in every seed".
        least_clear = max(range(len(seeds)), key=lambda position: tests[position].p_value)
        signs = np.sign(left.mean(1) - right.mean(1))
        test = tests[least_clear]
        rows.append(
            {
                "first": first,
                "second": second,
                "n": len(seeds),
                "difference": interval.value,
                "low": interval.low,
                "high": interval.high,
                "seeds_agreeing": int((signs == np.sign(interval.value)).sum()),
                "seed": seeds[least_clear],
                "only_first": test.only_first,
                "only_second": test.only_second,
                "p_value": test.p_value,
            }
        )
    for row, corrected in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row |= {"p_holm": corrected, "significant": corrected < SIGNIFICANT and row["seeds_agreeing"] == row["n"]}
    return Table(pd.DataFrame(rows), problems)


def changes(before: ModelSet, after: ModelSet, variants: Iterable[str]) -> pd.DataFrame:
    """Compare variants of one set with those of the same name in another, on the same validation images in common seeds.

    Returns:
        one row per variant that both have, the largest gain first: `variant`, `n` (common seeds), `before` and `after` (mean
        accuracies, fractions), `change` with `low` and `high` of the paired bootstrap.
    """
    wanted = [key for key in variants if key in before.checkpoints and key in after.checkpoints]
    (first, _), (second, _) = (correct_images(model_set, wanted) for model_set in (before, after))
    rows = []
    for key in wanted:
        seeds = sorted(first.get(key, {}).keys() & second.get(key, {}).keys())
        if seeds and len(first[key][seeds[0]]) == len(second[key][seeds[0]]):
            old, new = (np.stack([correct[key][seed] for seed in seeds]) for correct in (first, second))
            change = difference_interval(new, old)
            rows.append([key, len(seeds), old.mean(), new.mean(), change.value, change.low, change.high])
    columns = ["variant", "n", "before", "after", "change", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values("change", ascending=False, kind="stable")


@dataclass(frozen=True)
class ControlledChange:
    """Change of an accuracy (fractions), and how much of it is beyond that of a control; over the seeds that all have."""

    studied: float
    control: float
    beyond: Interval
    seeds: list[int]


def controlled_change(
    studied: Sequence[Mapping[int, Correct]], control: Sequence[Mapping[int, Correct]]
) -> ControlledChange | None:
    """Compare how two networks change, each from the first of its two forms to the second, on the same validation images.

    Args:
        studied, control: the two forms of each: seed -> which images it gets right, (N,).

    Returns:
        None where the four have no seed in common, or saw different numbers of images.
    """
    forms = [*studied, *control]
    seeds = sorted(set.intersection(*(set(form) for form in forms)))
    if not seeds or len({len(form[seeds[0]]) for form in forms}) > 1:
        return None
    stacked = [np.stack([form[seed] for seed in seeds]) for form in forms]
    means = [float(form.mean()) for form in stacked]
    beyond = change_interval(stacked[0], stacked[1], stacked[2], stacked[3])
    return ControlledChange(means[1] - means[0], means[3] - means[2], beyond, seeds)


def speed(history: pd.DataFrame, levels: Iterable[float]) -> pd.DataFrame:
    """Return how many epochs each variant took to reach validation accuracies (fractions), by the mean over its seeds.

    Returns:
        one row per variant: `variant`, and a column for each level; None where it was not reached.
    """
    means = results.over_seeds(history, "accuracy")
    rows = []
    for variant, of_variant in means[means["split"] == "val"].groupby("variant", sort=False):
        curve = of_variant.sort_values("epoch")["mean"].tolist()
        reached: dict[str | float, str | int | None] = {level: epochs_to(curve, level) for level in levels}
        rows.append({"variant": str(variant), **reached})
    return pd.DataFrame(rows, dtype=object)


def robustness(model_set: ModelSet, variants: Iterable[str]) -> Table:
    """Return the accuracy of the packaged weights under corruption of the validation images.

    Returns:
        one row per variant, corruption and severity: `variant`, the columns of `ROBUSTNESS_COLUMNS`, `clean` (accuracy on
        clean images) and `kept` (accuracy as a share of it).
    """
    found, problems = read_each(model_set, variants, _corrupted)
    rows = [{"variant": variant, **row} for variant, rows in found.items() for row in rows]
    return Table(pd.DataFrame(rows, columns=["variant", *ROBUSTNESS_COLUMNS, "clean", "kept"]), problems)


def _corrupted(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    clean = float(checkpoint.metrics["final"]["val"]["accuracy"]["values"][0])
    return [{**row, "clean": clean, "kept": row["accuracy"] / clean if clean else 0} for row in checkpoint.robustness()]
