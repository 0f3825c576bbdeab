"""Batch size: its effect on a norm with batch statistics, compared with one without; and ghost batches, parts of each batch."""

import re

import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.results import METRICS, steps_of
from normzoo.analysis.statistics import SIGNIFICANT, Contrast, Runs, compare, contrast, mean_accuracy, pooled_run_variance
from normzoo.findings.finding import (
    TEST,
    Evidence,
    Finding,
    ResultTable,
    accuracy_against,
    counts,
    interval_series,
    tested,
    training_commands,
    where,
    with_interval,
)
from normzoo.findings.original_study import batch_size_figures, nats, original_study
from normzoo.formatting import listed, p_text, signed
from normzoo.plotting.spec import Axis, Chart
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import Variant, short_name

#: The control does not depend on the batch: its change is due to the number of steps.
CONTROL, STUDIED = "gn", "bn"
_SETTING = ",statistics_batch="


def batch_size_finding(evidence: Evidence) -> Finding | None:
    """Return the effect of batch size, with the loss in both conventions, and the original study's figures."""
    sets = ((each, _finals(each)) for each in (evidence.shown, *evidence.model_sets))
    model_set, finals = next(((each, found) for each, found in sets if found["batch_size"].nunique() > 1), (None, None))
    if model_set is None or finals is None:
        return None
    found = difference_in_differences(model_set, finals)
    runs = results.correct_images(model_set, finals["variant"])[0]
    phrases = "" if found is None else _headline(model_set, found)
    return Finding(
        key="batch-size",
        title="Batch size",
        headline=phrases
        or f"Accuracy at batch sizes {listed(list(map(str, sorted(set(finals['batch_size'])))))} ({where(model_set)}).",
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
        commands=training_commands(finals["variant"], model_set),
    )


def _finals(model_set: ModelSet) -> pd.DataFrame:
    """Return final figures, norm, batch size and steps of the norms whose batch size the original study varied."""
    rows, norms = [], list(original_study()["batch_size_study_train"])
    for variant, checkpoint in model_set.checkpoints.items():
        parsed, size = Variant.parse(variant), checkpoint.metrics["provenance"].get("recipe", {}).get("batch_size")
        if parsed.norm in norms and not parsed.is_reference and size:
            rows.append((variant, parsed.norm, int(size), steps_of(checkpoint.metrics)))
    rows.sort(key=lambda row: (norms.index(row[1]), row[2]))
    own = pd.DataFrame(rows, columns=["variant", "norm", "batch_size", "steps"])
    finals = results.final_metrics(model_set, own["variant"]).frame
    return own if finals.empty else finals.merge(own, on="variant")


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
    table.add("Divided by the batch size", finals["train_loss"] / finals["batch_size"], ".5f")
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
        lines.append(interval_series(str(norm), list(map(float, ordered["batch_size"])), found))
    ticks = tuple(sorted(set(map(float, finals["batch_size"]))))
    return accuracy_against("batch size, with 95% intervals", Axis("Batch size", ticks=ticks, is_log=True), lines)


def without_ghost_batches(recipe: str) -> str:
    """Return the name of a recipe without its ghost batches: "paper,statistics_batch=4" -> "paper"."""
    return re.sub(f"{_SETTING}[0-9]+", "", recipe)


def ghost_batches_finding(evidence: Evidence) -> Finding | None:
    """Return the accuracy against the number of images that share statistics, all else equal."""
    sets = dict[int, ModelSet]()
    for each in evidence.model_sets:
        base, found, size = each.recipe.partition(_SETTING)
        if found and size.isdecimal() and (whole := evidence.find(base)) and whole.image_size == each.image_size:
            recipe = next(iter(whole.checkpoints.values())).metrics["provenance"]["recipe"]
            sets = sets or {int(recipe["batch_size"]): whole}
            sets |= {int(size): each} if without_ghost_batches(each.recipe) == next(iter(sets.values())).recipe else {}
    if len(sets) < 2:
        return None
    (full, whole), *_ = sets.items()
    norms = [key for key in whole.main_variants if any(key in each.checkpoints for each in sets.values() if each is not whole)]
    by_size = {
        size: evidence.runs(sets[size], [key for key in norms if key in sets[size].checkpoints]) for size in sorted(sets)
    }
    between_runs = pooled_run_variance(runs for found in by_size.values() for runs in found.values())
    rows = [(key, size, by_size[size][key]) for key in norms for size in by_size if key in by_size[size]]
    changes = [None if size == full else compare(runs, by_size[full][key], between_runs) for key, size, runs in rows]
    phrases = [
        f"{short_name(key)} {with_interval(change, 1)} with {size}"
        for (key, size, _), change in zip(rows, changes, strict=True)
        if change is not None
    ]
    table = ResultTable(f"Validation accuracy, and its change from statistics of all {full} images")
    table.add("Norm", [short_name(key) for key, _, _ in rows])
    table.add("Images that share statistics", [size for _, size, _ in rows], "d")
    ns = [len(runs) for _, _, runs in rows]
    table.add_accuracy("Validation accuracy (%)", [runs for _, _, runs in rows])
    table.add("n", ns, "d")
    table.add_contrasts("Change (points)", changes)
    lines = []
    for key in norms:
        points = [(size, mean_accuracy(runs, between_runs)) for each, size, runs in rows if each == key]
        lines.append(interval_series(key, [size for size, _ in points], [found for _, found in points]))
    return Finding(
        key="ghost-batches",
        title="Ghost batches",
        headline=f"With batch statistics of fewer than {full} images and equally many steps, accuracy changes by (points): "
        f"{listed(phrases)} (`{whole.recipe}` recipe, {counts(ns)}).",
        chart=accuracy_against(
            f"the number of images that share statistics, batches of {full}, with 95% intervals",
            Axis("Images that share statistics", ticks=tuple(map(float, by_size)), is_log=True),
            lines,
        ),
        tables=[table],
        method=[
            f"In training each batch of {full} is cut into parts, each normalized by its own statistics. Batch size, number of "
            "steps and evaluation stay the same, so a change is due to the statistics. Wu & Johnson 2021 (arXiv:2105.07576).",
            tested(ns),
        ],
        commands=training_commands(norms, *sets.values()),
    )
