"""Measurement of networks with batch statistics at test time in place of running statistics."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normzoo.analysis.robustness import BATCHES, BLEND_BATCH, BY_CLASS, CHANGED, CLEAN, MIXED, RANDOM, SOURCE_WEIGHTS
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.images.preprocess import to_input
from normzoo.inference.predict import has_running_statistics, with_statistics
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import BATCH_STATISTICS_TABLE, Checkpoint
from training.data.dataset import ImageData, data_root, load_once
from training.measurements.robustness import ALL, corrupted_pixels
from training.measurements.tables import Row, of_each, rounded, stored_rows, write_tables

#: images, severity, order, batch, weight of the running statistics.
Case = tuple[str, int, str, str, int]
#: All cases. All images under all corruptions would be too large a batch.
CASES: tuple[Case, ...] = (
    *((CLEAN, 0, BY_CLASS, batch, 0) for batch in BATCHES),
    *(
        (images, severity, RANDOM, batch, weight)
        for weight in SOURCE_WEIGHTS
        for images, severity in ((CLEAN, 0), *((name, severity) for name in CORRUPTIONS for severity in SEVERITIES), (MIXED, 0))
        for batch in (BATCHES if weight == 0 else (BLEND_BATCH,))
        if (images, batch) != (MIXED, "all")
    ),
)
#: Cases recomputed by every check.
SAMPLE: tuple[Case, ...] = (
    (CLEAN, 0, BY_CLASS, "8", 0),
    (CLEAN, 0, RANDOM, "32", 0),
    ("contrast", SEVERITIES[-1], RANDOM, "200", 0),
    ("contrast", SEVERITIES[-1], RANDOM, "32", SOURCE_WEIGHTS[-1]),
)
#: Images whose prediction may differ on another processor, by rounding.
TOLERANCE_IMAGES = 3


def measure_batch_statistics(checkpoints: Path, log: Callable[[str], None] = print, data: str | None = None) -> list[Path]:
    """Measure the networks with running statistics of every unchanged recipe; write one table per data set."""
    measure = of_each(_rows, log)
    return write_tables(checkpoints, BATCH_STATISTICS_TABLE, measure, log, data, lambda model_set: "," not in model_set.recipe)


def check_batch_statistics(
    checkpoint: Checkpoint, network: ResNet, data: ImageData, cases: Sequence[Case] = SAMPLE
) -> list[str]:
    """Return the differences from the stored rows of a network."""
    stored = {case_of(row): row for row in stored_rows(checkpoint, BATCH_STATISTICS_TABLE)}
    if not stored:
        return []
    if set(stored) != set(CASES):
        return [f"{BATCH_STATISTICS_TABLE} lacks corruptions, severities, batches or weights"]
    tolerance = TOLERANCE_IMAGES / len(data.labels["val"])
    return [
        f"{BATCH_STATISTICS_TABLE} has {key} {stored[case_of(row)][key]} for {case_of(row)}, found is {row[key]}"
        for row in _measure(network, data, cases)
        for key in ("accuracy", CHANGED)
        if row[key] != "" and abs(stored[case_of(row)][key] - row[key]) > tolerance
    ]


def case_of(row: dict[str, Any]) -> Case:
    """Return the case of a row."""
    return row["images"], row["severity"], row["order"], row["batch"], row["source_weight"]


def _rows(checkpoint: Checkpoint) -> list[Row]:
    network = checkpoint.load_model()
    if not has_running_statistics(network):
        return []
    data = load_once(checkpoint.metrics["data"], checkpoint.config.image_size, data_root())
    return [{"seed": min(checkpoint.metrics["seeds"]), **row} for row in _measure(network, data, CASES)]


def _measure(network: ResNet, data: ImageData, cases: Sequence[Case]) -> list[Row]:
    """Return the accuracy in each case; of clean images in random order also the share of predictions that another order
    changes.
    """
    labels = data.labels["val"]
    networks = {weight: with_statistics(network, float(weight) if weight else "batch") for weight in SOURCE_WEIGHTS}
    rows = []
    for images, severity, order, batch, weight in cases:
        pixels, truth = _images(data, images, severity), labels if images != MIXED else labels.repeat(len(ALL))
        predicted = _predict(networks[weight], pixels, data, _batches(truth, order, batch, seed=0))
        row: Row = {"images": images, "severity": severity, "order": order, "batch": batch, "source_weight": weight}
        row |= rounded({"accuracy": float((predicted == truth).double().mean())})
        row[CHANGED] = ""
        if images == CLEAN and order == RANDOM and batch != "all":
            others = _predict(networks[weight], pixels, data, _batches(truth, order, batch, seed=1))
            row |= rounded({CHANGED: float((predicted != others).double().mean())})
        rows.append(row)
    return rows


def _images(data: ImageData, images: str, severity: int) -> Tensor:
    if images == CLEAN:
        return data.pixels["val"]
    if images == MIXED:
        return torch.cat([corrupted_pixels(data, *case) for case in ALL])
    return corrupted_pixels(data, images, severity)


def _batches(labels: Tensor, order: str, batch: str, seed: int) -> Iterator[Tensor]:
    """Positions of the images of each batch: as many equal batches of at least this size as possible."""
    count = len(labels)
    positions = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    if order == BY_CLASS:
        positions = positions[labels[positions].argsort(stable=True)]
    return iter(positions.tensor_split(1 if batch == "all" else max(1, count // int(batch))))


@torch.inference_mode()
def _predict(network: nn.Module, pixels: Tensor, data: ImageData, batches: Iterator[Tensor]) -> Tensor:
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    predicted = torch.empty(len(pixels), dtype=torch.long)
    for positions in batches:
        batch = to_input(pixels[positions], mean, std).to(memory_format=torch.channels_last)
        predicted[positions] = network(batch).argmax(1)
    return predicted
