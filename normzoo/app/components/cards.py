"""The answers of the networks as HTML: a sentence, the picture that they saw, a card for each.

Colours are those of the theme, so that light and dark both work.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normzoo.app.components.data_urls import png_url
from normzoo.app.components.html import render
from normzoo.inference.agreement import Agreement
from normzoo.inference.predict import Prediction

NO_PHOTO = '<p class="hint">Add a photo, or choose one of the examples.</p>'
NO_ANSWER = '<p class="hint">No answer for this one. Choose another photo, or one of the examples.</p>'


@dataclass(frozen=True)
class Card:
    """One network's part of the answer."""

    variant: str
    prediction: Prediction | None  # None: unavailable
    problem: str  # why
    val_accuracy: tuple[float, int] | None  # the mean over n seeds, and n


def report(cards: Sequence[Card], who: Agreement, seen: np.ndarray | None, doubt: str = "") -> str:
    """The whole answer.

    Args:
        who: who agrees with whom.
        doubt: that the photo may show nothing they know, in words.
        seen: the pixels that the networks were given, uint8 (H, W, 3).
    """
    picture = None if seen is None else {"url": png_url(seen), "size": f"{seen.shape[1]}×{seen.shape[0]}"}
    return render("report.html", cards=cards, who=who, seen=picture, doubt=doubt)


def unavailable(problems: Mapping[str, str]) -> str:
    """Return a list of the variants that could not be read, and why; nothing where there are none."""
    return render("unavailable.html", problems=problems)


def names(variants: Iterable[str]) -> str:
    """Return what the short names stand for, each beside its colour."""
    return render("names.html", variants=list(variants))
