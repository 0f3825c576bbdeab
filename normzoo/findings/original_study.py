"""Comparison with the original study: which of its rankings hold here."""

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normzoo.analysis import results
from normzoo.analysis.results import METRICS, SPLITS, steps_of
from normzoo.analysis.statistics import Runs, kendall_interval
from normzoo.findings.finding import Evidence, Finding, ResultTable, counts, training_commands, where
from normzoo.findings.pairs import compare_pairs
from normzoo.formatting import listed, minus
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

RECIPE, BASELINE_RECIPE = "paper", "paper-sgd"
#: Row of that recipe in the table.
BASELINE = "BN, first recipe"
_FILE = Path(__file__).with_suffix(".json")
#: Approximate number of photos of its data set, and their side in pixels.
IMAGES, SIDE = 30_000, 256
#: Variant -> its name in the file, if different.
_NAMES = {"torch-bn": "torch_bn"}


def original_study_finding(evidence: Evidence) -> Finding | None:
    """Return which of the original study's rankings hold, with its recipe on our images."""
    model_set = evidence.shown if evidence.shown.recipe == RECIPE else evidence.find(RECIPE)
    if model_set is None or not reproduces(model_set):
        return None
    theirs = {key: figures for key in model_set.checkpoints if (figures := final_figures(key))}
    there = {key: value for key in model_set.main_variants if (value := _accuracy(theirs.get(key))) is not None}
    evidence = Evidence(model_set, evidence.model_sets)
    runs = {key: each for key, each in evidence.shown_runs.items() if key in there}
    if len(runs) < 2:
        return None
    tau = kendall_interval(list(runs.values()), [there[key] for key in runs])
    holds, reversed_, open_ = _decided(evidence, there)
    total = len(holds) + len(reversed_) + len(open_)
    ends = minus(f"{tau.value:.2f} ({tau.low:.2f} to {tau.high:.2f})")
    rows = results.final_metrics(model_set, list(theirs)).frame.to_dict("records")
    return Finding(
        key="original-study",
        title="Comparison with the original study",
        headline=f"Of the {total} pairwise rankings of the original study {len(holds)} are confirmed here, {len(reversed_)} "
        f"are reversed and {len(open_)} are undecided; Kendall's τ = {ends} ({where(model_set)}, "
        f"{counts(map(len, runs.values()))}).",
        chart=_chart(runs, there),
        tables=[_table([*rows, *_baseline(evidence)], {**theirs, BASELINE: baseline_figures()})],
        method=[
            f"The original: *{original_study()['title']}*. It used other images, so only rankings can be compared; it reports "
            "one figure per network, without seeds. A ranking is confirmed or reversed if the difference here is significant. "
            "τ: 1 is the same ranking, −1 the reverse; 95% interval by a bootstrap over images and runs.",
        ],
        notes=[
            *_notes(holds, reversed_, open_),
            _set_up(model_set),
            " ".join(["Errata of its report. Its loss is divided by the batch size once more.", *errata()]),
        ],
        commands=training_commands(theirs, model_set),
    )


def reproduces(model_set: ModelSet) -> bool:
    """Were these networks trained on the packaged images, to reproduce the original study?"""
    counts_ = {len(checkpoint.config.classes) for checkpoint in model_set.checkpoints.values()}
    return counts_ == {original_study()["architecture"]["classes_r"]} and model_set.data.startswith("tiny-imagenet-25")


def _accuracy(figures: Mapping[str, Mapping[str, float | None]] | None) -> float | None:
    return figures["val"]["accuracy"] if figures else None


def _decided(evidence: Evidence, there: Mapping[str, float]) -> tuple[list[str], list[str], list[str]]:
    """Return which of the original's pairwise rankings are confirmed, reversed and undecided here."""
    holds, reversed_, undecided = list[str](), list[str](), list[str]()
    for pair in compare_pairs(evidence):
        if not {pair.first, pair.second} <= there.keys() or there[pair.first] == there[pair.second]:
            continue
        agrees = there[pair.first] > there[pair.second]
        better, worse = (pair.first, pair.second) if agrees else (pair.second, pair.first)
        kept = undecided if not pair.is_significant else holds if agrees else reversed_
        kept.append(f"{short_name(better)} over {short_name(worse)}")
    return holds, reversed_, undecided


def _notes(holds: list[str], reversed_: list[str], undecided: list[str]) -> list[str]:
    phrases = (("Confirmed", holds), ("reversed", reversed_), ("undecided", undecided))
    return [f"{'; '.join(f'{words}: {listed(each)}' for words, each in phrases if each)}."]


def _set_up(model_set: ModelSet) -> str:
    """Return what is not as in the original."""
    checkpoint = next(iter(model_set.checkpoints.values()))
    steps, size, study = steps_of(checkpoint.metrics), checkpoint.config.image_size, original_study()
    final = study["protocol"]["final"]
    there = math.ceil(IMAGES / final["batch_size"]) * final["epochs"]
    return (
        f"The original had about {IMAGES:,} photos of {study['architecture']['classes_r']} bird species at "
        f"{SIDE}×{SIDE} pixels, not {size}×{size}."
        + (f" Steps: {steps:,} here, about {there:,} there." if steps else "")
        + " Optimizer, rate, schedule, epochs, batch size and depth are the same."
    )


def _baseline(evidence: Evidence) -> list[dict[str, Any]]:
    """Return our figures for the original's first recipe (SGD with rotations and flips, batch normalization)."""
    baseline = evidence.find(BASELINE_RECIPE)
    rows = [] if baseline is None else results.final_metrics(baseline, ["bn"]).frame.to_dict("records")
    return [{**row, "variant": BASELINE} for row in rows]


def _table(rows: list[dict[str, Any]], theirs: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> ResultTable:
    size = original_study()["protocol"]["final"]["batch_size"]
    rows = [row for row in rows if row["variant"] in theirs]
    table = ResultTable("Here and in the original study")
    table.add("Network", [key if (key := row["variant"]) == BASELINE else short_name(key) for row in rows])
    for split, key in (("val", "accuracy"), ("train", "accuracy"), ("val", "macro_f1")):
        title = f"{SPLITS[split]} {METRICS[key].title}"
        there = [theirs[row["variant"]][split][key] for row in rows]
        table.add(f"{title} here (%)", [100 * float(row[f"{split}_{key}"]) for row in rows], ".1f")
        table.add(f"{title} original (%)", [None if value is None else 100 * value for value in there], ".1f")
    for split, title in SPLITS.items():
        printed = [theirs[row["variant"]][split]["loss"] for row in rows]
        table.add(f"{title} loss here (nats)", [float(row[f"{split}_loss"]) for row in rows], ".3f")
        table.add(f"original × {size} (nats), {title.lower()}", [None if p is None else nats(p, size) for p in printed], ".3f")
    return table


def _chart(runs: Mapping[str, Runs], there: Mapping[str, float]) -> Chart:
    points = []
    for key, each in runs.items():
        mean = sum(float(run.mean()) for run in each.values()) / len(each)
        points.append(series(key, [100 * there[key]], [100 * mean], dash=None))
    return Chart(
        "Validation accuracy here against that of the original study",
        Axis("Original study (%)"),
        Axis("Here (%)"),
        (Panel(tuple(points)),),
    )


@functools.cache
def original_study() -> dict[str, Any]:
    """Return its title, protocol, results and errata."""
    study: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return study


def final_figures(variant: str) -> dict[str, dict[str, float | None]] | None:
    """Return its final figures of a variant, split -> metric -> value: fractions, and the loss as printed (see `nats`).

    None if it has none; a missing metric is None.
    """
    printed = original_study()["results"].get(_NAMES.get(variant, variant))
    return printed and {split: _fractions(figures) for split, figures in printed.items()}


def baseline_figures() -> dict[str, dict[str, float | None]]:
    """Return the same for its first recipe, with batch normalization."""
    return {split: _fractions(figures) for split, figures in original_study()["results"]["baseline_sgd_bn_augmented"].items()}


def batch_size_figures(norm: str, batch_size: int) -> dict[str, float | None] | None:
    """Return its training `loss` (as printed) and `accuracy` of a norm at a batch size, or None."""
    if batch_size == original_study()["protocol"]["final"]["batch_size"]:
        found = final_figures(norm)
        return {key: found["train"][key] for key in ("loss", "accuracy")} if found else None
    printed = original_study()["batch_size_study_train"].get(norm, {}).get(str(batch_size))
    return printed and _fractions(printed)


def nats(printed_loss: float, batch_size: int) -> float:
    """Convert a printed loss to mean cross entropy: the original divides it by the batch size once more."""
    return printed_loss * batch_size


def errata() -> list[str]:
    """Return the known errors of its report."""
    known: list[str] = original_study()["known_slips_in_the_report"]
    return known


def _fractions(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {key: value if value is None or key == "loss" else value / 100 for key, value in figures.items()}
