"""The slips of the original report, found in its own figures."""

import math

from normzoo.analysis import reference_study as original
from normzoo.variants import short_name
from training.report.markdown import listed, percent

#: Accuracies are printed with three decimals of a per cent, sometimes cut and not rounded.
PRINTED = 2e-5


def slips() -> list[str]:
    """Each slip in a sentence, with what is right."""
    study = original.original_study()
    size = study["protocol"]["final"]["batch_size"]
    guess = math.log(study["architecture"]["classes_r"])
    lines = [
        f"Loss: it is the mean cross entropy divided by the batch size once more. A network that guesses has ln "
        f"{study['architecture']['classes_r']} = {guess:.3f} nats, and {guess:.3f} / {size} = {guess / size:.4f} is about "
        f"where its curves "
        "start. Times the batch size its losses can be held against others."
    ]
    batches = study["batch_size_study_train"]
    if equal := copied_sizes():
        lines.append(f"The figures of GN at batch size {listed(equal)} are, digit for digit, those of BN: they cannot be both.")
    for norm, by_size in batches.items():
        for number, figures in by_size.items():
            loss = original.nats(figures["loss"], int(number))
            if loss > guess:
                lines.append(
                    f"{short_name(norm)}'s loss at batch size {number}, {figures['loss']:.4f}, would be {loss:.2f} nats in "
                    f"its convention, worse than guessing, at an accuracy of {figures['accuracy']:.1f}%: the two do not fit."
                )
    unequal = _unequal()
    if unequal:
        lines.append(
            f"Accuracy and micro F1 are the same thing where every image has one label, but differ in {len(unequal)} of its "
            f"rows: {listed(unequal)}."
        )
    lines.append('"CrossAnnealingLR" is CosineAnnealingLR.')
    return lines


def copied_sizes() -> list[str]:
    """Batch sizes at which its figures of GN are those of BN."""
    batches = original.original_study()["batch_size_study_train"]
    return [size for size, figures in batches["bn"].items() if figures == batches["gn"].get(size)]


def _unequal() -> list[str]:
    rows = []
    for variant in original.original_study()["results"]:
        figures = original.final_figures(variant) or {}
        for split, row in figures.items():
            accuracy, micro = row["accuracy"], row["micro_f1"]
            if accuracy is not None and micro is not None and abs(accuracy - micro) > PRINTED:
                rows.append(f"{short_name(variant.replace('_', '-'))} {split} ({percent(accuracy, 3)} and {percent(micro, 3)})")
    return rows
