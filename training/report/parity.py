"""Our batch normalization against torch's own, epoch by epoch: the study's sanity check."""

import functools

import pandas as pd

from normzoo.analysis import comparisons, results
from normzoo.analysis.results import METRICS, SPLITS
from normzoo.plotting import static as plots
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Drawing, Section, commands, signed, table
from training.report.pairs import p_text
from training.report.runs import data_of, recipe_of, say_n, study_command, training_commands

OURS, TORCHS = "bn", "torch-bn"
STEPS = (
    "Step by step they are the same: from equal weights on equal batches, outputs, weights and running statistics stay equal "
    "in "
    "float64 for 50 steps. `python -m pytest tests/nn/test_parity.py` checks that."
)


def parity_section(model_set: ModelSet) -> Section:
    """`bn` and `torch-bn`: the same seed, initial weights and order of images."""
    section = Section("Batch normalization from scratch against PyTorch's own")
    both = [OURS, TORCHS]
    lacking = [variant for variant in both if variant not in model_set.checkpoints]
    if lacking:
        section.add(f"`{'`, `'.join(lacking)}` is not stored for this recipe: there is nothing to compare.")
        section.add(
            commands(study_command(data_of(model_set), recipe_of(model_set), lacking), "python -m training package"), STEPS
        )
        return section
    history = results.history(model_set, both).frame
    differences = epoch_differences(history)
    section.add(say_n(model_set, both), STEPS)
    if differences.empty:
        section.add("They have no epoch in common.")
        return section
    section.add(*_words(model_set, differences), _table(differences))
    data = history.drop(columns=["seconds", "lr"]).to_csv(index=False)
    section.add(Drawing(f"{model_set.name}/parity", "BN and torch's BN", data, functools.partial(plots.panels, history)))
    section.add(commands(*training_commands(model_set, both)))
    last = _of(differences, "val", "accuracy").iloc[-1]
    section.gist = (
        f"ours minus torch's batch normalization at the end: {signed(last['difference'])} points of validation accuracy."
    )
    return section


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
        verdict = "The two trained networks can be told apart on the validation images, which rounding alone should rarely do"
    else:
        verdict = "The two trained networks cannot be told apart on the validation images"
        parted += (
            " So the curves show how far rounding alone moves a run: between norms too, a difference of this size says nothing."
        )
    return [
        parted,
        f"{verdict}: {row['only_first']} only ours gets right, {row['only_second']} only torch's (exact McNemar test, "
        f"p = {p_text(row['p_value'])}); difference {signed(row['difference'])} points, 95% interval {signed(row['low'])} to "
        f"{signed(row['high'])}.",
    ]


def _table(differences: pd.DataFrame) -> str:
    rows = []
    for split, split_title in SPLITS.items():
        for key, metric in METRICS.items():
            curve = _of(differences, split, key)
            if curve.empty:
                continue
            largest = curve.loc[curve["difference"].abs().idxmax()]
            text = signed if metric.is_fraction else (lambda value: f"{value:+.4f}".replace("-", "−"))
            rows.append(
                [
                    f"{split_title} {metric.title} ({'points' if metric.is_fraction else metric.unit})",
                    text(largest["difference"]),
                    int(largest["epoch"]),
                    text(curve["difference"].abs().mean()).removeprefix("+"),
                    text(curve.iloc[-1]["difference"]),
                ]
            )
    return table(["Ours minus torch's", "Largest", "at epoch", "Mean size", "Last epoch"], rows)
