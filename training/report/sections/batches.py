"""What the batch size does to BN and GN, with the loss in both conventions, beside the original study."""

import functools

import pandas as pd

from normzoo.analysis import reference_study
from normzoo.analysis.batch_sizes import by_batch_size, missing_runs, norms_of_study
from normzoo.analysis.commands import missing_commands, training_commands
from normzoo.analysis.findings.batch_size import batch_size_finding
from normzoo.formatting import listed
from normzoo.plotting import static
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name
from training.report.markdown import Drawing, Section, commands, finding_blocks
from training.report.runs import say_n


def batches_section(model_set: ModelSet) -> Section:
    """Return the section on the batch-size runs of a set, and the runs at its recipe's own batch size."""
    section = Section("Batch sizes")
    norms = norms_of_study()
    if missing := missing_runs(model_set, norms):
        names = listed([short_name(variant) for variant in missing])
        section.add(f"Not stored: {names}.", commands(*missing_commands(model_set, missing)))
    finding, frame = batch_size_finding(model_set, norms), batch_rows(model_set)
    if frame.empty:
        return section
    section.add(
        say_n(model_set, frame["variant"]),
        "The loss of this project is the mean cross entropy per image in nats. The original's is that divided by the batch "
        "size "
        "once more, which alone makes it fall as the batch grows.",
        *finding_blocks(finding),
        *_drawings(model_set, frame),
        commands(*training_commands(model_set, frame["variant"])),
    )
    section.summary = finding.summary
    return section


def batch_rows(model_set: ModelSet) -> pd.DataFrame:
    """Return one row per stored run of the study's norms: `norm`, `variant`, `batch_size`, our figures, `divided`, and the
    original's.
    """
    columns = ["norm", "variant", "batch_size", "loss", "divided", "accuracy", "val_loss", "val_accuracy"]
    columns += ["other_divided", "other_accuracy", "other_loss"]
    rows = []
    for row in by_batch_size(model_set, norms_of_study()).to_dict("records"):
        size = int(row["batch_size"])
        other = reference_study.batch_size_figures(row["norm"], size) or {"loss": None, "accuracy": None}
        nats = None if other["loss"] is None else reference_study.nats(other["loss"], size)
        ours = [row[key] for key in ("train_loss", "train_loss_divided", "train_accuracy", "val_loss", "val_accuracy")]
        rows.append([row["norm"], row["variant"], size, *ours, other["loss"], other["accuracy"], nats])
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:], float))


def _drawings(model_set: ModelSet, frame: pd.DataFrame) -> list[Drawing]:
    """The losses against the batch size, where there is more than one."""
    if frame["batch_size"].nunique() < 2:
        return []
    draw = functools.partial(static.batch_losses, frame.assign(variant=frame["norm"]), "ours", "original")
    title = "Training loss against batch size in both conventions"
    return [Drawing(f"{model_set.name}/batch-sizes", title, frame.round(9).to_csv(index=False), draw)]
