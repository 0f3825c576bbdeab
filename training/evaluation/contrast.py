"""Why less contrast harms a network that divides by each image's own deviation: the zeros around the image, measured."""

import csv
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt_pixels
from normzoo.images.preprocess import to_input
from normzoo.inference.predict import BATCH_SIZE
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.pretrained.serialization import write_csv
from training.data.dataset import ImageData, data_root
from training.evaluation.package import load_once, rounded

NAME = "contrast.csv"
COLUMNS = ("recipe", "variant", "factor", "change", "accuracy")
FACTOR = CORRUPTIONS["contrast"].levels[-1]

#: change -> what is done to the images of the strongest severity; the accuracy under each is one row.
CHANGES = {
    "none": "as they are",
    "stored": "towards each image's mean grey, as the corruption does it",
    "unrounded": "the same, without rounding to 8 bits",
    "about the padding": "towards the colour that becomes 0 and so is that of the padding, rounded to 8 bits",
}


def measure_contrast(checkpoints: Path, say: Callable[[str], None] = print) -> list[Path]:
    """Measure the main networks of every model set whose images are here, and write a table for each data set.

    Raises:
        DataError: the images are not here.
        CheckpointError: a table could not be written.
    """
    tables: dict[Path, list[dict[str, Any]]] = {}
    for model_set in list_model_sets(checkpoints):
        data_name = model_set.name.partition("/")[0]
        tables.setdefault(checkpoints / data_name / NAME, []).extend(contrast_rows(model_set))
    for path, rows in tables.items():
        write_csv(path, COLUMNS, rows)
        say(f"{path}  {len(rows)} rows")
    return list(tables)


def contrast_rows(model_set: ModelSet) -> list[dict[str, Any]]:
    """One row for each main network and change: validation accuracy of the packaged weights."""
    rows = []
    for variant in model_set.main_variants:
        if variant not in model_set.checkpoints:
            continue
        checkpoint = model_set.checkpoints[variant]
        data = load_once(checkpoint.metrics["data"], checkpoint.config.image_size, data_root())
        network = checkpoint.load_model()
        for change, images in _changed(data).items():
            accuracy = rounded(_accuracy(network, images, data.labels["val"]))
            recipe = checkpoint.metrics["recipe"]
            rows.append({"recipe": recipe, "variant": variant, "factor": FACTOR, "change": change, "accuracy": accuracy})
    return rows


def check_contrast(checkpoint: Checkpoint, network: ResNet, data: ImageData) -> list[str]:
    """What the stored rows of a network say that is not so, where it has rows.

    Two of them are stored elsewhere as well; of the others the last, from which the conclusions are drawn, is measured anew.
    """
    recipe, variant = checkpoint.metrics["recipe"], checkpoint.metrics["variant"]
    rows = read_contrast(checkpoint.folder.parents[1] / NAME)
    stored = {row["change"]: float(row["accuracy"]) for row in rows if (row["recipe"], row["variant"]) == (recipe, variant)}
    if not stored:
        return []
    seed = min(checkpoint.metrics["seeds"])
    harmed = {(row["corruption"], row["severity"]): row["accuracy"] for row in checkpoint.robustness()}
    position = checkpoint.metrics["seeds"].index(seed)
    last = list(CHANGES)[-1]
    expected = {
        "none": checkpoint.metrics["final"]["val"]["accuracy"]["values"][position],
        "stored": harmed["contrast", SEVERITIES[-1]],
        last: rounded(_accuracy(network, _changed(data)[last], data.labels["val"])),
    }
    return [
        f"{NAME} has {stored.get(change)} under {change!r}, found is {accuracy}"
        for change, accuracy in expected.items()
        if stored.get(change) != accuracy
    ]


def read_contrast(path: Path) -> list[dict[str, str]]:
    """The rows of a table; none where there is no table."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@functools.lru_cache(maxsize=1)
def _changed(data: ImageData) -> dict[str, Tensor]:
    """The validation images as the networks' input under each of `CHANGES`, (N, 3, H, W)."""
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    pixels = data.pixels["val"]
    harmed = torch.from_numpy(corrupt_pixels(pixels.numpy(), "contrast", SEVERITIES[-1]))
    weights = torch.tensor([0.299, 0.587, 0.114])  # of Pillow's grey
    grey = (pixels.float() @ weights).mean((1, 2))[:, None, None, None]
    padding = 255 * mean  # `to_input` makes it 0
    about_padding = (padding + (pixels.float() - padding) * FACTOR).round()
    unrounded = grey + (pixels.float() - grey) * FACTOR
    inputs = (pixels, harmed, unrounded, about_padding)
    return {change: to_input(each, mean, std) for change, each in zip(CHANGES, inputs, strict=True)}


@torch.inference_mode()
def _accuracy(network: ResNet, images: Tensor, labels: Tensor) -> float:
    # At the precision that logits are stored in, so that clean accuracy is the stored one.
    batches = (batch.to(memory_format=torch.channels_last) for batch in images.split(BATCH_SIZE))
    predicted = torch.cat([network(batch).half().argmax(1) for batch in batches])
    return float((predicted == labels).double().mean())
