"""Accuracy after the last epoch."""

from collections.abc import Mapping
from typing import Any

from normzoo.analysis import results
from normzoo.analysis.results import METRICS, SPLITS
from normzoo.analysis.statistics import Runs, accuracy, kendall_tau, mean_accuracy, pooled_run_variance
from normzoo.findings.finding import Evidence, Finding, ResultTable, counts, interval_row, training_commands, where
from normzoo.findings.pairs import compare_pairs, rank, similar
from normzoo.formatting import listed, minus, percent
from normzoo.nn.registry import describe_norm
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.variants import short_name


def accuracy_finding(evidence: Evidence) -> Finding | None:
    """Return the accuracy of the shown set's norms after the last epoch."""
    runs = evidence.shown_runs
    if not runs:
        return None
    order = sorted(runs, key=lambda variant: -accuracy(runs[variant]))
    rows = results.final_metrics(
        evidence.shown, [*order, *(key for key in evidence.shown.checkpoints if key not in runs)]
    ).frame
    several = max(map(len, runs.values())) > 1
    return Finding(
        key="accuracy",
        title="Accuracy",
        headline=lead_words(evidence),
        chart=accuracy_chart(runs),
        tables=[finals_table(rows.to_dict("records"))],
        method=[
            "Measured after the last epoch in evaluation mode. Validation accuracy was monitored during training; there is no "
            "separate test set. Loss: mean cross entropy per image, in nats. "
            + (
                "± is the standard deviation between runs; intervals are over runs and images."
                if several
                else "Intervals: Wilson's."
            ),
            "Every image has one label, so micro F1 equals accuracy.",
        ],
        notes=[*_fit(rows.to_dict("records"), set(runs)), *_remarks(order)],
        commands=training_commands(evidence.shown.checkpoints, evidence.shown),
    )


def lead_words(evidence: Evidence) -> str:
    """Return the leading norms, those without a significant difference from the best, and the others, in one sentence."""
    runs = evidence.shown_runs
    means = {variant: percent(accuracy(each), 1) for variant, each in runs.items()}
    ns, place = counts(map(len, runs.values())), where(evidence.shown)
    pairs = compare_pairs(evidence)
    if not pairs:
        return "".join(f"{short_name(key)} reaches {mean}% validation accuracy ({place}, {ns})." for key, mean in means.items())
    order = rank(pairs)
    phrases = {key: f"{short_name(key)} {means[key]}%" for key in order}
    if any(len(each) == 1 for each in runs.values()):
        return f"Validation accuracy: {listed(list(phrases.values()))} ({place}, {ns}: single runs)."
    first = similar(pairs)[0]
    rest = [phrases[key] for key in order if key not in first]
    lead = f"{listed([phrases[key] for key in first])} {'leads' if len(first) == 1 else 'lead'}"
    return f"{lead}{f'; {listed(rest)}' if rest else ''} (validation accuracy, {place}, {ns})."


def accuracy_chart(runs: Mapping[str, Runs]) -> Chart:
    """Return each norm's mean accuracy with its interval and its runs."""
    order = sorted(runs, key=lambda variant: -accuracy(runs[variant]))
    between_runs = pooled_run_variance(runs.values())
    points = []
    for place, key in enumerate(order):
        found = mean_accuracy(runs[key], between_runs)
        each = [100 * float(run.mean()) for run in runs[key].values()]
        if len(each) > 1:
            small = {"dash": None, "is_listed": False, "marker": "x", "is_faint": True}
            points.append(series(key, each, [place] * len(each), name=f"{short_name(key)}, runs", **small))
        points.append(interval_row(key, place, found))
    return Chart(
        "Validation accuracy with 95% intervals (×: single runs)",
        Axis("Validation accuracy (%)"),
        Axis(names=tuple(short_name(key) for key in order)),
        (Panel(tuple(points)),),
        is_sideways=True,
    )


def finals_table(rows: list[dict[str, Any]]) -> ResultTable:
    """Return `results.final_metrics` for display: means over the runs ± standard deviation."""
    table = ResultTable("After the last epoch")
    table.add("Network", [short_name(row["variant"]) for row in rows])
    for split, key in (("val", "accuracy"), ("val", "macro_f1"), ("val", "loss"), ("train", "accuracy"), ("train", "loss")):
        metric = METRICS[key]
        table.add(
            f"{SPLITS[split]} {metric.title} ({metric.unit})",
            [metric.on_screen(row[f"{split}_{key}"]) for row in rows],
            higher_is_better=metric.higher_is_better,
            texts=[metric.with_sd(row[f"{split}_{key}"], row[f"{split}_{key}_sd"]) for row in rows],
        )
    gaps = [100 * (row["train_accuracy"] - row["val_accuracy"]) for row in rows]
    table.add("Gap (points)", gaps, "+.1f", higher_is_better=False)
    table.add("Parameters", [row["parameters"] for row in rows], ",d")
    table.add("n", [row["n"] for row in rows], "d")
    return table


def _fit(rows: list[dict[str, Any]], main: set[str]) -> list[str]:
    """Return how far the ranking follows the training loss."""
    rows = [row for row in rows if row["variant"] in main]
    if len(rows) < 3:
        return []
    tau = kendall_tau([row["val_accuracy"] for row in rows], [row["train_loss"] for row in rows])
    words = "Ranking by validation accuracy against ranking by training loss: Kendall's τ = "
    reversed_ = ": the norm that fits the training images best leads." if tau < -0.999 else "."
    return [minus(f"{words}{tau:.2f}{reversed_}")]


def _remarks(variants: list[str]) -> list[str]:
    phrases = [f"{short_name(key)}: {describe_norm(key).remark}" for key in variants if describe_norm(key).remark]
    return [" ".join(phrases)] if phrases else []
