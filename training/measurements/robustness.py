"""Measurement of accuracy on corrupted validation images, and of why low contrast costs accuracy."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normzoo.analysis.robustness import CHANGES
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt_pixels
from normzoo.images.preprocess import to_input
from normzoo.inference.predict import BATCH_SIZE, compute_logits
from normzoo.inference.value_trace import with_border
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import CONTRAST_TABLE, Checkpoint
from training.data.dataset import ImageData, data_root, load_once
from training.engine import metrics
from training.measurements.tables import Row, of_each, on_each_core, rounded, stored_rows, write_tables

#: Severity 0 is the clean image, the same for every corruption.
ALL = tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES)
#: Cases recomputed by every check: each corruption at one severity, every severity at least once.
SAMPLE = tuple((name, SEVERITIES[i % len(SEVERITIES)]) for i, name in enumerate(CORRUPTIONS))


def measure(network: ResNet, data: ImageData, seed: int, cases: tuple[tuple[str, int], ...] = ALL) -> list[dict[str, Any]]:
    """Loss (nats) and accuracy on the validation set under each (corruption, severity): the rows of `robustness.csv`."""
    mean, std, labels = torch.tensor(data.mean), torch.tensor(data.std), data.labels["val"]

    def row(case: tuple[str, int]) -> dict[str, Any]:
        name, severity = case
        logits = compute_logits(network, corrupted_pixels(data, name, severity), mean, std, torch.channels_last).half()
        found = metrics.from_logits(logits, labels)
        return {"seed": seed, "corruption": name, "severity": severity, "loss": found["loss"], "accuracy": found["accuracy"]}

    return on_each_core(row, cases)


@functools.lru_cache(maxsize=len(ALL))
def corrupted_pixels(data: ImageData, name: str, severity: int) -> torch.Tensor:
    """Return the corrupted validation images, computed once for all networks."""
    return torch.from_numpy(corrupt_pixels(data.pixels["val"].numpy(), name, severity))


#: Changes recomputed by every check: those that conclusions rest on, except two that are also stored elsewhere.
CHECKED = ("about the padding", "about the padding, bias scaled", "none, replicated border", "unrounded, replicated border")
FACTOR = CORRUPTIONS["contrast"].levels[-1]


def measure_contrast(checkpoints: Path, log: Callable[[str], None] = print, data: str | None = None) -> list[Path]:
    """Measure the main networks of every model set with available images; write one table per data set."""
    return write_tables(checkpoints, CONTRAST_TABLE, of_each(_rows, log), log, data)


def _rows(checkpoint: Checkpoint) -> list[Row]:
    data = load_once(checkpoint.metrics["data"], checkpoint.config.image_size, data_root())
    accuracies = contrast_accuracies(checkpoint.load_model(), data, checkpoint.metrics["variant"], list(CHANGES))
    return [{"factor": FACTOR, "change": change, "accuracy": accuracy} for change, accuracy in accuracies.items()]


def contrast_accuracies(network: ResNet, data: ImageData, variant: str, changes: Iterable[str]) -> dict[str, float]:
    """Return the validation accuracy under each change that applies to the variant."""
    found = {}
    for change in changes:
        images, _, special = change.partition(", ")
        if special == "bias scaled" and variant != "nn":
            continue  # only without norms are the logits as large as the input
        subject = with_border(network, "first") if special == "replicated border" else network
        bias = FACTOR if special == "bias scaled" else 1.0
        found[change] = rounded(_accuracy(subject, _changed(data)[images], data.labels["val"], bias))
    return found


def check_contrast(checkpoint: Checkpoint, network: ResNet, data: ImageData, changes: Iterable[str] = CHECKED) -> list[str]:
    """Return the differences from the stored rows of a network, for these `changes`."""
    rows = stored_rows(checkpoint, CONTRAST_TABLE)
    stored = {row["change"]: row["accuracy"] for row in rows}
    if not stored:
        return []
    position = checkpoint.metrics["seeds"].index(min(checkpoint.metrics["seeds"]))
    corrupted = {(row["corruption"], row["severity"]): row["accuracy"] for row in checkpoint.robustness()}
    expected = {
        "none": checkpoint.metrics["final"]["val"]["accuracy"]["values"][position],
        "stored": corrupted["contrast", SEVERITIES[-1]],
        **contrast_accuracies(network, data, checkpoint.metrics["variant"], changes),
    }
    return [
        f"{CONTRAST_TABLE} has {stored.get(change)} under {change!r}, found is {accuracy}"
        for change, accuracy in expected.items()
        if stored.get(change) is None or abs(stored[change] - accuracy) > 1e-6
    ]


@functools.lru_cache(maxsize=1)
def _changed(data: ImageData) -> dict[str, Tensor]:
    """Validation images as the networks' input, (N, 3, H, W), by the first part of the names in `CHANGES`."""
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    pixels = data.pixels["val"]
    weights = torch.tensor([0.299, 0.587, 0.114])  # of Pillow's grey
    grey = (pixels.float() @ weights).mean((1, 2))[:, None, None, None]
    padding = 255 * mean  # `to_input` makes it 0
    inputs = {
        "none": pixels,
        "stored": corrupted_pixels(data, "contrast", SEVERITIES[-1]),
        "unrounded": grey + (pixels.float() - grey) * FACTOR,
        "about the padding": (padding + (pixels.float() - padding) * FACTOR).round(),
    }
    return {change: to_input(each, mean, std) for change, each in inputs.items()}


@torch.inference_mode()
def _accuracy(network: ResNet, images: Tensor, labels: Tensor, bias: float) -> float:
    # At the precision that logits are stored in, so that clean accuracy is the stored one.
    batches = (batch.to(memory_format=torch.channels_last) for batch in images.split(BATCH_SIZE))
    logits = (network(batch) + (bias - 1) * network.fc.bias if bias != 1 else network(batch) for batch in batches)
    predicted = torch.cat([each.half().argmax(1) for each in logits])
    return float((predicted == labels).double().mean())
