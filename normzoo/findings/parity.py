"""Parity: our batch normalization against PyTorch's."""

import math

import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.results import METRICS
from normzoo.analysis.statistics import SIGNIFICANT, Contrast, compare, pooled_run_variance
from normzoo.findings.finding import TEST, Evidence, Finding, ResultTable, training_commands, where, with_interval
from normzoo.formatting import p_text
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.pretrained.registry import ModelSet

OURS, TORCHS = "bn", "torch-bn"


def parity_finding(evidence: Evidence) -> Finding | None:
    """Return the comparison of runs of `bn` and `torch-bn` with the same seeds, initial weights and order of images."""
    model_set = next(
        (each for each in (evidence.shown, *evidence.model_sets) if {OURS, TORCHS} <= each.checkpoints.keys()), None
    )
    runs = {} if model_set is None else evidence.runs(model_set, (OURS, TORCHS))
    if model_set is None or len(runs) < 2:
        return None
    between_runs = pooled_run_variance([*evidence.runs(model_set).values(), runs[TORCHS]])
    found = compare(runs[OURS], runs[TORCHS], between_runs)
    seeds = sorted(runs[OURS].keys() & runs[TORCHS].keys())
    single = [float(runs[OURS][seed].mean() - runs[TORCHS][seed].mean()) for seed in seeds]
    spread = math.sqrt(sum(each**2 for each in single) / len(single)) if single else math.nan
    table = ResultTable("Run by run, after the last epoch: ours minus PyTorch's")
    table.add("Seed", seeds, "d")
    table.add("Difference (points)", [100 * each for each in single], "+.2f")
    different = [int((runs[OURS][seed] != runs[TORCHS][seed]).sum()) for seed in seeds]
    table.add("Images that only one gets right", different, "d")
    history = results.history(model_set, [OURS, TORCHS]).frame
    return Finding(
        key="parity",
        title="Parity with PyTorch",
        headline=_headline(model_set, found, len(seeds)),
        chart=_chart(history),
        tables=[table],
        method=[
            "From equal weights on equal batches, outputs, weights and running statistics stay equal in float64 for 50 steps "
            "(`python -m pytest tests/nn/test_parity.py`). Over whole runs they diverge, because sums are computed in another "
            "order and training amplifies rounding differences.",
            TEST,
        ],
        notes=[
            f"Runs that differ only in rounding differ by {100 * spread:.2f} points (root mean square), in 95 of 100 cases by "
            f"up to {100 * 2.5 * spread:.1f}; such a difference between two single runs means nothing."
        ]
        if spread
        else [],
        commands=training_commands((OURS, TORCHS), model_set),
    )


def _headline(model_set: ModelSet, found: Contrast, seeds: int) -> str:
    verdict = "a significant difference" if found.p_value < SIGNIFICANT else "no significant difference"
    p_value = "" if math.isnan(found.p_value) else f", p = {p_text(found.p_value)}"
    if not found.estimate.value and not found.standard_error:
        return f"Our batch normalization and PyTorch's own end with the same predictions ({where(model_set)}, n = {seeds})."
    return (
        f"Our batch normalization minus PyTorch's own: {with_interval(found)} points of validation accuracy, {verdict} "
        f"({where(model_set)}{p_value}, n = {seeds})."
    )


def _chart(history: pd.DataFrame) -> Chart:
    metric = METRICS["loss"]
    lines = []
    for (variant, split), rows in results.over_seeds(history, "loss").groupby(["variant", "split"], sort=False):
        values = list(map(float, rows["epoch"])), [metric.on_screen(value) for value in rows["mean"]]
        named = f"{series(str(variant), [], []).name} {results.SPLITS[str(split)].lower()}"
        dash = "dot" if split == "train" else "solid"
        lines.append(series(str(variant), *values, name=named, dash=dash))
    return Chart(
        "Loss of both over the epochs, means over the runs",
        Axis("Epoch"),
        Axis("Loss (nats)"),
        (Panel(tuple(lines)),),
        digits=4,
    )
