"""Test images, looked at once when everything is chosen: `python -m training test`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from normzoo.analysis.statistics import accuracy_interval
from normzoo.errors import ConfigError
from normzoo.inference.predict import compute_logits
from normzoo.pretrained.registry import ModelSet, load_models
from normzoo.variants import short_name
from training.data.image_folder import decode_file
from training.data.splits import find_test_files
from training.engine import metrics
from training.measurements.tables import progress


def final_test(folder: Path, model_set: ModelSet, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Accuracy with its interval and macro F1 of every network of a set on the test images of a folder, as a table.

    Returns:
        variant -> loss (nats), accuracy, macro_f1, micro_f1.
    """
    models = load_models(model_set)
    config = next(iter(models.values())).config
    files = find_test_files(folder, config.classes)
    pixels, labels = [], []
    for file in progress(files, "decoding", lambda file: file.name, say):
        square, _, problem = decode_file(file.path, config.image_size)
        if square is None:
            say(f"left out: {file.name}: {problem}")
        else:
            pixels.append(square)
            labels.append(file.label)
    if not pixels:
        raise ConfigError(f"None of the {len(files)} test images of {folder} can be read.")
    images, truth = torch.from_numpy(np.stack(pixels)), torch.tensor(labels)
    found, rows = {}, []
    for variant, model in models.items():
        logits = compute_logits(
            model.network, images, torch.tensor(model.config.mean), torch.tensor(model.config.std), torch.channels_last
        )
        found[variant] = metrics.from_logits(logits, truth)
        interval = accuracy_interval((logits.argmax(1) == truth).numpy())
        row = [100 * value for value in (interval.value, interval.low, interval.high, found[variant]["macro_f1"])]
        rows.append([short_name(variant), *(f"{value:.1f}" for value in row)])
    say(tabulate(rows, ["norm", "accuracy %", "95% from", "to", "macro F1 %"], "plain", disable_numparse=True))
    say(f"{len(pixels)} test images, the packaged weights of the first seed. What is chosen by these figures needs new images.")
    return found
