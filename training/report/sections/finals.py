"""Where the networks of one recipe end: final figures, intervals, the gap to training, epochs to reach accuracies."""

import functools

import numpy as np
import pandas as pd

from normzoo.analysis import comparisons, results
from normzoo.analysis.commands import training_commands
from normzoo.analysis.findings.finals import finals_figures
from normzoo.analysis.results import METRICS, SPLITS
from normzoo.formatting import listed, percent, signed
from normzoo.nn.registry import describe_norm
from normzoo.plotting import static as plots
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name
from training.report.markdown import Drawing, Section, bare_table, bullets, commands, details, table
from training.report.runs import machines, present, say_n


def finals_section(model_set: ModelSet) -> Section:
    """Everything that was measured after the last epoch, of all variants of a set."""
    section = Section("Final figures")
    everyone = list(model_set.checkpoints)
    main = model_set.main_variants
    finals, accuracies = results.final_metrics(model_set, everyone), comparisons.accuracies(model_set, everyone)
    section.add(say_n(model_set, everyone), bare_table(finals_figures(finals.frame)))
    section.add(
        "Accuracies and F1 in per cent; loss is the mean cross entropy per image in nats. Training figures are measured after "
        "the last epoch, in evaluation mode. Every image has one label, so micro F1 equals accuracy; scikit-learn computes it "
        "all the same."
    )
    remarks = [f"{short_name(norm)}: {describe_norm(norm).remark}" for norm in main if describe_norm(norm).remark]
    section.add(*([bullets(remarks)] if remarks else []))
    if not accuracies.frame.empty:
        section.add(_intervals(accuracies.frame), _gap_words(accuracies.frame))
        name, data = f"{model_set.name}/accuracy", accuracies.frame.round(6).to_csv(index=False)
        draw = functools.partial(plots.accuracies, accuracies.frame)
        section.add(Drawing(name, "Validation accuracy with 95% intervals", data, draw))
        section.summary = _summary(accuracies.frame, main)
    section.add(*_values(model_set, everyone))
    history = results.history(model_set, everyone)
    section.add(*_speed(history.frame))
    problems = {**model_set.problems, **finals.problems, **accuracies.problems, **history.problems}
    section.add(*[f"{short_name(variant)} cannot be shown in full: {reason}" for variant, reason in problems.items()])
    section.add("Where they were trained:", machines(model_set, everyone))
    section.add(commands(*training_commands(model_set, everyone)))
    return section


def levels(history: pd.DataFrame) -> list[float]:
    """The accuracies that the curves are asked for: every tenth from 0.2 to the best one reached."""
    best = results.over_seeds(history[history["split"] == "val"], "accuracy")["mean"].max() if len(history) else 0.0
    return [round(level, 1) for level in np.arange(0.2, 1.0, 0.1) if level <= best]


def _intervals(accuracies: pd.DataFrame) -> str:
    rows = [
        [
            short_name(row["variant"]),
            row["n"],
            ", ".join(percent(value) for value in row["values"]),
            percent(row["mean"]) + (f" ± {percent(row['sd'])}" if row["n"] > 1 else ""),
            f"{percent(row['low'])} to {percent(row['high'])}",
            signed(row["gap"]),
        ]
        for row in accuracies.to_dict("records")
    ]
    kind = "Wilson's, over images" if (accuracies["n"] == 1).all() else "bootstrap over images and seeds (n = 1: Wilson's)"
    header = [
        "Network",
        "n",
        "Validation accuracy by seed (%)",
        "Mean (%)",
        f"95% interval ({kind})",
        "Gap to training (points)",
    ]
    return table(header, rows)


def _gap_words(accuracies: pd.DataFrame) -> str:
    ordered = accuracies.sort_values("gap", kind="stable").to_dict("records")
    words = "The generalization gap is training accuracy minus validation accuracy"
    if len(ordered) < 2:
        return f"{words}."
    small, large = ordered[0], ordered[-1]
    return (
        f"{words}: smallest for {short_name(small['variant'])} ({signed(small['gap'])} points), largest for "
        f"{short_name(large['variant'])} ({signed(large['gap'])})."
    )


def _summary(accuracies: pd.DataFrame, main: list[str]) -> str:
    ordered = accuracies[accuracies["variant"].isin(main)].sort_values("mean", ascending=False, kind="stable")
    if ordered.empty:
        return ""
    words = [f"{short_name(row['variant'])} {percent(row['mean'], 1)}" for row in ordered.to_dict("records")]
    counts = sorted(set(ordered["n"]))
    return f"validation accuracy in per cent, best first: {listed(words)} (n = {listed([str(n) for n in counts])})."


def _values(model_set: ModelSet, variants: list[str]) -> list[str | Drawing]:
    """Every figure of every seed, where there is more than one."""
    rows = []
    for variant in present(model_set, variants):
        metrics = model_set.checkpoints[variant].metrics
        if len(metrics["seeds"]) > 1:
            for position, seed in enumerate(metrics["seeds"]):
                figures = [
                    METRICS[key].text(metrics["final"][split][key]["values"][position]) for split in SPLITS for key in METRICS
                ]
                rows.append([short_name(variant), seed, *figures])
    header = ["Network", "Seed", *[f"{title} {metric.title}" for title in SPLITS.values() for metric in METRICS.values()]]
    return details("Every figure of every seed", table(header, rows)) if rows else []


def _speed(history: pd.DataFrame) -> list[str | Drawing]:
    """How fast they learned."""
    asked = levels(history)
    if not asked:
        return []
    speed = comparisons.speed(history, asked)
    rows = [
        [short_name(row["variant"]), *["–" if row[level] is None else row[level] for level in asked]]
        for row in speed.to_dict("records")
    ]
    words = "Epochs until the validation accuracy (mean over the seeds) first reached a level; a dash where it never did."
    return [words, table(["Network", *[f"{100 * level:.0f}%" for level in asked]], rows)]
