"""Our batch normalization against torch's own, epoch by epoch: the study's sanity check."""

import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.comparisons import SIGNIFICANT
from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.analysis.results import METRICS, SPLITS
from normzoo.analysis.statistics import holm, mcnemar
from normzoo.formatting import listed, p_text, percent, signed
from normzoo.pretrained.registry import ModelSet

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
    runs = _single_runs(model_set)
    told = listed([signed(each) for each in runs["difference"]]) if len(runs) else "not known in"
    summary = f"ours minus torch's batch normalization at the end, run by run: {told} points of validation accuracy."
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
    parted = (
        "Over whole runs they part: both compute the same formula but add in another order, and training multiplies "
        "differences in the last bits."
    )
    runs = _single_runs(model_set)
    if runs.empty:
        return [parted]
    if not runs["apart"].any():
        return [parted, "At the end they answer every validation image alike."]
    differences, p_values = (listed(texts) for texts in ([*map(signed, runs["difference"])], [*map(p_text, runs["p_value"])]))
    told = (
        f"Run by run (seed {listed([str(seed) for seed in runs['seed']])}) ours minus torch's is {differences} points of "
        f"validation accuracy at the end; exact McNemar test, p = {p_values}. Up to {max(runs['apart'])} images are answered "
        "right by only one of the two."
    )
    if min(holm(runs["p_value"].tolist())) < SIGNIFICANT:
        return [parted, f"{told} Corrected for the runs (Holm), one can be told apart, which rounding alone should rarely do."]
    hidden = " Means over the seeds, as in the figures below, can hide it, as signs cancel." if len(runs) > 1 else ""
    return [
        parted,
        f"{told} None can be told apart (Holm), so a difference of up to {percent(runs['difference'].abs().max())} points "
        f"between two single runs, of two norms too, may be rounding alone.{hidden}",
    ]


def _single_runs(model_set: ModelSet) -> pd.DataFrame:
    """Return one row per seed that both have: `seed`, `difference` (ours minus torch's), `apart` (images), `p_value`."""
    correct, _ = results.correct_images(model_set, [OURS, TORCHS])
    if len(correct) < 2:
        return pd.DataFrame()
    ours, torchs = correct[OURS], correct[TORCHS]
    rows = []
    for seed in (each for each in sorted(ours.keys() & torchs.keys()) if len(ours[each]) == len(torchs[each])):
        test = mcnemar(ours[seed], torchs[seed])
        apart = test.only_first + test.only_second
        rows.append([seed, float(ours[seed].mean() - torchs[seed].mean()), apart, test.p_value])
    return pd.DataFrame(rows, columns=["seed", "difference", "apart", "p_value"])


def _figures(differences: pd.DataFrame) -> Figures:
    curves = {(split, key): curve for split in SPLITS for key in METRICS if not (curve := _of(differences, split, key)).empty}
    largest = [curve.loc[curve["difference"].abs().idxmax()] for curve in curves.values()]
    units = [100 if METRICS[key].is_fraction else 1 for _, key in curves]
    table = Figures("Ours minus torch's, means over the seeds: points, or nats")
    table.add("Ours minus torch's", [f"{SPLITS[split]} {METRICS[key].title}" for split, key in curves])
    for title, values, pattern in (
        ("Largest", [row["difference"] for row in largest], "+.4f"),
        ("Mean size", [curve["difference"].abs().mean() for curve in curves.values()], ".4f"),
        ("Last epoch", [curve.iloc[-1]["difference"] for curve in curves.values()], "+.4f"),
    ):
        table.add(title, [unit * value for unit, value in zip(units, values, strict=True)], pattern)
    table.add("Largest at epoch", [int(row["epoch"]) for row in largest], "d")
    return table
