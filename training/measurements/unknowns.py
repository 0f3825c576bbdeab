"""Measurement of how sure networks are of images of nothing that they know."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from normzoo.analysis.findings.unknowns import (
    TOGETHER,
    UNKNOWN_CLASSES,
    UNKNOWNS_COLUMNS,
    read_unknowns_table,
)
from normzoo.analysis.results import measured_rows
from normzoo.errors import DataError
from normzoo.images.preprocess import to_pixels
from normzoo.inference.predict import compute_logits
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import UNKNOWNS_TABLE, Checkpoint
from normzoo.pretrained.registry import ModelSet
from training.data.dataset import ImageData, data_root, load_once
from training.data.sources import SOURCES, own_image_size
from training.measurements.rounding import rounded
from training.measurements.tables import stored_rows, write_tables

UNKNOWN_DATA = "cifar-10"
NOISE_IMAGES = 500
#: Data sets whose networks are known to know none of the classes that are taken as unknown.
ASKED = {name for name, source in SOURCES.items() if not set(UNKNOWN_CLASSES) & set(source.classes)}


def measure_unknowns(checkpoints: Path, say: Callable[[str], None] = print, data: str | None = None) -> list[Path]:
    """Measure the main networks of every model set, and write a table for each data set.

    Raises:
        DataError: the images of unknown things are not here.
        CheckpointError: nothing is packaged, or a table could not be written.
    """
    return write_tables(
        checkpoints,
        UNKNOWNS_TABLE,
        UNKNOWNS_COLUMNS,
        lambda checkpoint: [_row(checkpoint, checkpoint.load_model())],
        say,
        _together,
        data,
        lambda model_set: model_set.data in ASKED,
    )


def check_unknowns(checkpoint: Checkpoint, network: ResNet) -> list[str]:
    """Return what the stored row of a network says that is not so, where it has one.

    Without the unknown images only the noise is computed again; known images are those of the stored logits.
    """
    stored = next(iter(stored_rows(checkpoint, UNKNOWNS_TABLE, read_unknowns_table)), None)
    if stored is None:
        return []
    try:
        found = _row(checkpoint, network)
    except DataError:
        found = {"noise_confidence": rounded(_noise_confidence(checkpoint, network))}
    return _differences(stored, found)


def check_together(model_set: ModelSet) -> list[str]:
    """Return what the stored row of all networks of a set together says that is not so, where it and the images are here."""
    stored = measured_rows(model_set, [TOGETHER], UNKNOWNS_TABLE, read_unknowns_table)
    try:
        found = _together(model_set) if stored else []
    except DataError:
        return []
    return [problem for each in found for problem in _differences(stored[0], each)]


def _differences(stored: dict[str, str], found: dict[str, Any]) -> list[str]:
    # Processors differ in the last bits of a logit, and so in the place of an image that is nearly as sure as another.
    return [
        f"{UNKNOWNS_TABLE} has {key} {stored[key]}, found is {value}"
        for key, value in found.items()
        if key != "variant"
        if (stored[key] == "") != (value == "") or (value != "" and abs(float(stored[key]) - value) > 2e-3)
    ]


def _row(checkpoint: Checkpoint, network: ResNet) -> dict[str, Any]:
    known, unknown = (_largest(each) for each in _probabilities(checkpoint, network))
    row = {"seed": min(checkpoint.metrics["seeds"]), **_parted(known, unknown)}
    found: dict[str, Any] = rounded(row | {"noise_confidence": _noise_confidence(checkpoint, network)})
    return found


def _together(model_set: ModelSet) -> list[dict[str, Any]]:
    """Of the mean of all networks' probabilities, in which they count less where they disagree."""
    checkpoints = [model_set.checkpoints[variant] for variant in model_set.main_variants]
    if len(checkpoints) < 2:
        return []
    each = [_probabilities(checkpoint, checkpoint.load_model()) for checkpoint in checkpoints]
    known, unknown = (_largest(np.mean(part, axis=0)) for part in zip(*each, strict=True))
    seed = min(checkpoints[0].metrics["seeds"])
    return [rounded({"variant": TOGETHER, "seed": seed, **_parted(known, unknown), "noise_confidence": ""})]


def _probabilities(checkpoint: Checkpoint, network: ResNet) -> tuple[np.ndarray, np.ndarray]:
    """Of the validation images, from the stored logits, and of the unknown ones."""
    config = checkpoint.config
    known = checkpoint.val_logits()[0][min(checkpoint.metrics["seeds"])]
    pixels = _unknown_pixels(load_once(UNKNOWN_DATA, own_image_size(UNKNOWN_DATA), data_root()), config.image_size)
    unknown = compute_logits(network, pixels, torch.tensor(config.mean), torch.tensor(config.std), torch.channels_last).half()
    return _softmax(known), _softmax(unknown)


def _parted(known: np.ndarray, unknown: np.ndarray) -> dict[str, Any]:
    """How the largest probabilities of known images part from those of unknown ones."""
    is_known = np.concatenate([np.ones(len(known)), np.zeros(len(unknown))])
    sure = np.concatenate([known, unknown])
    false_known, true_known, thresholds = roc_curve(is_known, sure)
    threshold = float(thresholds[(true_known - false_known).argmax()])
    auroc = float(roc_auc_score(is_known, sure))
    counts = {"known": len(known), "unknown": len(unknown), "auroc": auroc}
    if auroc <= 0.5 or not np.isfinite(threshold):  # nothing parts them
        return {**counts, "threshold": "", "known_below": "", "unknown_below": ""}
    return {
        **counts,
        "threshold": threshold,
        "known_below": float((known < threshold).mean()),
        "unknown_below": float((unknown < threshold).mean()),
    }


def _softmax(logits: Tensor) -> np.ndarray:
    probabilities: np.ndarray = logits.double().softmax(1).numpy()
    return probabilities


def _largest(probabilities: np.ndarray) -> np.ndarray:
    largest: np.ndarray = probabilities.max(1)
    return largest


def _noise_confidence(checkpoint: Checkpoint, network: ResNet) -> float:
    config = checkpoint.config
    draw = torch.Generator().manual_seed(0)
    shape = (NOISE_IMAGES, config.image_size, config.image_size, 3)
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    logits = compute_logits(network, noise, torch.tensor(config.mean), torch.tensor(config.std), torch.channels_last)
    return float(_largest(_softmax(logits)).mean())


@functools.lru_cache(maxsize=2)
def _unknown_pixels(data: ImageData, image_size: int) -> Tensor:
    """At the size that a network takes, as the page would make it of them."""
    wanted = torch.tensor([data.classes.index(name) for name in UNKNOWN_CLASSES])
    pixels = data.pixels["val"][torch.isin(data.labels["val"], wanted)]
    if image_size == data.image_size:
        return pixels
    return torch.from_numpy(np.stack([to_pixels(Image.fromarray(each), image_size) for each in pixels.numpy()]))
