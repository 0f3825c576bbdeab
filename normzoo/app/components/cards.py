"""The answers of the networks as HTML: a sentence, the picture that they saw, a card for each.

Everything that comes from a file is escaped. Colours are those of the theme, so that light and dark both work.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normzoo.app.components.data_urls import png_url
from normzoo.app.components.html import render
from normzoo.inference.agreement import Agreement
from normzoo.inference.predict import Prediction
from normzoo.plotting.style import style_of
from normzoo.variants import describe_variant

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
    picture = "" if seen is None else _seen(seen)
    return (
        f'<section class="report" aria-label="What the networks say"><div class="summary">{picture}<div class="said">'
        f'<p class="verdict" role="status">{html.escape(who.sentence)}</p>{_groups(who)}'
        f"{f'<p class=doubt>{html.escape(doubt)}</p>' if doubt else ''}</div></div>"
        f'<ul class="cards">{"".join(map(_card, cards))}</ul></section>'
    )


def unavailable(problems: Mapping[str, str]) -> str:
    """Return a list of the variants that could not be read, and why; nothing where there are none."""
    return render("unavailable.html", problems=problems)


def names(variants: Iterable[str]) -> str:
    """Return what the short names stand for, each beside its colour."""
    return render("names.html", variants=list(variants))


def chip(variant: str) -> str:
    """A variant's short name beside its colour."""
    style = style_of(variant)
    return f'<span class="chip" style="--variant: {style.colour}">{html.escape(style.name)}</span>'


def _groups(who: Agreement) -> str:
    """The networks side by side, those of one answer together, each answer as wide as it has networks.

    The sentence above says the same, so screen readers are spared it.
    """
    items = "".join(
        f'<li style="flex-grow: {len(variants)}"><span class="who">{"".join(map(chip, variants))}</span>'
        f'<span class="what">{html.escape(label)}</span></li>'
        for label, variants in who.groups
    )
    return f'<ul class="agreement" aria-hidden="true">{items}</ul>'


def _seen(pixels: np.ndarray) -> str:
    height, width = pixels.shape[:2]
    size = f"{width}×{height}"
    return (
        f'<figure class="seen"><img src="{png_url(pixels)}" alt="The central square of the photo, reduced to {size} pixels">'
        f"<figcaption>What they saw: {size} pixels</figcaption></figure>"
    )


def _card(card: Card) -> str:
    style = style_of(card.variant)
    title = (
        f'<h3><span class="key">{html.escape(style.name)}</span> '
        f'<span class="name">{html.escape(describe_variant(card.variant))}</span></h3>'
    )
    if card.prediction is None:
        return (
            f'<li class="card unavailable" style="--variant: {style.colour}">{title}'
            f'<p class="problem"><strong>Unavailable.</strong> {html.escape(card.problem)}</p></li>'
        )
    rows = "".join(_row(label, probability) for label, probability in card.prediction.top)
    return (
        f'<li class="card" data-variant="{html.escape(card.variant)}" style="--variant: {style.colour}">{title}'
        f'<ol class="top">{rows}</ol><p class="facts">{_accuracy(card.val_accuracy)}'
        f'<span class="time">{card.prediction.latency_ms:.1f} ms</span></p></li>'
    )


def _row(label: str, probability: float) -> str:
    return (
        f'<li><span class="label">{html.escape(label)}</span> <span class="value">{100 * probability:.2f}%</span>'
        f'<span class="bar" aria-hidden="true"><span style="width: {100 * probability:.2f}%"></span></span></li>'
    )


def _accuracy(val_accuracy: tuple[float, int] | None) -> str:
    if val_accuracy is None:
        return ""
    mean, n = val_accuracy
    return f"<span>Validation accuracy {100 * mean:.2f}% ({n} seed{'' if n == 1 else 's'})</span> "
