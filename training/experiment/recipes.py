"""The recipes as data: everything that decides how a network is trained, but for the norm, the images and the seed."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from normzoo.errors import ConfigError
from normzoo.nn.resnet import norm_keys
from training.data.dataset import MAX_IMAGE_SIZE


def _field(default: Any, sentence: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": sentence})


#: Field -> its highest value; the lowest is 0.
_HIGHEST = {
    "step_factor": 1.0,
    "warmup": 1.0,
    "momentum": 1.0,
    "weight_decay": math.inf,
    "clip_norm": math.inf,
    "label_smoothing": 1.0,
    "rotation_degrees": 180.0,
    "gate_lr_factor": math.inf,
}


#: Whole numbers -> the most that any machine could do with; the least is 1.
_MOST = {"epochs": 100_000, "batch_size": 1_000_000, "image_size": MAX_IMAGE_SIZE, "step_epochs": 100_000, "depth": 1_202}


@dataclass(frozen=True)
class Recipe:
    """One way to train; each field's sentence is what the command line and the model cards show."""

    name: str = _field("custom", "Name of the recipe, and of its folder.")
    depth: int = _field(14, "Layers of the network, 6n+2.")
    last_norm: str = _field("", "Norm of the last layer, where it is another than the others (nn: none).")
    image_size: int = _field(32, "Side of the square images, in pixels.")
    epochs: int = _field(50, "Passes over the training images.")
    batch_size: int = _field(32, "Images per step; the last batch of an epoch may be smaller.")
    optimizer: str = _field("adam", "adam (betas 0.9, 0.999) or sgd.")
    lr: float = _field(1e-4, "Highest learning rate.")
    schedule: str = _field(
        "cosine", "cosine or step (both change once an epoch), or one-cycle (linear up, then cosine to 0, every step)."
    )
    step_epochs: int = _field(10, "Epochs between two drops of the step schedule.")
    step_factor: float = _field(0.1, "Factor of each drop of the step schedule.")
    warmup: float = _field(0.0, "Share of all steps in which the one-cycle schedule climbs from 0.")
    momentum: float = _field(0.0, "Momentum of sgd (Nesterov's, where not 0).")
    weight_decay: float = _field(0.0, "L2 penalty in sgd's or adam's sense, on all parameters but gates.")
    clip_norm: float = _field(0.0, "Gradients longer than this are shortened to it; 0 is off.")
    label_smoothing: float = _field(0.0, "Share of the target spread evenly over all classes; the loss shown is without it.")
    crop_padding: int = _field(0, "Random shift by up to this many pixels each way, edges mirrored.")
    horizontal_flip: bool = _field(False, "Mirror half of the images left to right.")
    vertical_flip: bool = _field(False, "Mirror half of the images top to bottom.")
    rotation_degrees: float = _field(0.0, "Random rotation by up to this angle each way, corners black.")
    gate_lr_factor: float = _field(10.0, "Learning rate of batch-instance gates, as a multiple of the others'.")

    def __post_init__(self) -> None:
        if self.last_norm:
            _choose("last_norm", self.last_norm, tuple(norm_keys()))
        _choose("optimizer", self.optimizer, ("adam", "sgd"))
        _choose("schedule", self.schedule, ("cosine", "step", "one-cycle"))
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be between 1 and {most:,}, got {getattr(self, name)}.")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ConfigError(f"lr must be positive, got {self.lr}.")
        for name, highest in _HIGHEST.items():
            if not (0 <= getattr(self, name) <= highest and math.isfinite(getattr(self, name))):
                raise ConfigError(f"{name} must be between 0 and {highest:g}, got {getattr(self, name)}.")
        if not 0 <= self.crop_padding < self.image_size:
            raise ConfigError(f"crop_padding must be between 0 and image_size - 1, got {self.crop_padding}.")

    @property
    def base(self) -> str:
        """Name of the recipe in which fields were changed to make this one; its own where none was."""
        return self.name.partition(",")[0]

    def changed(self, **changes: Any) -> "Recipe":
        """The same recipe with some fields replaced."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON; a last norm only where it is another than the others, as in what was stored before."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value or name != "last_norm"}


def _choose(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")


#: Where the search for `strong` began.
_START = Recipe(
    name="strong-start",
    batch_size=128,
    optimizer="sgd",
    lr=0.1,
    schedule="one-cycle",
    warmup=0.2,
    momentum=0.9,
    weight_decay=5e-4,
    crop_padding=4,
    horizontal_flip=True,
)

_ALL = (
    Recipe(name="paper"),
    Recipe(
        name="paper-sgd",
        optimizer="sgd",
        schedule="step",
        rotation_degrees=20,
        horizontal_flip=True,
        vertical_flip=True,
    ),
    # The best of `plans.SEARCH_FINAL` by the rule that RESULTS.md tells, judged on held-out training images.
    _START.changed(name="strong", batch_size=64, lr=0.2, clip_norm=1.0),
    _START,
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise ConfigError(f"Unknown recipe {name!r}. Choose one of: {', '.join(RECIPES)}.") from None
