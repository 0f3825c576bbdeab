"""Available trained networks: model sets (a data set and a recipe) and their variants."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from normzoo.errors import CheckpointError, ConfigError, HubError
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import ResNet
from normzoo.pretrained import hub
from normzoo.pretrained.checkpoint import Checkpoint, ModelConfig, open_checkpoint
from normzoo.variants import Variant

PACKAGED = Path(__file__).parents[2] / "checkpoints"


@dataclass(frozen=True)
class Model:
    """A loaded variant: a network in evaluation mode, with its configuration.

    >>> normzoo.Model.from_pretrained("checkpoints/tiny-imagenet-25/paper/bn").variant
    'bn'
    """

    variant: str
    network: ResNet
    config: ModelConfig
    folder: Path | None = None  # of its checkpoint

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "Model":
        """The same as `load_model`, under the usual name."""
        return load_model(path)

    def push_to_hub(self, repository: str, private: bool | None = None) -> str:
        """Upload its checkpoint to a repository of its own on the Hugging Face Hub.

        `load_model("hf://user/repo")` loads it from there.

        Args:
            repository: user/repo; created if it does not exist.
            private: only for you; None: the default of your account.

        Returns:
            The address of the commit.

        Raises:
            ConfigError: it was not loaded from a checkpoint.
            HubError: the Hub rejected it or cannot be reached.
        """
        if self.folder is None:
            raise ConfigError("Only a network loaded from a checkpoint can be uploaded. Package it, then load it.")
        return hub.upload(self.folder, repository, private)


@dataclass(frozen=True)
class ModelSet:
    """All variants trained with one recipe on one data set, and the reason for each that cannot be read."""

    name: str  # "tiny-imagenet-25/paper"
    checkpoints: dict[str, Checkpoint]
    problems: dict[str, str]

    @property
    def data(self) -> str:
        """Name of the data set: "tiny-imagenet-25"."""
        return self.name.partition("/")[0]

    @property
    def base_data(self) -> str:
        """The same without the image size: "tiny-imagenet-25" for "tiny-imagenet-25-64px"."""
        return self.data.removesuffix(f"-{self.image_size}px")

    @property
    def recipe(self) -> str:
        """Name of the recipe: "paper"."""
        return self.name.partition("/")[2]

    @property
    def image_size(self) -> int:
        """Side in pixels of its networks' input; 32 if unknown."""
        return next((checkpoint.config.image_size for checkpoint in self.checkpoints.values()), 32)

    @property
    def main_variants(self) -> list[str]:
        """The readable variants with a built-in norm and the recipe's settings."""
        return [key for key in self.checkpoints if Variant.parse(key).is_main]

    def covers(self, variant: str) -> str:
        """Return the hash of the weights that a measurement of a variant covers; for other names, of all main variants."""
        variants = [variant] if variant in self.checkpoints else self.main_variants
        hashes = {key: str(self.checkpoints[key].metrics["provenance"].get("weights_sha256")) for key in variants}
        return " ".join(f"{key}:{sha[:12]}" for key, sha in hashes.items())


def checkpoints_root(place: str | None = None) -> Path:
    """Folder of the model sets: `place`, or `$NORMZOO_CHECKPOINTS`, or the folder beside the library.

    Args:
        place: a folder, or a repository on the Hugging Face Hub, `hf://user/repo[@revision]`, which is downloaded.
    """
    place = place or os.environ.get("NORMZOO_CHECKPOINTS")
    if not place:
        return PACKAGED
    hub_id = hub.HubId.parse(place)
    if place.startswith(hub.PREFIX) and not hub_id:
        raise HubError(f"{place!r} is no repository on the Hugging Face Hub. Give hf://user/repo or hf://user/repo@revision.")
    return hub.download(hub_id) if hub_id else Path(place)


def list_model_sets(root: Path | None = None) -> list[ModelSet]:
    """Return every model set under `root`, by name; a broken variant is reported in its set.

    >>> model_sets = {model_set.name: model_set for model_set in normzoo.list_model_sets()}
    >>> model_sets["tiny-imagenet-25/paper"].main_variants[:3]
    ['nn', 'bn', 'in']

    Args:
        root: folder of the sets; None: `checkpoints_root()`.
    """
    root = root or checkpoints_root()
    folders = sorted(path for path in root.glob("*/*") if path.is_dir() and "/." not in f"/{path.relative_to(root).as_posix()}")
    return [_read_set(folder, root) for folder in folders]


def get_model_set(name: str, root: Path | None = None) -> ModelSet:
    """Return the model set of that name, such as `tiny-imagenet-25/paper`, under `root`."""
    root = root or checkpoints_root()
    return _choose(name, list_model_sets(root), root)


def default_model_set(model_sets: Iterable[ModelSet]) -> ModelSet | None:
    """Return the set whose best network has the highest validation accuracy; None if there is none."""
    return max(model_sets, key=best_accuracy, default=None)


def best_accuracy(model_set: ModelSet) -> float:
    """Highest accuracy of the built-in norms; -1 if unknown."""
    found = [-1.0]
    for variant in model_set.main_variants:
        with contextlib.suppress(LookupError, TypeError, ValueError):
            found.append(float(model_set.checkpoints[variant].metrics["final"]["val"]["accuracy"]["mean"]))
    return max(found)


def nothing_in(root: Path) -> ConfigError:
    """Return the error for a folder without model sets."""
    return ConfigError(
        f"There is no trained network in {root}. Set NORMZOO_CHECKPOINTS, or --checkpoints on the command line, to a folder "
        "of checkpoints or to a repository on the Hugging Face Hub (hf://user/repo)."
    )


def load_models(model_set: str | ModelSet, variants: list[str] | None = None) -> dict[str, Model]:
    """Load the networks of a model set.

    >>> models = normzoo.load_models("tiny-imagenet-25/paper", ["bn", "gn"])
    >>> models["gn"].config.classes[:2]
    ('goldfish', 'king penguin')

    Args:
        model_set: a set or its name; or a repository on the Hugging Face Hub, `hf://user/repo`, with `/<data set>/<recipe>`
            if it has several, and `@revision` to pin one.
        variants: keys; None: the built-in norms.

    Raises:
        ConfigError: no such set or variant.
        CheckpointError: a variant cannot be loaded.
        HubError: the repository cannot be downloaded.
    """
    if isinstance(model_set, str):
        model_set = _find_model_set(model_set)
    models = {}
    for variant in variants if variants is not None else model_set.main_variants:
        if variant in model_set.problems:
            raise CheckpointError(f"{model_set.name}/{variant}: {model_set.problems[variant]}")
        if variant not in model_set.checkpoints:
            raise ConfigError(f"Unknown variant {variant!r}. Choose one of: {', '.join(model_set.checkpoints)}.")
        models[variant] = _load(model_set.checkpoints[variant])
    return models


def load_model(path: str | Path) -> Model:
    """Load the network of one checkpoint.

    >>> model = normzoo.load_model("checkpoints/tiny-imagenet-25/paper/bn")
    >>> model.variant, model.config.image_size
    ('bn', 32)

    Args:
        path: its folder, or on the Hugging Face Hub `hf://user/repo` (with one checkpoint) or
            `hf://user/repo/<data set>/<recipe>/<variant>`, optionally with `@revision`.

    Raises:
        CheckpointError: it does not exist or cannot be loaded.
        HubError: the repository cannot be downloaded.
    """
    folder = Path(path)
    hub_id = hub.HubId.parse(path) if isinstance(path, str) else None
    if hub_id and hub_id.depth in (0, hub.DEPTH):
        folder = hub.download(hub_id, is_one=hub_id.depth == 0) / hub_id.folder
    if not folder.is_dir():
        raise CheckpointError(
            f"There is no folder {path}. Give the folder of one checkpoint, or "
            "hf://user/repo/<data set>/<recipe>/<variant> on the Hugging Face Hub."
        )
    return _load(open_checkpoint(folder))


def _find_model_set(name: str) -> ModelSet:
    """Return a local model set or, named `hf://…`, one on the Hub."""
    hub_id = hub.HubId.parse(name)
    if hub_id is None or hub_id.depth == hub.DEPTH:
        root = checkpoints_root()
        return _choose(name, list_model_sets(root), root)
    there = [
        model_set
        for model_set in list_model_sets(hub.download(hub_id))
        if f"{model_set.name}/".startswith(hub_id.folder and f"{hub_id.folder}/")
    ]
    if len(there) != 1:
        names = ", ".join(f"{hub.PREFIX}{hub_id.repository}/{model_set.name}" for model_set in there)
        raise ConfigError(f"{name!r} must have one model set, got {len(there)}. Choose one of: {names or 'none'}.")
    return there[0]


def _choose(name: str, model_sets: list[ModelSet], root: Path) -> ModelSet:
    if not model_sets:
        raise nothing_in(root)
    by_name = {model_set.name: model_set for model_set in model_sets}
    if name not in by_name:
        raise ConfigError(f"Unknown model set {name!r}. Choose one of: {', '.join(by_name)}.")
    return by_name[name]


def _load(checkpoint: Checkpoint) -> Model:
    return Model(checkpoint.metrics["variant"], checkpoint.load_model(), checkpoint.config, checkpoint.folder)


def _read_set(folder: Path, root: Path) -> ModelSet:
    checkpoints, problems = {}, {}
    order = {key: place for place, key in enumerate(NORM_LAYERS)}
    paths = (path for path in folder.iterdir() if path.is_dir())
    for path in sorted(paths, key=lambda path: (order.get(path.name, len(order)), path.name)):
        if path.name.startswith("."):
            continue
        try:
            checkpoint = open_checkpoint(path)
            if checkpoint.metrics["variant"] != path.name:
                raise CheckpointError(
                    f"This folder has the checkpoint of {checkpoint.metrics['variant']!r}. Download or package it again."
                )
            checkpoints[path.name] = checkpoint
        except CheckpointError as error:
            problems[path.name] = str(error)
    return ModelSet(folder.relative_to(root).as_posix(), checkpoints, problems)
