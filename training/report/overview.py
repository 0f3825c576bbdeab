"""The answer on one page: one table, one figure, a sentence for each question; its table stands in the README too."""

from collections.abc import Sequence
from pathlib import Path

from normzoo.analysis import comparisons, results
from normzoo.analysis.findings.robustness import summarize
from normzoo.analysis.reference_study import final_figures
from normzoo.errors import CheckpointError
from normzoo.formatting import percent
from normzoo.nn.registry import NORM_LAYERS
from normzoo.pretrained.registry import ModelSet
from normzoo.pretrained.serialization import read_text
from normzoo.variants import describe_variant, short_name
from training.report.markdown import table

README = Path("README.md")
BEGIN, END = "<!-- results: written by `python -m training report` -->", "<!-- /results -->"
#: The recipes of the table, the one with the better answers first.
SHOWN = ("strong", "paper")


def overview_table(model_sets: Sequence[ModelSet]) -> str:
    """Return validation accuracy of the zoo's norms in per cent, by recipe, with n; beside it the original study's.

    Args:
        model_sets: of the same classes; the image size of those that have another than the first is told.
    """
    shown = [each for recipe in SHOWN for each in model_sets if each.recipe == recipe and each.main_variants]
    header, usual = ["Norm"], model_sets[0].image_size
    columns: list[dict[str, str]] = []
    for model_set in shown:
        size = model_set.image_size
        name = f"`{model_set.recipe}`" + ("" if size == usual else f" at {size}×{size}")
        header.append(f"{name} (%)")
        finals = results.final_metrics(model_set, model_set.main_variants).frame.to_dict("records")
        columns.append({row["variant"]: _with_n(row["val_accuracy"], row["val_accuracy_sd"], row["n"]) for row in finals})
        frame = comparisons.robustness(model_set, model_set.main_variants).frame
        if not frame.empty:
            header.append(f"{name}, corrupted (%)")
            columns.append({row.variant: f"{percent(row.mean, 1)} (n = 1)" for row in summarize(frame).itertuples()})
    header.append("Original study (%)")
    columns.append({key: percent(found["val"]["accuracy"] or 0, 1) for key in NORM_LAYERS if (found := final_figures(key))})
    present = [key for key in NORM_LAYERS if any(key in column for column in columns[:-1])]
    rows = [[f"{short_name(key)}, {describe_variant(key)}", *(column.get(key, "–") for column in columns)] for key in present]
    return table(header, rows)


def _with_n(mean: float, sd: float | None, n: int) -> str:
    spread = "" if n == 1 or sd is None else f" ± {percent(sd, 1)}"
    return f"{percent(mean, 1)}{spread} (n = {n})"


def overview_words(model_sets: Sequence[ModelSet]) -> str:
    """Return what the table shows."""
    checkpoint = next(iter(model_sets[0].checkpoints.values()))
    size = model_sets[0].image_size
    images, classes = len(checkpoint.val_logits()[1]), len(checkpoint.config.classes)
    return (
        f"Accuracy on {images:,} validation images of {classes} classes ({model_sets[0].data}, {size}×{size} pixels where no "
        "other size is named) after the last epoch; ± is the standard deviation over n seeds. Corrupted: mean over all "
        "corruptions and severities. The original study has other images, so only its order can be compared."
    )


def readme_with(text: str, overview: str) -> str:
    """Return the README with the overview between its marks; unchanged where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{overview}\n\n{END}{after}" if begin and end else text


def read_readme(folder: Path) -> str | None:
    """Return the README of a folder, None where there is none."""
    try:
        return read_text(folder / README)
    except CheckpointError:
        return None
