"""The same photo in other companies: its probability as a strip of dots for each network."""

from collections.abc import Mapping, Sequence

from normzoo.app.components.html import render
from normzoo.app.components.photo_sets import Photo
from normzoo.app.core.batching import computing_many
from normzoo.formatting import listed
from normzoo.inference.company import answer_in_companies
from normzoo.inference.statistics import Statistics, remembers
from normzoo.pretrained.registry import Model
from normzoo.variants import short_name

DRAWS = 8
Strips = dict[str, tuple[str, tuple[float, ...]]]


def measure(models: Mapping[str, Model], photos: Sequence[Photo], number: int, size: int, statistics: Statistics) -> Strips:
    """Return for each network its answer to a photo, and the probability of that class in each of `DRAWS` companies."""
    images = [photos[number].square, *(photo.square for other, photo in enumerate(photos) if other != number)]
    found: Strips = {}
    for variant, model in models.items():
        with computing_many():
            found |= answer_in_companies({variant: model}, images, statistics, size, DRAWS)
    return found


def draw(models: Mapping[str, Model], strips: Strips, photo: Photo, size: int) -> str:
    """Return the strips as HTML, with what follows in words."""
    rows = [
        {"variant": variant, "label": label, "values": values, "low": min(values), "high": max(values)}
        for variant, (label, values) in strips.items()
    ]
    return render("many_strip.html", rows=rows, photo=photo, words=_words(models, strips, size), draws=DRAWS)


def _words(models: Mapping[str, Model], strips: Strips, size: int) -> str:
    dependent = [variant for variant in strips if remembers(models[variant].network)]
    still = [short_name(variant) for variant in strips if variant not in dependent]
    others = f"{size - 1} other photo{'' if size == 2 else 's'}"
    words = [
        f"{short_name(variant)} is between {100 * min(values):.1f} and {100 * max(values):.1f}% sure of {label}"
        for variant, (label, values) in strips.items()
        if variant in dependent
    ]
    told = f"Among {DRAWS} random draws of {others}, {listed(words)}. " if words else ""
    spread = max((max(strips[v][1]) - min(strips[v][1]) for v in strips if v not in dependent), default=None)
    if spread is None:
        return told
    return f"{told}{listed(still)}: {'one and the same value, to the last bit' if spread == 0 else f'within {spread:.0e}'}."
