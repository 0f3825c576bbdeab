"""Our batch normalization against torch's own, epoch by epoch: the study's sanity check."""

import pandas as pd

from normzoo.analysis import comparisons, results
from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.analysis.findings.pairs import verdict
from normzoo.analysis.results import METRICS, SPLITS
from normzoo.pretrained.registry import ModelSet
from normzoo.words import p_text, signed

OURS, TORCHS = "bn", "torch-bn"
STEPS = (
    "Step by step they are the same: from equal weights on equal batches, outputs, weights and running statistics stay equal "
    "in "
    "float64 for 50 steps. `python -m pytest tests/nn/test_parity.py` checks that."
)


def parity_finding(model_set: ModelSet) -> tuple[Finding, pd.DataFrame]:
    """Return what the runs of `bn` and `torch-bn` say, and their history: the same seeds, initial weights and order of
    images.
    """
    lacking = [variant for variant in (OURS, TORCHS) if variant not in model_set.checkpoints]
    if lacking:
        words = f"`{'`, `'.join(lacking)}` is not stored for this recipe: there is nothing to compare."
        return Finding(paragraphs=[words, STEPS]), pd.DataFrame()
    history = results.history(model_set, [OURS, TORCHS]).frame
    differences = epoch_differences(history)
    if differences.empty:
        return Finding(paragraphs=["They have no epoch in common.", STEPS]), history
    last = _of(differences, "val", "accuracy").iloc[-1]
    summary = f"ours minus torch's batch normalization at the end: {signed(last['difference'])} points of validation accuracy."
    return Finding(summary, [STEPS, *_words(model_set, differences)], tables=[_figures(differences)]), history


def epoch_differences(history: pd.DataFrame) -> pd.DataFrame:
    """One row per split, metric and epoch that both have: `difference`, ours minus torch's, of the means over common seeds."""
    rows = []
    common = set(history[history["variant"] == OURS]["seed"]) & set(history[history["variant"] == TORCHS]["seed"])
    history = history[history["seed"].isin(common)]
    for key in METRICS:
        wide = results.over_seeds(history, key).pivot_table(index=["split", "epoch"], columns="variant", values="mean")
        if not {OURS, TORCHS} <= set(wide.columns):
            continue
        for (split, epoch), values in wide.dropna().iterrows():
            rows.append({"split": split, "metric": key, "epoch": epoch, "difference": values[OURS] - values[TORCHS]})
    return pd.DataFrame(rows, columns=["split", "metric", "epoch", "difference"])


def _of(differences: pd.DataFrame, split: str, metric: str) -> pd.DataFrame:
    chosen = differences[(differences["split"] == split) & (differences["metric"] == metric)]
    return chosen.sort_values("epoch")


def _words(model_set: ModelSet, differences: pd.DataFrame) -> list[str]:
    """Do the two part over whole runs, and by more than chance?"""
    if (differences["difference"] == 0).all():
        return ["All figures of all epochs are the same to the last stored digit."]
    rows = comparisons.pairs(model_set, [OURS, TORCHS]).frame.to_dict("records")
    parted = (
        "Over whole runs they part: both compute the same formula but add in another order, and training multiplies "
        "differences in the last bits."
    )
    if not rows:
        return [parted]
    row = rows[0]
    if row["significant"]:
        words = "The two trained networks can be told apart on the validation images, which rounding alone should rarely do"
    else:
        words = "The two trained networks cannot be told apart on the validation images"
        parted += (
            " So the curves show how far rounding alone moves a run: a lower bound, since another seed moves it more. Between "
            "norms too, a difference of this size says nothing."
        )
    return [
        parted,
        f"{words}: {row['only_first']} only ours gets right, {row['only_second']} only torch's (exact McNemar test, seed "
        f"{row['seed']}, p = {p_text(row['p_value'])}); difference {verdict(pd.Series(row))}.",
    ]


def _figures(differences: pd.DataFrame) -> Figures:
    curves = {(split, key): curve for split in SPLITS for key in METRICS if not (curve := _of(differences, split, key)).empty}
    largest = [curve.loc[curve["difference"].abs().idxmax()] for curve in curves.values()]
    units = [100 if METRICS[key].is_fraction else 1 for _, key in curves]
    table = Figures("Ours minus torch's: points, or nats")
    table.add("Ours minus torch's", [f"{SPLITS[split]} {METRICS[key].title}" for split, key in curves])
    for title, values, pattern in (
        ("Largest", [row["difference"] for row in largest], "+.4f"),
        ("Mean size", [curve["difference"].abs().mean() for curve in curves.values()], ".4f"),
        ("Last epoch", [curve.iloc[-1]["difference"] for curve in curves.values()], "+.4f"),
    ):
        table.add(title, [unit * value for unit, value in zip(units, values, strict=True)], pattern)
    table.add("Largest at epoch", [int(row["epoch"]) for row in largest], "d")
    return table
