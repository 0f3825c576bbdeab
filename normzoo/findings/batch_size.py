"""Batch size: its effect on a norm with batch statistics, compared with one without."""

from collections.abc import Sequence

import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.reference_study import batch_size_figures, nats
from normzoo.analysis.results import METRICS, by_batch_size
from normzoo.analysis.statistics import SIGNIFICANT, Contrast, Runs, contrast, mean_accuracy, pooled_run_variance
from normzoo.findings.finding import TEST, Evidence, Finding, ResultTable, counts, training_commands, where, with_interval
from normzoo.formatting import listed, p_text, signed
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

#: The control does not depend on the batch: its change is due to the number of steps.
CONTROL, STUDIED = "gn", "bn"


def batch_size_finding(evidence: Evidence) -> Finding | None:
    """Return the effect of batch size, with the loss in both conventions, and the original study's figures."""
    model_set = next((each for each in (evidence.shown, *evidence.model_sets) if len(_sizes(each)) > 1), None)
    if model_set is None:
        return None
    finals = by_batch_size(model_set)
    found = difference_in_differences(model_set, finals)
    runs = results.correct_images(model_set, finals["variant"])[0]
    phrases = "" if found is None else _headline(model_set, found)
    return Finding(
        key="batch-size",
        title="Batch size",
        headline=phrases
        or f"Accuracy at batch sizes {listed([str(size) for size in _sizes(model_set)])} ({where(model_set)}).",
        chart=_chart(finals, runs),
        tables=[_table(finals)],
        method=[
            "The number of epochs and the learning rate are the same, so a larger batch means fewer steps: "
            f"{_steps(finals)}. {short_name(CONTROL)} does not depend on the batch, so its change measures the effect of "
            "fewer steps. If that affects both norms equally, the remaining difference is due to batch statistics.",
            TEST,
        ],
        notes=[
            "The original study divides its loss by the batch size once more, so it falls as the batch grows; the table also "
            "has it in nats per image.",
        ],
        commands=training_commands(model_set, finals["variant"]),
    )


def _sizes(model_set: ModelSet) -> list[int]:
    finals = by_batch_size(model_set)
    return [] if finals.empty else sorted(set(map(int, finals["batch_size"])))


def difference_in_differences(model_set: ModelSet, finals: pd.DataFrame) -> tuple[list[int], list[float], Contrast] | None:
    """Return the smallest and the largest batch size, how accuracy changes between them for the studied norm and for the
    control, and the contrast of the two changes; None where one of the four was not trained.
    """
    by_norm = {norm: rows.set_index("batch_size")["variant"] for norm, rows in finals.groupby("norm", sort=False)}
    if not {STUDIED, CONTROL} <= by_norm.keys():
        return None
    common = sorted(set(by_norm[STUDIED].index) & set(by_norm[CONTROL].index))
    if len(common) < 2:
        return None
    ends = [int(common[0]), int(common[-1])]
    variants = [str(by_norm[norm][size]) for norm in (STUDIED, CONTROL) for size in ends]
    found, unreadable = results.correct_images(model_set, variants)
    if unreadable or len({len(next(iter(runs.values()))) for runs in found.values()}) > 1:
        return None
    cells = [found[variant] for variant in variants]
    between_runs = pooled_run_variance(cells)
    changes = [contrast(cells[at : at + 2], [-1.0, 1.0], between_runs).estimate.value for at in (0, 2)]
    return ends, changes, contrast(cells, [-1.0, 1.0, 1.0, -1.0], between_runs)


def _headline(model_set: ModelSet, found: tuple[list[int], list[float], Contrast]) -> str:
    (small, large), (studied, control), beyond = found
    verdict = "suggestive" if beyond.p_value < SIGNIFICANT else "not significantly different from zero"
    verdict = "significant" if beyond.p_value < SIGNIFICANT / 5 else verdict
    p_value = "" if pd.isna(beyond.p_value) else f", p = {p_text(beyond.p_value)}"
    return (
        f"From batch size {small} to {large} accuracy changes by {signed(studied, 1)} points for {short_name(STUDIED)} and by "
        f"{signed(control, 1)} for {short_name(CONTROL)}; the difference of {with_interval(beyond, 1)} is {verdict} "
        f"({where(model_set)}{p_value}, {counts(beyond.runs)})."
    )


def _steps(finals: pd.DataFrame) -> str:
    known = finals.dropna(subset=["steps"]).drop_duplicates("batch_size").sort_values("batch_size")
    return listed([f"{int(row.steps):,} steps at batch size {row.batch_size}" for row in known.itertuples()])


def _table(finals: pd.DataFrame) -> ResultTable:
    table = ResultTable("After the last epoch, by batch size")
    table.add("Norm", [short_name(norm) for norm in finals["norm"]])
    table.add("Batch size", finals["batch_size"], "d")
    table.add("Steps", [None if pd.isna(steps) else int(steps) for steps in finals["steps"]], ",d")
    for split, title in results.SPLITS.items():
        metric = METRICS["accuracy"]
        texts = [metric.with_sd(row[f"{split}_accuracy"], row[f"{split}_accuracy_sd"]) for row in finals.to_dict("records")]
        table.add(f"{title} accuracy (%)", 100 * finals[f"{split}_accuracy"], higher_is_better=True, texts=texts)
    table.add("Training loss (nats)", finals["train_loss"], ".4f", higher_is_better=False)
    table.add("Divided by the batch size", finals["train_loss_divided"], ".5f")
    sized = list(zip(finals["norm"], map(int, finals["batch_size"]), strict=True))
    printed = [(batch_size_figures(norm, size) or {}).get("loss") for norm, size in sized]
    in_nats = [None if loss is None else nats(loss, size) for loss, (_, size) in zip(printed, sized, strict=True)]
    table.add("Original (nats)", in_nats, ".4f")
    table.add("Original, as printed", printed, ".5f")
    table.add("n", finals["n"], "d")
    return table


def _chart(finals: pd.DataFrame, runs: dict[str, Runs]) -> Chart:
    lines = []
    for norm, rows in finals.groupby("norm", sort=False):
        ordered = rows[rows["variant"].isin(runs)].sort_values("batch_size")
        between_runs = pooled_run_variance(runs.values())
        found = [mean_accuracy(runs[variant], between_runs) for variant in ordered["variant"]]
        ends = {end: [100 * getattr(each, end) for each in found] for end in ("low", "high")}
        lines.append(series(str(norm), list(map(float, ordered["batch_size"])), [100 * each.value for each in found], **ends))
    sizes: Sequence[float] = sorted(set(map(float, finals["batch_size"])))
    return Chart(
        "Validation accuracy against batch size, with 95% intervals",
        Axis("Batch size", ticks=tuple(sizes), is_log=True),
        Axis("Validation accuracy (%)"),
        (Panel(tuple(lines)),),
    )
