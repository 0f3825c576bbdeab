"""A data set of small images that a small network learns in seconds, and checkpoints trained on it."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from training.config import Execution, Recipe, Run
from training.data.dataset import load, write_cache
from training.engine.trainer import train
from training.package import package

ROOT = Path(__file__).parents[2]
CLASSES = ("dawn", "noon", "dusk", "night")
IMAGE_SIZE = 16
RECIPE = Recipe(name="quick", depth=8, image_size=IMAGE_SIZE, epochs=2, batch_size=40, lr=0.01)
#: The same as options: 96 images in batches of 40, so that the last one of an epoch is smaller.
FIELDS = {"depth": 8, "image_size": IMAGE_SIZE, "batch_size": 40, "lr": 0.01}
OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in FIELDS.items()]
OPTIONS += ["--data=tiny", "--amp=fp32", "--compile=off"]
#: variant -> the seeds that are packaged
PACKAGED = {"bn": (0, 1), "bin": (0,), "gn": (0,), "torch-bn": (0,)}


def write_tiny(root):
    """Put the data set into `root` as a fetched one would be."""
    draw = np.random.default_rng(0)
    pixels, labels = {}, {}
    for split, count in {"train": 96, "val": 24}.items():
        labels[split] = np.arange(count) % len(CLASSES)
        brightness = 40 + 55 * labels[split].reshape(-1, 1, 1, 1)
        noise = draw.normal(0, 30, (count, IMAGE_SIZE, IMAGE_SIZE, 3))
        pixels[split] = (brightness + noise).clip(0, 255).astype(np.uint8)
    digest = hashlib.sha256(pixels["train"].tobytes() + pixels["val"].tobytes()).hexdigest()
    about = {"name": "tiny", "classes": CLASSES, "digest": digest, "note": "Made up for the tests."}
    write_cache(root / f"tiny-{IMAGE_SIZE}px", about, pixels, labels)
    return root


def load_tiny(root):
    """The data set, written into `root` if it is not there."""
    if not (root / f"tiny-{IMAGE_SIZE}px").exists():
        write_tiny(root)
    return load("tiny", IMAGE_SIZE, root)


def train_tiny(data, runs, norm="bn", seed=0, recipe=RECIPE, stop_after=None):
    """Train one network on the tiny images, eagerly, in silence."""
    run = Run(data.name, recipe, norm, seed, holdout=data.holdout)
    return train(run, data, runs, Execution(compile="off", stop_after=stop_after), say=lambda line: None)


def package_tiny(folder):
    """Make `data`, `runs` and `checkpoints` with one set, `tiny/quick`, in `folder`; gives `checkpoints`."""
    data = load_tiny(folder / "data")
    for variant, seeds in PACKAGED.items():
        for seed in seeds:
            train_tiny(data, folder / "runs", variant, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMZOO_DATA", str(folder / "data"))
        package(folder / "runs", folder / "checkpoints", say=lambda line: None)
    return folder / "checkpoints"


def subprocess_environment(data_root):
    """What a process of `python -m training`, started in `ROOT`, needs to find the tiny images."""
    return {**os.environ, "NORMZOO_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
