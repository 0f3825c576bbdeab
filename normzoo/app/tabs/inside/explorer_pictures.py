"""The explorer's pictures of one channel before and after each norm, and what changing a photo does to means and values."""

from collections.abc import Mapping

import numpy as np
import torch

from normzoo.app.components.data_urls import png_url
from normzoo.app.components.html import render
from normzoo.app.tabs.inside.explorer_view import few, grey
from normzoo.app.tabs.inside.scene import Scene
from normzoo.inference.value_trace import NormalizedValue, Position, normalized_values, photo_gaps, standardized_maps
from normzoo.nn.registry import describe_norm
from normzoo.variants import short_name

#: Where black and white are in the pictures of before and after, in standard deviations.
EXTREME = 2.5


def pictures(scene: Scene, position: Position) -> str:
    """Return one channel of all photos before and after each norm, with a caption that is computed."""
    before = scene.x[:, position.channel].double().numpy()
    behind = standardized_maps(scene.norm_layer, scene.x, position.channel)
    spread = before.std() or 1.0
    rows = [{"key": "", "title": "before the norm", "maps": (before - before.mean()) / spread}]
    rows += [{"key": key, "title": f"after {describe_norm(key).title}", "maps": each} for key, each in behind.items()]
    # Without a norm the numbers stay: they are drawn on the scale of those before it.
    gaps = {key: photo_gaps(each) for key, each in behind.items()}
    rows = [
        {
            **row,
            "url": png_url(strip(rows[0]["maps"] if row["key"] == "nn" else row["maps"])),
            "means": ", ".join(f"{gap:+.1f}".replace("-", "−") for gap in photo_gaps(row["maps"])),
        }
        for row in rows
    ]
    return render("explorer_pictures.html", rows=rows, caption=_gap_caption(photo_gaps(before), gaps), extreme=EXTREME)


def change(scene: Scene, position: Position) -> str:
    """Return what changing the first photo does to means and values, its own and the second's; nothing if it is as it was."""
    if torch.equal(scene.x[0], scene.first_as_it_is):
        return ""
    places = [position._replace(photo=photo) for photo in (0, 1)]
    (first, first_now), (second, second_now) = (
        [normalized_values(scene.norm_layer, x, place) for x in (scene.x_as_it_is, scene.x)] for place in places
    )

    def moved(before: float, now: float) -> str:
        return f"from {few(before)} to {few(now)}"

    def results(key: str, before: Mapping[str, NormalizedValue], now: Mapping[str, NormalizedValue]) -> str:
        return moved(before[key].result, now[key].result)

    def mean(key: str, before: Mapping[str, NormalizedValue], now: Mapping[str, NormalizedValue]) -> str:
        return moved(before[key].terms[0].mean, now[key].terms[0].mean)

    return render(
        "explorer_change.html",
        place=f"channel {position.channel + 1}, row {position.row + 1}, column {position.column + 1}",
        lines={
            "nn": f"x of photo 1 goes {results('nn', first, first_now)}.",
            "bn": f"the mean goes {mean('bn', first, first_now)} for all {len(scene.x)} photos. Photo 1 goes "
            f"{results('bn', first, first_now)}, and photo 2, although unchanged, {results('bn', second, second_now)}.",
            "in": f"photo 1's own mean goes {mean('in', first, first_now)}, the others' stay. Photo 1 goes "
            f"{results('in', first, first_now)}, photo 2 {results('in', second, second_now)}.",
        },
    )


def _gap_caption(before: np.ndarray, behind: Mapping[str, np.ndarray]) -> str:
    """Where the photo that differs most from the others is, before and after."""
    photo = int(np.abs(before).argmax())
    side = "above" if before[photo] > 0 else "below"
    sign = 1 if before[photo] > 0 else -1
    after = ", ".join(f"{short_name(key)} {_tenths(sign * gaps[photo])}" for key, gaps in behind.items())
    return (
        f"Before the norm, photo {photo + 1} lies {_tenths(abs(before[photo]))} standard deviations {side} the other three. "
        f"After each norm: {after}."
    )


def strip(values: np.ndarray) -> np.ndarray:
    """Maps side by side, see-through between: (N, H, W) -> uint8 (H, N·(W+1) - 1, 4)."""
    count, height, width = values.shape
    canvas = np.zeros((height, count * (width + 1), 4), np.uint8)
    for number, tile in enumerate(grey(values, -EXTREME, EXTREME)):
        start = number * (width + 1)
        canvas[:, start : start + width, :3], canvas[:, start : start + width, 3] = tile[..., None], 255
    return canvas[:, :-1]


def _tenths(number: float) -> str:
    return f"{round(float(number), 1) + 0.0:.1f}".replace("-", "−")
