"""Ghost batches: statistics of a part of each batch, at the same batch size and number of steps."""

import re

from normzoo.analysis.statistics import SIGNIFICANT, holm, mean_accuracy, pooled_run_variance
from normzoo.findings.finding import (
    PACKAGE,
    SINGLE_RUN,
    TEST,
    Evidence,
    Finding,
    ResultTable,
    compare,
    counts,
    training_commands,
    with_interval,
)
from normzoo.findings.learning_rate import mean_sd
from normzoo.formatting import listed, p_text
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

_SETTING = ",statistics_batch="


def without_ghost_batches(recipe: str) -> str:
    """Return the name of a recipe without its ghost batches: "paper,statistics_batch=4" -> "paper"."""
    return re.sub(f"{_SETTING}[0-9]+", "", recipe)


def ghost_batches_finding(evidence: Evidence) -> Finding | None:
    """Return the accuracy against the number of images that share statistics, all else equal."""
    sets = dict[int, ModelSet]()
    for each in evidence.model_sets:
        base, found, size = each.recipe.partition(_SETTING)
        if found and size.isdecimal() and (whole := evidence.find(base)) and whole.image_size == each.image_size:
            sets = sets or {_batch_size(whole): whole}
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
    tested = [each for each in changes if each is not None]
    p_values = iter(holm([each.p_value for each in tested]))
    corrected = [None if each is None else next(p_values) for each in changes]
    phrases = [
        f"{short_name(key)} {with_interval(change, 1)} with {size}"
        for (key, size, _), change in zip(rows, changes, strict=True)
        if change is not None
    ]
    table = ResultTable(f"Validation accuracy, and its change from statistics of all {full} images")
    table.add("Norm", [short_name(key) for key, _, _ in rows])
    table.add("Images that share statistics", [size for _, size, _ in rows], "d")
    values = [[100 * float(run.mean()) for run in runs.values()] for _, _, runs in rows]
    means = [sum(each) / len(each) for each in values]
    table.add("Validation accuracy (%)", means, higher_is_better=True, texts=[mean_sd(each) for each in values])
    table.add("n", [len(each) for each in values], "d")
    table.add_interval("Change (points)", changes)
    table.add("p (Holm)", corrected, texts=["–" if p is None or p != p else p_text(p) for p in corrected])
    table.add("Significant", ["–" if p is None else "yes" if p < SIGNIFICANT else "no" for p in corrected])
    lines = []
    for key in norms:
        points = [(size, mean_accuracy(runs, between_runs)) for each, size, runs in rows if each == key]
        ends = {end: [100 * getattr(found, end) for _, found in points] for end in ("low", "high")}
        lines.append(series(key, [size for size, _ in points], [100 * found.value for _, found in points], **ends))
    single = any(len(each) == 1 for each in values)
    return Finding(
        key="ghost-batches",
        title="Ghost batches",
        headline=f"With batch statistics of fewer than {full} images and equally many steps, accuracy changes by (points): "
        f"{listed(phrases)} (`{whole.recipe}` recipe, {counts(map(len, values))}).",
        chart=Chart(
            f"Validation accuracy against the number of images that share statistics, batches of {full}, with 95% intervals",
            Axis("Images that share statistics", ticks=tuple(map(float, by_size)), is_log=True),
            Axis("Validation accuracy (%)"),
            (Panel(tuple(lines)),),
        ),
        tables=[table],
        method=[
            f"In training each batch of {full} is cut into parts, each normalized by its own statistics. Batch size, number of "
            "steps and evaluation stay the same, so a change is due to the statistics. Wu & Johnson 2021 (arXiv:2105.07576).",
            f"{TEST} {SINGLE_RUN}" if single else TEST,
        ],
        commands=[*(line for each in sets.values() for line in training_commands(each, norms) if line != PACKAGE), PACKAGE],
    )


def _batch_size(model_set: ModelSet) -> int:
    recipe = next(iter(model_set.checkpoints.values())).metrics["provenance"]["recipe"]
    return int(recipe["batch_size"])
