"""Accuracy of a network on corrupted validation images."""

import functools
from typing import Any

import torch

from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt_pixels
from normzoo.inference.predict import compute_logits
from normzoo.nn.resnet import ResNet
from training.data.dataset import ImageData
from training.engine import metrics

#: Severity 0 is the clean image, the same for every corruption.
ALL = tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES)
#: Each corruption at one severity, every severity at least once: what is computed again on every check.
SAMPLE = tuple((name, SEVERITIES[i % len(SEVERITIES)]) for i, name in enumerate(CORRUPTIONS))


def measure(network: ResNet, data: ImageData, seed: int, cases: tuple[tuple[str, int], ...] = ALL) -> list[dict[str, Any]]:
    """Loss (nats) and accuracy on the whole validation set under each (corruption, severity): the rows of `robustness.csv`."""
    mean, std, labels = torch.tensor(data.mean), torch.tensor(data.std), data.labels["val"]
    rows = []
    for name, severity in cases:
        logits = compute_logits(network, corrupted_pixels(data, name, severity), mean, std, torch.channels_last).half()
        found = metrics.from_logits(logits, labels)
        rows.append(
            {"seed": seed, "corruption": name, "severity": severity, **{key: found[key] for key in ("loss", "accuracy")}}
        )
    return rows


@functools.lru_cache(maxsize=len(ALL))
def corrupted_pixels(data: ImageData, name: str, severity: int) -> torch.Tensor:
    """Return the validation images, corrupted once for all networks."""
    return torch.from_numpy(corrupt_pixels(data.pixels["val"].numpy(), name, severity))
