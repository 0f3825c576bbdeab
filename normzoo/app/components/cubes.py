"""Which values share one mean and variance, drawn as a cube of values for each norm.

The figure that people know from Wu and He, Group Normalization, 2018, drawn anew from what each norm says of itself.
"""

from collections.abc import Collection, Iterable

from normzoo.app.components.html import render
from normzoo.nn.registry import NORM_LAYERS, NormRecord, describe_norm
from normzoo.pretrained.registry import ModelSet

#: Cells along the axes: channels to the right, pixels down, photos to the back.
CHANNELS, PIXELS, PHOTOS = 6, 5, 4
CELL, DEPTH = 15, (8, -6)  # pixels: a side of a cell, a step to the back
LEFT, TOP = 30, 28  # of the front face


def draw(model_set: ModelSet, variants: Iterable[str], stored: Collection[str] = ()) -> str:
    """The norms of the networks shown, each once, as HTML.

    Args:
        stored: the variants that use running statistics: nothing of their cubes is lit.
    """
    norms = {_norm_of(model_set, variant): variant in stored for variant in variants}
    drawn = "".join(figure(key, describe_norm(key), is_stored) for key, is_stored in norms.items() if key in NORM_LAYERS)
    return f'<div class="cubes">{drawn}</div>'


def figure(key: str, norm: NormRecord, is_stored: bool = False) -> str:
    """A norm's cube with its name, or two where it takes two means; only words for a norm that names no axes."""
    pooled = norm.pooled_axes
    words = "none" if pooled == () else " + ".join(map(", ".join, pooled or ())) or norm.axes
    drawings = [_cube(group) for group in pooled or [()]] if pooled is not None else []
    return render("cube.html", key=key, title=norm.title, words=words, drawings=drawings, is_stored=is_stored)


def shares(axes: Collection[str], photo: int, channel: int) -> bool:
    """Whether a value of this photo and channel is in one mean with those of the first photo's last channel.

    Args:
        axes: what is averaged over, such as `("C/G", "H", "W")`; C/G is half of the channels here.
    """
    first_channel = 0 if "C" in axes else CHANNELS // 2 if "C/G" in axes else CHANNELS - 1
    return channel >= first_channel and (photo == 0 or "N" in axes)


def _cube(axes: Collection[str]) -> str:
    """Its front, the first photo; its top, all photos; its right side, the last channel. No axes: nothing is coloured."""
    pooled = [[bool(axes) and shares(axes, n, c) for c in range(CHANNELS)] for n in range(PHOTOS)]
    # The pixels are always averaged over together: no norm for images tells them apart.
    faces = [_cell(_at(c, r, 0), (CELL, 0), (0, CELL), pooled[0][c]) for c in range(CHANNELS) for r in range(PIXELS)]
    faces += [_cell(_at(c, 0, n), (CELL, 0), DEPTH, pooled[n][c]) for c in range(CHANNELS) for n in range(PHOTOS)]
    faces += [_cell(_at(CHANNELS, r, n), DEPTH, (0, CELL), pooled[n][-1]) for r in range(PIXELS) for n in range(PHOTOS)]
    width = LEFT + CHANNELS * CELL + PHOTOS * DEPTH[0] + 12
    height = TOP + PIXELS * CELL + 20
    x, y = _at(CHANNELS, PIXELS, PHOTOS / 2)
    labels = (
        f'<text x="{LEFT + CHANNELS * CELL / 2:g}" y="{height - 5}" text-anchor="middle">C</text>'
        f'<text x="{x + 5:g}" y="{y + 12:g}">N</text>'
        f'<text x="{LEFT - 5}" y="{TOP + PIXELS * CELL / 2 + 4:g}" text-anchor="end">H,W</text>'
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {size} aria-hidden="true">{"".join(faces)}{labels}</svg>'


def _norm_of(model_set: ModelSet, variant: str) -> str:
    """The key in the zoo of a variant's norm; torch's own layers average over the same."""
    checkpoint = model_set.checkpoints.get(variant)
    return (variant if checkpoint is None else checkpoint.config.norm).removeprefix("torch-")


def _at(channel: float, row: float, photo: float) -> tuple[float, float]:
    return LEFT + channel * CELL + photo * DEPTH[0], TOP + row * CELL + photo * DEPTH[1]


def _cell(corner: tuple[float, float], one: tuple[int, int], other: tuple[int, int], is_pooled: bool) -> str:
    """A parallelogram."""
    kind = ' class="pooled"' if is_pooled else ""
    steps = f"l{one[0]} {one[1]}l{other[0]} {other[1]}l{-one[0]} {-one[1]}z"
    return f'<path{kind} d="M{corner[0]:g} {corner[1]:g}{steps}"/>'
