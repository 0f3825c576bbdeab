"""Batch statistics at test time: their effect on corrupted images."""

import functools

import pandas as pd

from normzoo.analysis import robustness as analysis
from normzoo.analysis.robustness import BATCHES, BY_CLASS, CHANGED, CLEAN, MIXED, RANDOM, SHOWN_BATCH, SOURCE_WEIGHTS
from normzoo.findings.finding import Evidence, Finding, ResultTable, where
from normzoo.findings.robustness import severity_chart
from normzoo.formatting import percent
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

MEASURE = "python -m training measure batch-statistics"


def batch_statistics_finding(evidence: Evidence) -> Finding | None:
    """Return the effect of batch statistics in the shown set, or in its recipe at another image size if measured only there."""
    twins = [each for each in evidence.model_sets if each.recipe == evidence.shown.recipe and each is not evidence.shown]
    for model_set in (evidence.shown, *twins):
        frame = analysis.read_batch_statistics(model_set, model_set.main_variants)
        running = analysis.robustness(model_set, model_set.main_variants).frame
        frame = frame[frame["variant"].isin(running["variant"])]
        if not frame.empty:
            return _finding(model_set, frame, running)
    return None


def _finding(model_set: ModelSet, frame: pd.DataFrame, running: pd.DataFrame) -> Finding:
    variants = [str(variant) for variant in frame["variant"].unique()]
    clean = running.groupby("variant", sort=False)["clean"].first()
    corrupted = running.groupby("variant", sort=False)["accuracy"].mean()
    batch = functools.partial(analysis.mean_accuracy_with, frame)
    phrases = [
        f"{short_name(key)} from {percent(corrupted[key], 1)} to {percent(batch(key, 'corrupted'), 1)}%"
        + (f" ({percent(mixed, 1)}% with mixed corruptions in each batch)" if (mixed := batch(key, MIXED)) == mixed else "")
        for key in variants
    ]
    changed = [
        f"{short_name(key)} {_changed(frame, key, '8')}% (batches of 8), {_changed(frame, key, '32')}% (of 32)"
        for key in variants
    ]
    return Finding(
        key="batch-statistics",
        title="Batch statistics at test time",
        headline=f"Batch statistics ({SHOWN_BATCH} images with the same corruption) change accuracy on corrupted images: "
        f"{'; '.join(phrases)} ({where(model_set)}, n = 1).",
        chart=severity_chart(
            analysis.by_severity(running[running["variant"].isin(variants)]), analysis.by_severity_with_batches(frame)
        ),
        tables=[_table(frame, clean, corrupted)],
        method=[
            "In evaluation batch and batch-instance normalization use running statistics, an exponential average over the "
            "last batches of training. Here they use the statistics of the test batch (prediction-time batch normalization), "
            f"or a blend in which the running statistics count as {SOURCE_WEIGHTS[-1]} images (Schneider et al. 2020). No "
            "weight changes. n = 1: the packaged runs.",
            "Mixed: every image under every corruption and severity, in random order.",
        ],
        notes=[
            "Accuracy collapses in batches sorted by class: most batches of 8 then contain one class, and normalization "
            "removes what its images have in common.",
            f"Share of predictions that change in other random batches: {'; '.join(changed)}.",
        ],
        commands=[MEASURE],
    )


def _changed(frame: pd.DataFrame, variant: str, batch: str) -> str:
    rows = frame[(frame["variant"] == variant) & (frame["batch"] == batch) & (frame["source_weight"] == 0)]
    found = rows[CHANGED].dropna()
    return percent(found.iloc[0], 1) if len(found) else "–"


def _table(frame: pd.DataFrame, clean: pd.Series, corrupted: pd.Series) -> ResultTable:
    kinds = (
        ("clean", clean, CLEAN, RANDOM, 0),
        ("clean, sorted by class", clean, CLEAN, BY_CLASS, 0),
        ("corrupted", corrupted, "corrupted", RANDOM, 0),
        (f"corrupted, blend with {SOURCE_WEIGHTS[-1]}", corrupted, "corrupted", RANDOM, SOURCE_WEIGHTS[-1]),
        ("corrupted, mixed", corrupted, MIXED, RANDOM, 0),
        (f"corrupted, mixed, blend with {SOURCE_WEIGHTS[-1]}", corrupted, MIXED, RANDOM, SOURCE_WEIGHTS[-1]),
    )
    rows = [
        [f"{short_name(key)}, {words}", running[key]]
        + [analysis.mean_accuracy_with(frame, key, images, batch, order, weight) for batch in BATCHES]
        for key in map(str, frame["variant"].unique())
        for words, running, images, order, weight in kinds
    ]
    table = ResultTable("Accuracy (%) with running statistics, and with statistics of batches; n = 1")
    titles = ("Network, images", "Running", *(f"Batches of {each}" if each != "all" else "All together" for each in BATCHES))
    table.add(titles[0], [row[0] for row in rows])
    for place, title in enumerate(titles[1:], start=1):
        table.add(title, [100 * row[place] for row in rows], ".1f")
    return table
