"""One packaged checkpoint: a folder of safetensors, JSON and CSV that rebuilds a network and its results."""

import dataclasses
import functools
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from normzoo.config import config
from normzoo.errors import CheckpointError, ConfigError
from normzoo.images.preprocess import RESIZE_RULE
from normzoo.nn.own_norm import COPY, own_source, require_own_norm
from normzoo.nn.registry import NORM_LAYERS, get_norm_layer
from normzoo.nn.resnet import TORCH_NORM_LAYERS, NormLayer, ResNet
from normzoo.pretrained.serialization import (
    file_sha256,
    file_size,
    new_folder,
    parse_json,
    read_rows,
    read_tensors,
    read_text,
    text_sha256,
    to_json,
    write_rows,
    write_tensors,
)

FORMAT_VERSION = 1
HISTORY_COLUMNS = ("seed", "epoch", "split", "loss", "accuracy", "macro_f1", "micro_f1", "lr", "seconds")
ROBUSTNESS_COLUMNS = ("seed", "corruption", "severity", "loss", "accuracy")
WEIGHTS, CONFIG, HISTORY, METRICS = "model.safetensors", "config.json", "history.csv", "metrics.json"
LOGITS, ROBUSTNESS, CARD = "val_logits.safetensors", "robustness.csv", "README.md"
FILES = WEIGHTS, CONFIG, HISTORY, METRICS, LOGITS, ROBUSTNESS, CARD
BATCH_STATISTICS_TABLE, CONTRAST_TABLE, OOD_TABLE = "batch_statistics.csv", "contrast.csv", "ood.csv"
#: Tables of all networks of a data set, beside the folders of its recipes -> columns; `covers` names the measured weights.
TABLES = {
    BATCH_STATISTICS_TABLE: (
        *("recipe", "variant", "seed", "images", "severity", "order", "batch", "source_weight"),
        *("accuracy", "changed", "covers"),
    ),
    CONTRAST_TABLE: ("recipe", "variant", "factor", "change", "accuracy", "covers"),
    OOD_TABLE: (
        *("recipe", "variant", "against", "seed", "known", "unknown", "auroc", "standard_error"),
        *("fpr95", "threshold", "known_flagged", "unknown_flagged", "noise_confidence", "covers"),
    ),
}
#: Field of the provenance with a sha256 -> file.
HASHED = {"weights_sha256": WEIGHTS, "history_sha256": HISTORY, "logits_sha256": LOGITS, "robustness_sha256": ROBUSTNESS}
#: Fields of a configuration that are empty for most networks.
_OPTIONAL = ("norm_sha256", "last_norm")
Positive = Annotated[float, Field(gt=0)]
#: Size limit: networks of this family are far smaller.
MAX_WEIGHT_BYTES = 64_000_000


@config
class ModelConfig:
    """Everything needed to rebuild a network and prepare its input."""

    # A deeper network than one of 1,000 layers does not fit into MAX_WEIGHT_BYTES, and takes long to build.
    depth: Annotated[int, Field(ge=8, le=1000)]
    norm: str
    norm_arguments: dict[str, Any]
    classes: Annotated[tuple[str, ...], Field(max_length=10_000)]
    image_size: Annotated[int, Field(ge=1, le=256)]  # each is run once when it is loaded
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    resize: str = RESIZE_RULE
    format_version: int = FORMAT_VERSION
    # Only written where they are not empty.
    norm_sha256: str = ""  # of the file of a custom norm
    last_norm: str = ""  # where it is another than the others

    def __post_init__(self) -> None:
        if self.resize != RESIZE_RULE:
            raise ConfigError(f"resize must be {RESIZE_RULE!r}, got {self.resize!r}.")

    @property
    def layer(self) -> NormLayer:
        """Builder of a norm layer from the number of channels."""
        if self.norm in TORCH_NORM_LAYERS:
            return TORCH_NORM_LAYERS[self.norm]
        return functools.partial(get_norm_layer(self.norm), **self.norm_arguments)

    def build(self) -> ResNet:
        """Return the network with new weights."""
        return ResNet(self.depth, self.layer, len(self.classes), self.last_norm or None)

    def to_json(self) -> str:
        fields = dataclasses.asdict(self)
        return to_json({name: value for name, value in fields.items() if value or name not in _OPTIONAL})

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """Read the text written by `to_json`."""
        fields = parse_json(text, CONFIG)
        version = fields.get("format_version")
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{CONFIG} has format version {version!r}, this NormZoo reads {FORMAT_VERSION}: upgrade it.")
        try:
            return cls(**fields)
        except ConfigError as error:
            raise CheckpointError(f"{CONFIG} does not describe a network: {error} Package the run again.") from error


def default_arguments(norm: str) -> dict[str, Any]:
    """Constructor arguments of a built-in norm, by name; empty for torch's layers."""
    if norm not in NORM_LAYERS:
        return {}
    parameters = inspect.signature(NORM_LAYERS[norm]).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in ("device", "dtype")}


@dataclass(frozen=True)
class Checkpoint:
    """A packaged checkpoint with its description; weights and tables are read on demand."""

    folder: Path
    config: ModelConfig
    metrics: dict[str, Any]

    def load_model(self) -> ResNet:
        """Return the network with its weights, in evaluation mode.

        Raises:
            CheckpointError: weights missing, damaged, not those packaged, not finite, or of another network; a custom norm
                that the user has not named.
        """
        path = self.folder / WEIGHTS
        if file_size(path) > MAX_WEIGHT_BYTES:
            raise CheckpointError(
                f"{WEIGHTS} has {file_size(path) / 1e6:.0f} MB: no network of NormZoo is that large. Download it again."
            )
        if file_sha256(path) != self.metrics["provenance"]["weights_sha256"]:
            raise CheckpointError(f"{WEIGHTS} is not the file that was packaged (its sha256 differs). Download it again.")
        tensors, metadata = read_tensors(path)
        if metadata.get("config_sha256") != text_sha256(self.config.to_json()):
            raise CheckpointError(f"{WEIGHTS} was saved with another {CONFIG}. Package the run again.")
        if self.config.norm_sha256:
            require_own_norm(self.config.norm, self.config.norm_sha256, self.folder)
        try:
            model = self.config.build()
            model.load_state_dict(tensors, strict=True)
        except (RuntimeError, TypeError, ConfigError) as error:
            reason = " ".join(str(error).split()[:30])
            raise CheckpointError(f"{WEIGHTS} does not fit {CONFIG}: {reason} … Package the run again.") from error
        broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
        if broken:
            raise CheckpointError(f"{WEIGHTS} contains NaN or infinity ({broken[0]}). Train this variant again.")
        return model.eval()

    def history(self) -> list[dict[str, Any]]:
        """One row per seed, epoch and split, with the columns `HISTORY_COLUMNS`."""
        return read_rows(self.folder / HISTORY, HISTORY_COLUMNS)

    def robustness(self) -> list[dict[str, Any]]:
        """One row per corruption and severity, on the validation images, with the columns `ROBUSTNESS_COLUMNS`."""
        return read_rows(self.folder / ROBUSTNESS, ROBUSTNESS_COLUMNS)

    def measured(self, table: str) -> list[dict[str, Any]]:
        """All rows of one of `TABLES`, also of other networks of its data set; none if there is no table."""
        path = self.folder.parents[1] / table
        return read_rows(path, TABLES[table]) if path.exists() else []

    def val_logits(self) -> tuple[dict[int, Tensor], Tensor]:
        """Stored validation logits per seed, float16 (num_val, classes), and the labels, int64 (num_val,)."""
        tensors, _ = read_tensors(self.folder / LOGITS)
        labels, classes = tensors.pop("labels", torch.empty(0)), len(self.config.classes)
        fits = labels.dtype == torch.int64 and labels.ndim == 1 and bool(((labels >= 0) & (labels < classes)).all())
        by_seed = {int(name.removeprefix("seed_")): tensors[name] for name in tensors if re.fullmatch(r"seed_\d{1,19}", name)}
        shapes = {(*logits.shape,) for logits in by_seed.values() if logits.dtype == torch.float16}
        if not fits or not len(labels) or len(by_seed) != len(tensors) or shapes != {(len(labels), classes)}:
            raise CheckpointError(f"{LOGITS} has invalid content. Package the run again.")
        return dict(sorted(by_seed.items())), labels


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the description of a packaged checkpoint."""
    config = ModelConfig.from_json(read_text(folder / CONFIG))
    metrics = parse_json(read_text(folder / METRICS), METRICS)
    missing = {"variant", "seeds", "final", "parameters", "macs", "provenance"} - metrics.keys()
    if missing:
        raise CheckpointError(f"{METRICS} lacks {', '.join(sorted(missing))}. Package the run again.")
    provenance = metrics["provenance"]
    if not isinstance(metrics["variant"], str) or not isinstance(provenance, dict) or "weights_sha256" not in provenance:
        raise CheckpointError(f"{METRICS} has invalid content. Package the run again.")
    return Checkpoint(folder, config, metrics)


@dataclass(frozen=True)
class Contents:
    """Contents of a checkpoint folder."""

    model: ResNet
    config: ModelConfig
    history: list[dict[str, Any]]
    metrics: dict[str, Any]
    val_logits: dict[int, Tensor]
    labels: Tensor
    robustness: list[dict[str, Any]]
    card: str


def save_checkpoint(folder: Path, contents: Contents) -> None:
    """Write a checkpoint folder atomically; an older one of the same name is replaced.

    This sets the hashes of the files in `metrics["provenance"]`.
    """
    config, metrics = contents.config, contents.metrics
    try:
        with new_folder(folder) as temporary:
            metadata = {"format_version": str(FORMAT_VERSION), "config_sha256": text_sha256(config.to_json())}
            write_tensors(temporary / WEIGHTS, contents.model.state_dict(), metadata)
            (temporary / CONFIG).write_text(config.to_json(), encoding="utf-8")
            (temporary / CARD).write_text(contents.card, encoding="utf-8")
            stored = {f"seed_{seed}": logits.half() for seed, logits in contents.val_logits.items()}
            write_tensors(temporary / LOGITS, {**stored, "labels": contents.labels})
            write_rows(temporary / HISTORY, HISTORY_COLUMNS, contents.history)
            write_rows(temporary / ROBUSTNESS, ROBUSTNESS_COLUMNS, contents.robustness)
            source = own_source(config.norm) if config.norm_sha256 else None
            if source is not None:
                (temporary / COPY).write_text(source, encoding="utf-8", newline="")
            hashes = {key: file_sha256(temporary / name) for key, name in HASHED.items()}
            provenance = {**metrics["provenance"], **hashes}
            (temporary / METRICS).write_text(to_json({**metrics, "provenance": provenance}), encoding="utf-8")
            for path in temporary.iterdir():
                path.chmod(0o644)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"Could not write {folder} ({error}). The previous version is kept.") from error


def count_parameters(model: torch.nn.Module) -> int:
    """Number of trainable parameters of a network."""
    return sum(parameter.numel() for parameter in model.parameters())
