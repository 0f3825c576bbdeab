"""Figures of the original study, as printed in its report."""

import functools
import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("reference_study.json")
#: Approximate number of photos of its data set, and their side in pixels.
IMAGES, SIDE = 30_000, 256
#: Variant -> its name in the file, if different.
_NAMES = {"torch-bn": "torch_bn"}


@functools.cache
def original_study() -> dict[str, Any]:
    """Return its title, protocol, results and errata."""
    study: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return study


def final_figures(variant: str) -> dict[str, dict[str, float | None]] | None:
    """Return its final figures of a variant, split -> metric -> value: fractions, and the loss as printed (see `nats`).

    None if it has none; a missing metric is None.
    """
    printed = original_study()["results"].get(_NAMES.get(variant, variant))
    return printed and {split: _fractions(figures) for split, figures in printed.items()}


def baseline_figures() -> dict[str, dict[str, float | None]]:
    """Return the same for its first recipe, with batch normalization."""
    return {split: _fractions(figures) for split, figures in original_study()["results"]["baseline_sgd_bn_augmented"].items()}


def batch_size_figures(norm: str, batch_size: int) -> dict[str, float | None] | None:
    """Return its training `loss` (as printed) and `accuracy` of a norm at a batch size, or None."""
    if batch_size == original_study()["protocol"]["final"]["batch_size"]:
        found = final_figures(norm)
        return {key: found["train"][key] for key in ("loss", "accuracy")} if found else None
    printed = original_study()["batch_size_study_train"].get(norm, {}).get(str(batch_size))
    return printed and _fractions(printed)


def nats(printed_loss: float, batch_size: int) -> float:
    """Convert a printed loss to mean cross entropy: the original divides it by the batch size once more."""
    return printed_loss * batch_size


def errata() -> list[str]:
    """Return the known errors of its report."""
    known: list[str] = original_study()["known_slips_in_the_report"]
    return known


def _fractions(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {key: value if value is None or key == "loss" else value / 100 for key, value in figures.items()}
