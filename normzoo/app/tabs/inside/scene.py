"""Four photos before one norm layer of one network: what the explorer of values is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageEnhance
from torch import Tensor, nn

from normzoo.app.core.examples import EXAMPLES
from normzoo.app.core.upload import open_photo, photo_path
from normzoo.app.core.work import computing
from normzoo.errors import ConfigError
from normzoo.images.preprocess import to_pixels
from normzoo.inference.predict import as_batch
from normzoo.inference.value_trace import Position, activations_before, norm_layers
from normzoo.nn.registry import get_norm_layer
from normzoo.pretrained.registry import Model

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
