"""Measurement of out-of-distribution detection by confidence."""

import functools
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from normzoo.analysis.ood import ENSEMBLE, FALSE_ALARMS, UNKNOWN_CLASSES
from normzoo.analysis.results import measured_rows
from normzoo.analysis.statistics import auroc_covariance, wilson_interval
from normzoo.errors import DataError
from normzoo.images.preprocess import to_pixels
from normzoo.inference.predict import compute_logits
from normzoo.pretrained.checkpoint import OOD_TABLE, TABLES, Checkpoint
from normzoo.pretrained.registry import ModelSet
from training.data.dataset import ImageData, data_root, load_once
from training.data.sources import SOURCES, own_image_size
from training.measurements.tables import Row, rounded, write_tables

UNKNOWN_DATA = "cifar-10"
NOISE_IMAGES = 500
#: Data sets without any of the OOD classes.
ASKED = {name for name, source in SOURCES.items() if not set(UNKNOWN_CLASSES) & set(source.classes)}

Floats = NDArray[np.float64]


def measure_ood(checkpoints: Path, log: Callable[[str], None] = print, data: str | None = None) -> list[Path]:
    """Measure the main networks of every model set; write one table per data set."""
    return write_tables(checkpoints, OOD_TABLE, _rows, log, data, lambda model_set: model_set.data in ASKED)


def check_ood(model_set: ModelSet) -> list[str]:
    """Return the differences from the stored rows of a set; without the images, of the noise only."""
    variants = [*model_set.main_variants, ENSEMBLE]
    stored = {(row["variant"], row["against"]): row for row in measured_rows(model_set, variants, OOD_TABLE)}
    try:
        found = _rows(model_set) if stored else []
    except DataError:
        found = [{"variant": key, "against": "", "noise_confidence": _noise_confidence(each)} for key, each in _main(model_set)]
    problems = []
    for row in found:
        kept = stored.get((row["variant"], row["against"]), {})
        for name in (name for name in TABLES[OOD_TABLE][3:-1] if name in row):
            value, expected = (math.nan if each == "" else each for each in (row[name], kept.get(name, "")))
            if not np.isclose(value, expected, rtol=0, atol=_TOLERANCE, equal_nan=True):
                problems.append(f"{OOD_TABLE} has {name} {expected} for {row['variant']} {row['against']}, found is {value}")
    return problems


def _main(model_set: ModelSet) -> list[tuple[str, Checkpoint]]:
    return [(variant, model_set.checkpoints[variant]) for variant in model_set.main_variants]


#: Tolerance in images, since processors round logits differently.
_TOLERANCE = 2e-3


def _rows(model_set: ModelSet) -> list[Row]:
    """Return the measurements of each network, of their ensemble, and of every pair."""
    checkpoints = dict(_main(model_set))
    probabilities = {variant: _probabilities(checkpoint) for variant, checkpoint in checkpoints.items()}
    scores = {variant: (known.max(1), unknown.max(1)) for variant, (known, unknown) in probabilities.items()}
    noise = {variant: _noise_confidence(checkpoint) for variant, checkpoint in checkpoints.items()}
    if len(checkpoints) > 1:
        known, unknown = (np.mean(part, axis=0).max(1) for part in zip(*probabilities.values(), strict=True))
        scores[ENSEMBLE] = (known, unknown)
    areas, covariance = auroc_covariance(list(scores.values()))
    rows: list[Row] = []
    for place, (variant, (known, unknown)) in enumerate(scores.items()):
        found = _threshold(known, unknown, float(areas[place]))
        error = {"auroc": float(areas[place]), "standard_error": float(covariance[place, place]) ** 0.5}
        rows.append({"variant": variant, "against": "", **found, **error, "noise_confidence": noise.get(variant, "")})
    for a, b in itertools.combinations(range(len(checkpoints)), 2):
        names, variance = list(scores), covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
        error = {"auroc": float(areas[a] - areas[b]), "standard_error": max(0.0, float(variance)) ** 0.5}
        empty = dict.fromkeys(("fpr95", "threshold", "known_flagged", "unknown_flagged", "noise_confidence"), "")
        rows.append({"variant": names[a], "against": names[b], **error, **empty})
    count = {"known": len(next(iter(scores.values()))[0]), "unknown": len(next(iter(scores.values()))[1])}
    seed = {"seed": min(next(iter(checkpoints.values())).metrics["seeds"])}
    return [rounded({**seed, **count, **row}) for row in rows]


def _probabilities(checkpoint: Checkpoint) -> tuple[Floats, Floats]:
    """Probabilities of the validation images, from stored logits, and of the out-of-distribution images."""
    config, network = checkpoint.config, checkpoint.load_model()
    known = checkpoint.val_logits()[0][min(checkpoint.metrics["seeds"])]
    pixels = _unknown_pixels(load_once(UNKNOWN_DATA, own_image_size(UNKNOWN_DATA), data_root()), config.image_size)
    unknown = compute_logits(network, pixels, torch.tensor(config.mean), torch.tensor(config.std), torch.channels_last).half()
    return _softmax(known), _softmax(unknown)


def _threshold(known: Floats, unknown: Floats, area: float) -> dict[str, Any]:
    """Return the threshold fitted on every second known image, and its rates on the others."""
    fitted, judged = np.sort(known[::2]), known[1::2]
    flagged = sum(wilson_interval(count / len(fitted), len(fitted)).high <= FALSE_ALARMS for count in range(len(fitted))) - 1
    shares = {"fpr95": float((unknown >= np.quantile(known, 0.05)).mean())}
    if area <= 0.5 or flagged < 0:
        return {**shares, "threshold": "", "known_flagged": "", "unknown_flagged": ""}
    # Between two images, so that no other rounding moves one of them across.
    threshold = float(fitted[max(flagged - 1, 0) : flagged + 1].mean())
    rates = {"known_flagged": float((judged < threshold).mean()), "unknown_flagged": float((unknown < threshold).mean())}
    return {**shares, "threshold": threshold, **rates}


def _softmax(logits: Tensor) -> Floats:
    probabilities: Floats = logits.double().softmax(1).numpy()
    return probabilities


def _noise_confidence(checkpoint: Checkpoint) -> float:
    config, network = checkpoint.config, checkpoint.load_model()
    draw = torch.Generator().manual_seed(0)
    shape = (NOISE_IMAGES, config.image_size, config.image_size, 3)
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    logits = compute_logits(network, noise, torch.tensor(config.mean), torch.tensor(config.std), torch.channels_last)
    return float(_softmax(logits).max(1).mean())


@functools.lru_cache(maxsize=2)
def _unknown_pixels(data: ImageData, image_size: int) -> Tensor:
    """Pixels at the input size of a network, prepared as on the page."""
    wanted = torch.tensor([data.classes.index(name) for name in UNKNOWN_CLASSES])
    pixels = data.pixels["val"][torch.isin(data.labels["val"], wanted)]
    if image_size == data.image_size:
        return pixels
    return torch.from_numpy(np.stack([to_pixels(Image.fromarray(each), image_size) for each in pixels.numpy()]))
