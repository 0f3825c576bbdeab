"""What is in `checkpoints/`: model sets (a data set and a recipe) and their variants, loadable or not."""

import os
from dataclasses import dataclass
from pathlib import Path

from normzoo.checkpoint import Checkpoint, ModelConfig, open_checkpoint
from normzoo.errors import CheckpointError, ConfigError
from normzoo.norms import NORM_LAYERS
from normzoo.resnet import TORCH_NORM_LAYERS, ResNet


@dataclass(frozen=True)
class Model:
    """A loaded variant: a network in evaluation mode and how to feed it."""

    variant: str
    network: ResNet
    config: ModelConfig


@dataclass(frozen=True)
class ModelSet:
    """All variants trained with one recipe on one data set; those that cannot be read, with the reason."""

    name: str  # "tiny-imagenet-25/paper"
    checkpoints: dict[str, Checkpoint]
    problems: dict[str, str]

    @property
    def main_variants(self) -> list[str]:
        """The readable variants that are one of the zoo's norms, trained as the recipe says."""
        return [key for key in self.checkpoints if key in NORM_LAYERS]


def checkpoints_root() -> Path:
    """`$NORMZOO_CHECKPOINTS`, or the packaged folder beside the library."""
    return Path(os.environ.get("NORMZOO_CHECKPOINTS") or Path(__file__).parent.parent / "checkpoints")


def list_model_sets(root: Path | None = None) -> list[ModelSet]:
    """Every model set under `root`, by name; a broken variant is reported in its set and does not hide the others."""
    root = root or checkpoints_root()
    folders = sorted(path for path in root.glob("*/*") if path.is_dir() and not _hidden(path, root))
    return [_read_set(folder, root) for folder in folders]


def get_model_set(name: str, root: Path | None = None) -> ModelSet:
    """The model set of that name, such as `tiny-imagenet-25/paper`.

    Raises:
        ConfigError: there is none.
    """
    sets = {model_set.name: model_set for model_set in list_model_sets(root)}
    if name not in sets:
        raise ConfigError(f"Unknown model set {name!r}. Choose one of: {', '.join(sets) or 'none is packaged yet'}.")
    return sets[name]


def load_models(model_set: str | ModelSet, variants: list[str] | None = None) -> dict[str, Model]:
    """The networks of a model set, in the zoo's order.

    Args:
        model_set: its name or itself.
        variants: which; None takes the zoo's norms.

    Raises:
        ConfigError: no such set or variant.
        CheckpointError: a variant cannot be loaded.
    """
    if isinstance(model_set, str):
        model_set = get_model_set(model_set)
    models = {}
    for variant in variants if variants is not None else model_set.main_variants:
        if variant in model_set.problems:
            raise CheckpointError(f"{model_set.name}/{variant}: {model_set.problems[variant]}")
        if variant not in model_set.checkpoints:
            raise ConfigError(f"Unknown variant {variant!r}. Choose one of: {', '.join(model_set.checkpoints)}.")
        models[variant] = _load(model_set.checkpoints[variant])
    return models


def load_model(path: str | Path) -> Model:
    """The network of one checkpoint folder.

    Raises:
        CheckpointError: there is none, or it cannot be loaded.
    """
    return _load(open_checkpoint(Path(path)))


def describe_variant(variant: str) -> str:
    """A variant's name in words: "batch normalization", "… (torch's own layer)", "… at batch size 8"."""
    norm, _, batch_size = variant.partition("-bs")
    words = getattr(NORM_LAYERS.get(norm.removeprefix("torch-")), "title", norm)
    if norm in TORCH_NORM_LAYERS:
        words += " (torch's own layer)"
    return f"{words} at batch size {batch_size}" if batch_size else words


def _load(checkpoint: Checkpoint) -> Model:
    return Model(checkpoint.metrics["variant"], checkpoint.load_model(), checkpoint.config)


def _read_set(folder: Path, root: Path) -> ModelSet:
    checkpoints, problems = {}, {}
    for path in sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: _order(path.name)):
        if path.name.startswith("."):
            continue
        try:
            checkpoint = open_checkpoint(path)
            if checkpoint.metrics["variant"] != path.name:
                raise CheckpointError(f"This folder holds the checkpoint of {checkpoint.metrics['variant']!r}. Get it again.")
            checkpoints[path.name] = checkpoint
        except CheckpointError as error:
            problems[path.name] = str(error)
    return ModelSet(folder.relative_to(root).as_posix(), checkpoints, problems)


def _order(variant: str) -> tuple[int, str]:
    keys = list(NORM_LAYERS)
    return (keys.index(variant) if variant in keys else len(keys), variant)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
