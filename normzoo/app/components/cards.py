"""Cards of the networks, and what stands in their place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from normzoo.app.components.html import render
from normzoo.inference.predict import Prediction

NO_PHOTO = '<p class="hint">Add a photo, or choose one of the examples.</p>'
NO_ANSWER = '<p class="hint">No answer for this one. Choose another photo, or one of the examples.</p>'


@dataclass(frozen=True)
class Card:
    """One network's part of the answer."""

    variant: str
    prediction: Prediction | None  # None: unavailable
    original: Prediction | None  # of the photo as it came, with running statistics
    problem: str  # why it is unavailable

    @property
    def is_changed(self) -> bool:
        """Is another class the most probable one now?"""
        return self.prediction is not None and self.original is not None and self.prediction.label != self.original.label


def unavailable(problems: Mapping[str, str]) -> str:
    """Return a list of the variants that could not be read, and why; nothing where there are none."""
    return render("unavailable.html", problems=problems)


def names(variants: Iterable[str]) -> str:
    """Return what the short names stand for, each beside its colour."""
    return render("names.html", variants=list(variants))
