"""Measurement of networks that remember statistics, with those of the images that go through together instead."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normzoo.analysis.findings.companies import (
    BATCHES,
    BY_CLASS,
    COMPANIES_COLUMNS,
    RANDOM,
    SWAPPED,
    read_companies_table,
)
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.images.preprocess import to_input
from normzoo.inference.statistics import remembers, with_statistics
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import COMPANIES_TABLE, Checkpoint
from training.data.dataset import ImageData, data_root, load_once
from training.measurements.robustness import corrupted_pixels
from training.measurements.rounding import rounded
from training.measurements.tables import Row, stored_rows, write_tables

#: images, severity, order, batch.
Case = tuple[str, int, str, str]
#: All that is measured.
CASES: tuple[Case, ...] = (
    *(("clean", 0, order, batch) for order in (RANDOM, BY_CLASS) for batch in BATCHES),
    *((name, severity, RANDOM, batch) for name in CORRUPTIONS for severity in SEVERITIES for batch in BATCHES),
)
#: What is computed again on every check: the whole would take many minutes.
SAMPLE: tuple[Case, ...] = (
    ("clean", 0, BY_CLASS, "8"),
    ("clean", 0, RANDOM, "32"),
    ("contrast", SEVERITIES[-1], RANDOM, "200"),
)
#: Images whose answer another processor may round to another class.
TOLERANCE_IMAGES = 3


def measure_companies(checkpoints: Path, say: Callable[[str], None] = print, data: str | None = None) -> list[Path]:
    """Measure the main networks with running statistics of every model set, and write a table for each data set.

    Raises:
        DataError: the images are not here.
        CheckpointError: nothing is packaged, or a table could not be written.
    """
    return write_tables(checkpoints, COMPANIES_TABLE, COMPANIES_COLUMNS, _rows, say, data=data)


def check_companies(checkpoint: Checkpoint, network: ResNet, data: ImageData, cases: tuple[Case, ...] = SAMPLE) -> list[str]:
    """Return what the stored rows of a network say that is not so, where it has rows; of the other cases only a missing one."""
    stored = {case_of(row): row for row in stored_rows(checkpoint, COMPANIES_TABLE, read_companies_table)}
    if not stored:
        return []
    if set(stored) != set(CASES):
        return [f"{COMPANIES_TABLE} does not hold every corruption, severity and batch"]
    tolerance = TOLERANCE_IMAGES / len(data.labels["val"])
    found = _measure(network, data, cases)
    return [
        f"{COMPANIES_TABLE} has {key} {stored[case_of(row)][key]} for {case_of(row)}, found is {row[key]}"
        for row in found
        for key in ("accuracy", SWAPPED)
        if row[key] != "" and abs(float(stored[case_of(row)][key]) - row[key]) > tolerance
    ]


def case_of(row: dict[str, Any]) -> Case:
    """Return what a row was measured on."""
    return row["images"], int(row["severity"]), row["order"], row["batch"]


def _rows(checkpoint: Checkpoint) -> list[Row]:
    network = checkpoint.load_model()
    if not remembers(network):
        return []
    data = load_once(checkpoint.metrics["data"], checkpoint.config.image_size, data_root())
    return [{"seed": min(checkpoint.metrics["seeds"]), **row} for row in _measure(network, data, CASES)]


def _measure(network: ResNet, data: ImageData, cases: tuple[Case, ...]) -> list[Row]:
    """Return the accuracy in each case; of clean images in random order also the share that another order changes."""
    labels = data.labels["val"]
    alone = with_statistics(network, "batch")
    rows = []
    for images, severity, order, batch in cases:
        pixels = data.pixels["val"] if images == "clean" else corrupted_pixels(data, images, severity)
        answers = _answers(alone, pixels, data, _companies(labels, order, batch, seed=0))
        row = {"images": images, "severity": severity, "order": order, "batch": batch}
        row |= rounded({"accuracy": float((answers == labels).double().mean())})
        row[SWAPPED] = ""
        if images == "clean" and order == RANDOM and batch != "all":
            others = _answers(alone, pixels, data, _companies(labels, order, batch, seed=1))
            row |= rounded({SWAPPED: float((answers != others).double().mean())})
        rows.append(row)
    return rows


def _companies(labels: Tensor, order: str, batch: str, seed: int) -> Iterator[Tensor]:
    """Positions of the images that go through together: as many batches as have at least that many, as equal as can be."""
    count = len(labels)
    positions = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    if order == BY_CLASS:
        positions = positions[labels[positions].argsort(stable=True)]
    return iter(positions.tensor_split(1 if batch == "all" else max(1, count // int(batch))))


@torch.inference_mode()
def _answers(network: nn.Module, pixels: Tensor, data: ImageData, companies: Iterator[Tensor]) -> Tensor:
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    answers = torch.empty(len(pixels), dtype=torch.long)
    for company in companies:
        batch = to_input(pixels[company], mean, std).to(memory_format=torch.channels_last)
        answers[company] = network(batch).argmax(1)
    return answers
