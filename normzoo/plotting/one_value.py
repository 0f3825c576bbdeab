"""A figure for slides: one value among the maps of its batch, the values that share its mean, and the arithmetic."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from normzoo.inference.value_trace import NormalizedValue, Position
from normzoo.plotting.spec import style_of

MARK = "#dd0000"
_LETTERS_PER_LINE = 112


def draw(
    maps: np.ndarray,
    channels: range,
    limits: tuple[float, float],
    position: Position,
    value: NormalizedValue,
    title: str,
    photos: Sequence[str],
    sentence: str,
) -> Figure:
    """Return the maps, with the values highlighted that share a mean with the marked one, above the arithmetic.

    Args:
        maps: input of a norm layer, (N, C, H, W).
        channels: positions of these channels in the layer.
        limits: values shown black and white.
        value: from `normalized_values`, for that position.
        photos: names, (N,).
    """
    count, shown = maps.shape[:2]
    figure = Figure(figsize=(12, 6.75))  # 16:9
    figure.suptitle(title, x=0.02, y=0.985, ha="left", va="top", fontsize=15, fontweight="bold", parse_math=False)
    grid = figure.add_gridspec(count, shown, left=0.13, right=0.98, top=0.885, bottom=0.27, wspace=0.06, hspace=0.06)
    for n in range(count):
        for place, c in enumerate(channels):
            axes = figure.add_subplot(grid[n, place])
            lit = sum(n in shared.photos and c in shared.channels for shared in value.sets)
            axes.imshow(
                maps[n, place], cmap="gray", vmin=limits[0], vmax=limits[1], alpha=1 if lit else 0.3, interpolation="nearest"
            )
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(color=style_of(value.norm).colour if lit else "none", linewidth=3 * lit)
            if n == 0:
                axes.set_title(f"{c + 1}", fontsize=9, pad=3)
            if place == 0:
                words = textwrap.shorten(photos[n], 18, placeholder="…")
                axes.set_ylabel(
                    f"{n + 1} {words}", rotation=0, ha="right", va="center", fontsize=9, labelpad=8, parse_math=False
                )
            if (n, c) == (position.photo, position.channel):
                mark = Rectangle((position.column - 0.5, position.row - 0.5), 1, 1, fill=False, edgecolor=MARK, linewidth=2)
                axes.add_patch(mark)
    wrapped = "\n".join(textwrap.fill(line, _LETTERS_PER_LINE) for line in sentence.splitlines())
    figure.text(0.02, 0.22, wrapped, va="top", fontsize=11, parse_math=False)
    size = 15 if len(value.arithmetic) < 90 else 10
    figure.text(0.02, 0.03, value.arithmetic, va="bottom", fontsize=size, fontweight="bold")
    return figure
