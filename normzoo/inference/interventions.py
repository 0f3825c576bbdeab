"""Interventions: other gates, another border of the convolutions, always of a copy; and images under a growing corruption."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import nn

from normzoo.errors import ConfigError
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from normzoo.images.preprocess import to_pixels
from normzoo.inference.predict import predict_many
from normzoo.nn.norms import gates
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.registry import Model

#: What the convolutions pad with, in words.
BORDERS = {
    "zeros": "zeros, as trained",
    "first": "replicated pixels in the first convolution",
    "all": "replicated pixels in every convolution",
}


def altered(model: Model, gate_shift: float = 0.0, border: str = "zeros") -> Model:
    """Return a model that differs in its gates or its border; the one that was given is left alone, whoever uses it meanwhile.

    Args:
        gate_shift: from -1, all gates 0 (all instance), over 0, as learned, to 1, all gates 1 (all batch).
        border: a key of `BORDERS`.
    """
    if isinstance(gate_shift, bool) or not isinstance(gate_shift, int | float) or not -1 <= gate_shift <= 1:
        raise ConfigError("gate_shift must be a number from -1 to 1.")
    if not isinstance(border, str) or border not in BORDERS:
        raise ConfigError(f"Unknown border. Choose one of: {', '.join(BORDERS)}.")
    is_turned = border != "zeros" or (gate_shift and gates(model.network))
    if not is_turned:
        return model
    network = with_border(model.network, border)
    target = 1.0 if gate_shift > 0 else 0.0
    for gate in gates(network):
        gate.data.lerp_(gate.new_tensor(target), abs(gate_shift))
    return dataclasses.replace(model, network=network)


def with_border(network: ResNet, border: str) -> ResNet:
    """Return a copy of a network whose convolutions pad as a key of `BORDERS` says."""
    network = copy.deepcopy(network)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in {"zeros": [], "first": [network.conv1], "all": convolutions}[border]:
        convolution.padding_mode = "replicate"
    return network


#: 0 is the picture as it is.
ALL_SEVERITIES = (0, *SEVERITIES)


@dataclass(frozen=True)
class SeverityCurve:
    """One network's answers to one picture, at every severity from 0 on."""

    variant: str
    label: str  # its answer to the picture as it is
    probabilities: tuple[float, ...]  # of that class, at each severity
    answers: tuple[tuple[str, float], ...]  # its most probable class at each severity, and that one's probability


def check_corruption(kind: object, severity: object) -> tuple[str, int]:
    """A kind and a severity, as they may come from anyone."""
    if not isinstance(kind, str) or kind not in CORRUPTIONS:
        raise ConfigError(f"Unknown corruption. Choose one of: {', '.join(CORRUPTIONS)}.")
    if isinstance(severity, bool) or not isinstance(severity, int | float) or severity not in ALL_SEVERITIES:
        raise ConfigError(f"severity must be a whole number from 0 to {ALL_SEVERITIES[-1]}.")
    return kind, int(severity)


def corrupted(image: Image.Image, kind: str, image_size: int) -> list[Image.Image]:
    """Return the pixels that a network of this image size is given at every severity, 0 first.

    The small square is corrupted, not the photo: as in the study, and because reducing the photo would undo much of it.
    """
    square = Image.fromarray(to_pixels(image, image_size))
    return [corrupt(square, kind, severity) for severity in ALL_SEVERITIES]


def severity_curves(
    models: Mapping[str, Model], image: Image.Image, kind: str
) -> tuple[dict[str, SeverityCurve], list[Image.Image]]:
    """Return how sure each network stays of its answer while the image is corrupted more and more.

    Args:
        models: as `load_models` gives them.
        image: RGB, any size.
        kind: a key of `CORRUPTIONS`.

    Returns:
        a curve for each variant, in the order of `models`; and what the first of them was given, as `corrupted` gives it.
    """
    check_corruption(kind, 0)
    curves: dict[str, SeverityCurve] = {}
    pixels = {
        size: corrupted(image, kind, size) for size in dict.fromkeys(model.config.image_size for model in models.values())
    }
    for size, images in pixels.items():
        same_size = {variant: model for variant, model in models.items() if model.config.image_size == size}
        steps = predict_many(same_size, images, k=1)
        for variant in same_size:
            predictions = [step[variant] for step in steps]
            best = int(np.argmax(predictions[0].probabilities))
            curves[variant] = SeverityCurve(
                variant,
                predictions[0].label,
                tuple(float(prediction.probabilities[best]) for prediction in predictions),
                tuple(prediction.top[0] for prediction in predictions),
            )
    return {variant: curves[variant] for variant in models}, next(iter(pixels.values()), [])
