"""Effect of the batch size on the number of steps, on the loss in either convention, and on accuracy."""

from collections.abc import Sequence

import pandas as pd

from normzoo.analysis import comparisons, results
from normzoo.analysis.batch_sizes import by_batch_size, norms_of_study
from normzoo.analysis.findings.finding import Figures, Finding, beyond_words
from normzoo.analysis.reference_study import batch_size_figures, nats, original_study
from normzoo.analysis.results import METRICS, SPLITS, chance_loss
from normzoo.formatting import listed, percent, signed
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

#: The original study's loss.
DIVIDED = "loss divided by the batch size"
#: The norm that never sees the batch: what changes for it comes from the number of steps.
CONTROL, STUDIED = "gn", "bn"


def batch_size_finding(model_set: ModelSet, norms: Sequence[str]) -> Finding:
    """Return what the runs of these norms at several batch sizes say, in both conventions of the loss, beside the original."""
    finals = by_batch_size(model_set, norms)
    if finals.empty:
        return Finding()
    by_norm = {str(norm): rows.sort_values("batch_size") for norm, rows in finals.groupby("norm", sort=False)}
    control = _beyond_the_steps(model_set, by_norm)
    return Finding(
        summary=" ".join(control) or " ".join(_accuracies(norm, rows) for norm, rows in by_norm.items()),
        paragraphs=[*_steps(finals), *control],
        points=[line for norm, rows in by_norm.items() for line in _of_norm(norm, rows)],
        tables=[_figures(finals)],
    )


def _steps(finals: pd.DataFrame) -> list[str]:
    known = finals.dropna(subset=["steps"]).drop_duplicates("batch_size").sort_values("batch_size")
    if len(known) < 2:
        return []
    told = [f"{int(row.steps):,} at batch size {row.batch_size}" for row in known.itertuples()]
    return [
        "All networks were trained for as many epochs at the same learning rate, so a larger batch also means fewer steps: "
        f"{listed(told)}."
    ]


def _beyond_the_steps(model_set: ModelSet, by_norm: dict[str, pd.DataFrame]) -> list[str]:
    """Return what batch statistics may explain: BN's change minus that of GN, which never sees the batch."""
    if not {STUDIED, CONTROL} <= by_norm.keys():
        return []
    common = sorted(set(by_norm[STUDIED]["batch_size"]) & set(by_norm[CONTROL]["batch_size"]))
    if len(common) < 2:
        return []
    small, large = common[0], common[-1]
    named = {
        norm: [str(by_norm[norm].set_index("batch_size").loc[size, "variant"]) for size in (small, large)]
        for norm in (STUDIED, CONTROL)
    }
    correct, unreadable = results.correct_images(model_set, [*named[STUDIED], *named[CONTROL]])
    if unreadable:
        return []
    change = comparisons.controlled_change(*([correct[variant] for variant in named[norm]] for norm in (STUDIED, CONTROL)))
    if change is None:
        return []
    studied, control = short_name(STUDIED), short_name(CONTROL)
    return [
        f"{control} never sees the batch: it is the control for what a batch size does to the optimization (the number of "
        f"steps, the noise in each). From batch size {small} to {large} validation accuracy changes by "
        f"{signed(change.studied)} points for {studied} and by {signed(change.control)} for {control}. If the optimization "
        f"costs both as much, the rest is due to batch statistics: {beyond_words(change)}."
    ]


def _accuracies(norm: str, rows: pd.DataFrame) -> str:
    told = listed([f"{percent(row.val_accuracy)}% at {row.batch_size}" for row in rows.itertuples()])
    return f"{short_name(norm)}: validation accuracy {told}."


def _of_norm(norm: str, rows: pd.DataFrame) -> list[str]:
    lines = [_accuracies(norm, rows)]
    if len(rows) < 2:
        return [f"{lines[0]} There is no other batch size to compare it with yet."]
    first, last = rows.iloc[0], rows.iloc[-1]
    sizes = (int(first["batch_size"]), int(last["batch_size"]))
    ours = (first["train_loss"], last["train_loss"])
    move = "barely moves" if abs(ours[1] / ours[0] - 1) < 0.005 else "rises" if ours[1] > ours[0] else "falls"
    lines.append(
        f"{short_name(norm)} here: the training loss per image {move}, {ours[0]:.4f} to {ours[1]:.4f} nats "
        f"(× {ours[1] / ours[0]:.2f}), from batch size {sizes[0]} to {sizes[1]}; divided by the batch size once more, as the "
        f"original does, it goes from {ours[0] / sizes[0]:.5f} to {ours[1] / sizes[1]:.5f}, of which the division alone makes "
        f"× {sizes[0] / sizes[1]:.4f}."
    )
    return lines + _original(norm, *sizes)


def _original(norm: str, small: int, large: int) -> list[str]:
    """Return what the original's training losses say between two batch sizes; nothing where it lacks one of them."""
    figures = [batch_size_figures(norm, size) for size in (small, large)]
    losses = [found["loss"] for found in figures if found and found["loss"] is not None]
    if len(losses) < len(figures):
        return []
    name, guessing = short_name(norm), chance_loss(original_study()["architecture"]["classes_r"])
    lines = []
    if copied := same_figures_as(norm, small):
        lines.append(f"The original's figures of {name} at batch size {small} are, digit for digit, those of {copied}: a slip.")
    for size, loss in zip((small, large), losses, strict=True):
        if nats(loss, size) > guessing:
            lines.append(
                f"The original's loss of {name} at batch size {size}, {loss:.4f}, does not fit its own convention: it would be "
                f"{nats(loss, size):.2f} nats per image, far worse than guessing ({guessing:.2f}). Nothing follows from it."
            )
    if lines:
        return lines
    per_image = nats(losses[0], small), nats(losses[1], large)
    return [
        f"The original's {name}: as printed {losses[0]:.5f} to {losses[1]:.5f} from batch size {small} to {large}; per image "
        f"{per_image[0]:.4f} to {per_image[1]:.4f} nats (× {per_image[1] / per_image[0]:.2f})."
    ]


def same_figures_as(norm: str, batch_size: int) -> str | None:
    """Return the name of another norm for which the original prints the very same figures, where there is one."""
    own = batch_size_figures(norm, batch_size)
    earlier = norms_of_study()[: norms_of_study().index(norm)]
    return next((short_name(other) for other in earlier if batch_size_figures(other, batch_size) == own), None)


def _figures(finals: pd.DataFrame) -> Figures:
    """Both conventions of the loss, beside the original's."""
    table = Figures("After the last epoch, by batch size")
    table.add("Network", [short_name(variant) for variant in finals["variant"]])
    table.add("Batch size", finals["batch_size"], "d")
    table.add("Steps", [None if pd.isna(steps) else int(steps) for steps in finals["steps"]], ",d")
    for split, title in SPLITS.items():
        for metric in (METRICS["accuracy"], METRICS["loss"]):
            values = [metric.on_screen(value) for value in finals[f"{split}_{metric.key}"]]
            unit, pattern = (" (%)", ".2f") if metric.is_fraction else (" (nats)", ".4f")
            table.add(f"{title} {metric.title}{unit}", values, pattern, metric.higher_is_better)
    for split, title in SPLITS.items():
        table.add(f"{title} {DIVIDED}", finals[f"{split}_loss_divided"], ".5f")
    sized = zip(finals["norm"], finals["batch_size"], strict=True)
    theirs = [(size, batch_size_figures(norm, size) or {}) for norm, size in sized]
    accuracies, losses = ([figures.get(key) for _, figures in theirs] for key in ("accuracy", "loss"))
    table.add("Original training accuracy (%)", [None if value is None else 100 * value for value in accuracies], ".2f")
    table.add("Original training loss as printed", losses, ".5f")
    in_nats = [None if loss is None else nats(loss, size) for loss, (size, _) in zip(losses, theirs, strict=True)]
    table.add("Original × batch size (nats)", in_nats, ".4f")
    table.add("n", finals["n"], "d")
    return table
