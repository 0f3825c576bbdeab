"""The explorer of values: four photos before one norm layer, as maps, one value in words and numbers, all norms in a table,
before and after, a picture to save."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageEnhance
from torch import Tensor, nn

from normzoo.app.components.downloads import csv_link, file_name
from normzoo.app.components.html import png_url, render, sortable, tiles
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.core.upload import open_photo, photo_path
from normzoo.app.core.work import computing
from normzoo.errors import ConfigError
from normzoo.formatting import capital, minus
from normzoo.images.preprocess import to_pixels
from normzoo.inference.predict import as_batch
from normzoo.inference.value_trace import (
    NormalizedValue,
    Position,
    SharedValues,
    activations_before,
    norm_layers,
    normalized_values,
    photo_gaps,
    remembered_value,
    shown,
    standardized_maps,
)
from normzoo.nn.registry import NORM_LAYERS, describe_norm, get_norm_layer
from normzoo.plotting.spec import style_of
from normzoo.pretrained.registry import Model
from normzoo.variants import short_name

BINS = 24
PHOTOS = 4
#: Maps shown side by side, where two groups do not need more.
COLUMNS = 8
#: Of the first photo, in per cent of what it has: the least and the most.
BRIGHTNESS, CONTRAST = (20, 180), (10, 180)


@dataclass(frozen=True)
class Scene:
    """Four photos, and what comes of them to one norm layer."""

    model: Model
    layer: str
    names: tuple[str, ...]  # of the photos' files
    squares: tuple[Image.Image, ...]  # as the network sees them, the first one as it was changed
    x: Tensor  # (N, C, H, W)
    first_as_it_is: Tensor  # the first photo's part of `x` if nobody had changed it, (C, H, W)

    @property
    def norm_layer(self) -> nn.Module:
        return norm_layers(self.model.network)[self.layer]

    @property
    def norm(self) -> str:
        """Key in the zoo of the network's own norm; torch's own layers average over the same."""
        return self.model.config.norm.removeprefix("torch-")

    @property
    def group_size(self) -> int:
        """Channels that group normalization takes together."""
        channels = self.x.shape[1]
        return channels // int(getattr(get_norm_layer("gn")(channels), "num_groups", 1))

    @property
    def x_as_it_is(self) -> Tensor:
        """`x` if nobody had changed the first photo."""
        return torch.cat([self.first_as_it_is[None], self.x[1:]])

    def window(self, channel: int) -> range:
        """The channels that are shown with this one: those of two groups or more."""
        width = min(self.x.shape[1], max(COLUMNS, 2 * self.group_size))
        first = channel // width * width
        return range(first, first + width)

    def position(self, asked: Sequence[object]) -> Position:
        """The place of a value, from numbers that count from 1 and may come from anyone."""
        places = []
        for name, number, most in zip(("photo", "channel", "row", "column"), asked, self.x.shape, strict=True):
            if isinstance(number, bool) or not isinstance(number, int | float) or number not in range(1, most + 1):
                raise ConfigError(f"The {name} must be a whole number from 1 to {most}.")
            places.append(int(number) - 1)
        return Position(*places)


def look(photo: dict[str, Any] | None, model: Model, layer: str, brightness: object, contrast: object) -> Scene | None:
    """Return the scene of a visitor's photo and the first three other examples; None where there is no photo."""
    factors = _share(brightness, BRIGHTNESS, "brightness"), _share(contrast, CONTRAST, "contrast")
    picture, path = open_photo(photo), photo_path(photo)
    if picture is None or path is None:
        return None
    others = [example for example in EXAMPLES if example.file != path.name][: PHOTOS - 1]
    pictures = [picture, *(open_photo({"path": str(example.path)}) for example in others)]
    size = model.config.image_size
    with computing():
        squares = [Image.fromarray(to_pixels(each, size)) for each in pictures if each is not None]
        changed = ImageEnhance.Brightness(squares[0]).enhance(factors[0])
        changed = ImageEnhance.Contrast(changed).enhance(factors[1])
        seen = activations_before(model, as_batch([changed, *squares[1:], squares[0]], model.config), layer)
    names = (path.name, *(example.file for example in others))
    return Scene(model, layer, names, (changed, *squares[1:]), seen[:-1].clone(), seen[-1].clone())


def _share(per_cent: object, limits: tuple[int, int], name: str) -> float:
    if isinstance(per_cent, bool) or not isinstance(per_cent, int | float) or not limits[0] <= per_cent <= limits[1]:
        raise ConfigError(f"The {name} must be a number from {limits[0]} to {limits[1]}, in per cent.")
    return per_cent / 100


def maps(scene: Scene, position: Position) -> str:
    """Return the maps of all photos in some channels, for `explorer.js` to light."""
    window = scene.window(position.channel)
    values = scene.x[:, window.start : window.stop].numpy()
    low, high = _grey_limits(values)
    rows = grey(values, low, high)
    groups = len(window) // scene.group_size
    return render(
        "explorer_maps.html",
        scene=scene,
        position=position,
        channels=[{"number": channel, "column": 2 + i + i // scene.group_size} for i, channel in enumerate(window)],
        columns=" 0.4rem ".join(["minmax(0, 1fr) " * scene.group_size] * groups),
        photos=[
            {"name": name, "thumb": png_url(np.asarray(square)), "maps": [png_url(each) for each in row]}
            for name, square, row in zip(scene.names, scene.squares, rows, strict=True)
        ],
        norms={key: {"axes": describe_norm(key).pooled_axes or (), "colour": style_of(key).colour} for key in NORM_LAYERS},
        height=values.shape[2],
        width=values.shape[3],
        total=scene.x.shape[1],
        low=few(low),
        high=few(high),
    )


def said(scene: Scene, position: Position, norm: str, values: Mapping[str, NormalizedValue]) -> str:
    """Return the value in words, its line of arithmetic, where it lies among the values of its set, and what was assumed."""
    value = values[norm]
    return render(
        "explorer_said.html",
        norm=norm,
        place=place_in_words(scene, position, value).rpartition(": "),
        sentence=sentence(scene, value),
        evaluation=_evaluation(scene, position, value),
        arithmetic=value.arithmetic,
        histograms=[_histogram(shared, value.x, _in_words(shared, scene)) for shared in value.sets],
        notes=_notes(scene, value),
    )


def sentence(scene: Scene, value: NormalizedValue) -> str:
    """Which values share a mean with this one, and what these are."""
    title = capital(describe_norm(value.norm).title)
    if not value.sets:
        known = describe_norm(value.norm).pooled_axes is not None
        return f"{title} takes no mean: x stays as it is." if known else f"{title} does not say which values share a mean."
    parts = [
        f"the {shared.values.size:,} values of {_in_words(shared, scene)} (mean {few(term.mean)}, standard deviation "
        f"{few(term.var**0.5)})"
        for shared, term in zip(value.sets, value.terms, strict=True)
    ]
    if len(parts) == 1:
        return f"{title} takes {parts[0]}."
    if not value.arithmetic:
        return f"{title} takes {', and '.join(parts)}, and puts them together in its own way."
    shares = " and ".join(f"{term.share:.2f} of the {nth}" for term, nth in zip(value.terms, ("first", "second"), strict=True))
    return f"{title} takes {', and '.join(parts)}, and mixes them by its gate: {shares}."


def table(scene: Scene, values: Mapping[str, NormalizedValue]) -> str:
    """Return what all norms make of the value, as a table with its file."""
    texts = pd.DataFrame([_row(scene, value) for value in values.values()])
    cells = texts.drop(columns=["Of", "Arithmetic"])
    return sortable(cells, cells, "The same x, another set, another result") + csv_link(texts, "normzoo-one-value.csv")


def as_file(scene: Scene, position: Position, norm: str, model_set: str, file_format: str) -> tuple[str, bytes]:
    """Return the maps with what is lit and the arithmetic as one picture for slides: a name without ending, and the content."""
    from normzoo.plotting import matplotlib  # only for those who want a file

    value = normalized_values(scene.norm_layer, scene.x, position)[norm]
    window = scene.window(position.channel)
    shown_maps = scene.x[:, window.start : window.stop].numpy()
    figure = matplotlib.draw_value(
        shown_maps,
        window,
        _grey_limits(shown_maps),
        position,
        value,
        title=f"{capital(describe_norm(norm).title)}: {short_name(scene.model.variant)} of {model_set}, {scene.layer}",
        photos=scene.names,
        sentence=f"{place_in_words(scene, position, value)}\n{sentence(scene, value)}",
    )
    return file_name(model_set, "value", norm), matplotlib.to_bytes(figure, file_format)


def place_in_words(scene: Scene, position: Position, value: NormalizedValue) -> str:
    """Return where the value is, and the value."""
    return (
        f"Photo {position.photo + 1} ({scene.names[position.photo]}), channel {position.channel + 1}, "
        f"row {position.row + 1}, column {position.column + 1}: x = {few(value.x)}."
    )


def as_data(values: Mapping[str, NormalizedValue]) -> dict[str, object]:
    """What all norms make of the value, for the API."""
    return {
        key: {
            "x": value.x,
            "sets": [
                {
                    "axes": list(shared.axes),
                    "photos": [shared.photos.start + 1, shared.photos.stop],
                    "channels": [shared.channels.start + 1, shared.channels.stop],
                    "count": shared.values.size,
                    "mean": term.mean,
                    "variance": term.var,
                    "share": term.share,
                }
                for shared, term in zip(value.sets, value.terms, strict=True)
            ],
            "eps": value.eps,
            "weight": value.weight,
            "bias": value.bias,
            "result": value.result,
            "arithmetic": value.arithmetic,
        }
        for key, value in values.items()
    }


def _row(scene: Scene, value: NormalizedValue) -> dict[str, str]:
    def listed(texts: list[str]) -> str:
        return " and ".join(texts) or "–"

    return {
        "Norm": short_name(value.norm),
        "Values": listed([f"{shared.values.size:,}" for shared in value.sets]),
        "Mean": listed([few(term.mean) for term in value.terms]),
        "Standard deviation": listed([few(term.var**0.5) for term in value.terms]),
        "Result": few(value.result),
        "Of": listed([_in_words(shared, scene) for shared in value.sets]),
        "Arithmetic": value.arithmetic,
    }


def _evaluation(scene: Scene, position: Position, value: NormalizedValue) -> str:
    """The arithmetic of evaluation, where the norm takes a batch in training alone; empty where both are the same."""
    if not any("N" in shared.axes for shared in value.sets):
        return ""
    stored = remembered_value(scene.norm_layer, scene.norm, scene.x, position) if value.norm == scene.norm else None
    return stored.arithmetic if stored else f"running statistics, of which {short_name(scene.model.variant)} has none"


def _notes(scene: Scene, value: NormalizedValue) -> list[str]:
    own = short_name(scene.model.variant)
    notes = []
    if value.weight is None:
        notes.append(f"{own} has no norm here, so the formulas leave out weight and bias.")
    elif value.terms:
        notes.append(
            f"All norms use the weight {few(value.weight)} and the bias {few(value.bias or 0)} that {own} learned for this "
            "channel, so that only the statistics differ."
        )
    if len(value.terms) > 1 and value.arithmetic:
        has_gate = hasattr(scene.norm_layer, "gate")
        notes.append("The gate is the layer's own." if has_gate else f"{own} has no gates, so both have weight 0.5 here.")
    return notes


def _histogram(shared: SharedValues, x: float, words: str) -> dict[str, object]:
    counts, edges = np.histogram(shared.values, BINS)
    bin_of_x = min(max(int(np.searchsorted(edges, x, "right")) - 1, 0), BINS - 1)
    below = (shared.values < x).mean()
    return {
        "bars": [{"height": 60 * count / counts.max(), "has_x": i == bin_of_x} for i, count in enumerate(counts)],
        "mean": 240 * (shared.values.mean() - edges[0]) / ((edges[-1] - edges[0]) or 1),
        "x": 10 * (bin_of_x + 0.5),
        "low": few(float(edges[0])),
        "high": few(float(edges[-1])),
        "words": f"{shared.values.size:,} values of {words}; x is larger than {100 * below:.0f}% of them",
    }


def _in_words(shared: SharedValues, scene: Scene) -> str:
    first, last = shared.channels.start + 1, shared.channels.stop
    if first == last:
        channels = f"channel {first}"
    elif len(shared.channels) == scene.x.shape[1]:
        channels = f"all {last} channels"
    else:
        channels = f"channels {first}–{last}"
    photos = f"photo {shared.photos.start + 1}" if len(shared.photos) == 1 else f"all {len(shared.photos)} photos"
    return f"{channels} of {photos}"


def _grey_limits(values: np.ndarray) -> tuple[float, float]:
    """Return the values that are black and white on one scale for all maps: all but the outermost hundredth lie between."""
    low, high = np.percentile(values, (0.5, 99.5))
    return float(low), float(high)


def grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Black at `low`, white at `high`: uint8."""
    return np.round(255 * ((values - low) / ((high - low) or 1)).clip(0, 1)).astype(np.uint8)


def few(number: float) -> str:
    """Three digits."""
    return shown(round(float(f"{number:.3g}"), 4) + 0.0)


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
            "url": png_url(tiles(grey(rows[0]["maps"] if row["key"] == "nn" else row["maps"], -EXTREME, EXTREME), PHOTOS)),
            "means": ", ".join(minus(f"{gap:+.1f}") for gap in photo_gaps(row["maps"])),
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


def _tenths(number: float) -> str:
    return minus(f"{round(float(number), 1) + 0.0:.1f}")
