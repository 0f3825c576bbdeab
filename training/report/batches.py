"""What the batch size does to BN and GN, with the loss in both conventions, beside the original study."""

import functools

import pandas as pd

from normzoo.analysis import reference_study as original
from normzoo.analysis.batch_sizes import by_batch_size
from normzoo.analysis.results import METRICS
from normzoo.plotting import static as plots
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name
from training.report.markdown import Drawing, Section, bullets, commands, listed, percent, signed, table
from training.report.runs import PACKAGE, data_of, recipe_of, say_n, study_command, training_commands
from training.report.slips import copied_sizes

NORMS = ("bn", "gn")
SIZES = (8, 32, 128)


def batches_section(model_set: ModelSet) -> Section:
    """The batch-size runs of a set, and the runs at its recipe's own batch size."""
    section = Section("Batch sizes")
    frame = batch_rows(model_set)
    lacking = [
        (norm, size) for norm in NORMS for size in SIZES if not ((frame["norm"] == norm) & (frame["batch_size"] == size)).any()
    ]
    for size in dict.fromkeys(size for _, size in lacking):
        norms = [norm for norm, missing in lacking if missing == size]
        command = study_command(data_of(model_set), recipe_of(model_set), norms, batch_size=size)
        section.add(
            f"Batch size {size} of {listed([short_name(norm) for norm in norms])} is not stored: `{command}` and `{PACKAGE}`"
        )
    if frame.empty:
        return section
    section.add(
        say_n(model_set, frame["variant"]),
        "The loss of this project is the mean cross entropy per image in nats. The original's is that divided by the batch "
        "size "
        "once more, which alone makes it fall as the batch grows: the second loss column is ours in its convention, its own "
        "is beside it as printed and multiplied back to nats.",
        _table(frame),
        *_drawings(model_set, frame),
        f"The original's GN at batch size {listed(copied)} is BN's, digit for digit (see its slips below): no figure of GN."
        if (copied := copied_sizes())
        else "",
        bullets(line for norm in NORMS for line in _words(frame[frame["norm"] == norm], norm)),
        commands(*training_commands(model_set, frame["variant"])),
    )
    section.gist = " ".join(line for norm in NORMS for line in _words(frame[frame["norm"] == norm], norm)[:1])
    return section


def batch_rows(model_set: ModelSet) -> pd.DataFrame:
    """One row per stored run of `NORMS`: `norm`, `variant`, `batch_size`, our figures, `divided`, and the original's."""
    columns = ["norm", "variant", "batch_size", "loss", "divided", "accuracy", "val_loss", "val_accuracy"]
    columns += ["other_divided", "other_accuracy", "other_loss"]
    rows = []
    for row in by_batch_size(model_set, NORMS).to_dict("records"):
        size = int(row["batch_size"])
        other = original.batch_size_figures(row["norm"], size) or {"loss": None, "accuracy": None}
        nats = None if other["loss"] is None else original.nats(other["loss"], size)
        ours = [row[key] for key in ("train_loss", "train_loss_divided", "train_accuracy", "val_loss", "val_accuracy")]
        rows.append([row["norm"], row["variant"], size, *ours, other["loss"], other["accuracy"], nats])
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:], float))


def _drawings(model_set: ModelSet, frame: pd.DataFrame) -> list[Drawing]:
    """The losses against the batch size, where there is more than one."""
    if frame["batch_size"].nunique() < 2:
        return []
    draw = functools.partial(plots.batch_losses, frame.assign(variant=frame["norm"]), "ours", "original")
    title = "Training loss against batch size in both conventions"
    return [Drawing(f"{model_set.name}/batch-sizes", title, frame.round(9).to_csv(index=False), draw)]


def _table(frame: pd.DataFrame) -> str:
    loss, accuracy = METRICS["loss"], METRICS["accuracy"]
    rows = [
        [
            short_name(row["norm"]),
            row["batch_size"],
            loss.text(row["loss"]),
            _small(row["divided"]),
            _small(row["other_divided"]),
            loss.text(row["other_loss"]),
            accuracy.text(row["accuracy"]),
            accuracy.text(row["other_accuracy"]),
            loss.text(row["val_loss"]),
            accuracy.text(row["val_accuracy"]),
        ]
        for row in frame.to_dict("records")
    ]
    header = ["Network", "Batch size", "Train loss (nats)", "Train loss / batch size", "Original's loss as printed"]
    header += ["Original's loss × batch size", "Train accuracy (%)", "Original's (%)", "Val loss (nats)", "Val accuracy (%)"]
    return table(header, rows)


def _small(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.5f}"


def _words(rows: pd.DataFrame, norm: str) -> list[str]:
    """What happens to loss and accuracy from the smallest stored batch to the largest."""
    if len(rows) < 2:
        return []
    name, first, last = short_name(norm), rows.iloc[0], rows.iloc[-1]
    sizes = f"from batch size {first['batch_size']} to {last['batch_size']}"
    ratio, divided = last["loss"] / first["loss"], last["divided"] / first["divided"]
    move = "barely moves," if abs(ratio - 1) < 0.005 else "rises" if ratio > 1 else "falls"
    lines = [
        f"{name} {sizes}: the mean cross entropy {move} from {first['loss']:.4f} to {last['loss']:.4f} nats (× {ratio:.2f}). "
        f"In the original's convention the same runs go from {_small(first['divided'])} to {_small(last['divided'])} "
        f"(× {divided:.3f}), of which the division alone is × {first['batch_size'] / last['batch_size']:.4f}. Training "
        f"accuracy changes by {signed(last['accuracy'] - first['accuracy'])} points, validation accuracy by "
        f"{signed(last['val_accuracy'] - first['val_accuracy'])}."
    ]
    if rows["val_accuracy"].nunique() > 1:
        best = rows.loc[rows["val_accuracy"].idxmax()]
        lines.append(
            f"{name} is best on the validation images at batch size {best['batch_size']} ({percent(best['val_accuracy'])}%)."
        )
    known = rows.dropna(subset=["other_divided"])
    if len(known) > 1:
        start, end = known.iloc[0], known.iloc[-1]
        ratios = [end[key] / start[key] for key in ("other_divided", "other_loss")]
        lines.append(
            f"The original's {name}, batch size {start['batch_size']} to {end['batch_size']}: as printed "
            f"{_small(start['other_divided'])} to {_small(end['other_divided'])} (× {ratios[0]:.3f}); in nats "
            f"{start['other_loss']:.4f} to {end['other_loss']:.4f} (× {ratios[1]:.2f})."
        )
    return lines
