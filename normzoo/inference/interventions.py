"""Interventions on a copy of a network: other gates or padding; and images under increasing corruption."""

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

#: Padding of the convolutions -> description.
BORDERS = {
    "zeros": "zeros, as trained",
    "first": "replicated pixels in the first convolution",
    "all": "replicated pixels in every convolution",
}


def altered(model: Model, gate_shift: float = 0.0, border: str = "zeros") -> Model:
    """Return a copy of a model with other gates or another border.

    Args:
        gate_shift: -1: all gates 0 (instance norm); 0: as learned; 1: all gates 1 (batch norm).
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
    """Return a copy of a network whose convolutions pad as in `BORDERS`."""
    network = copy.deepcopy(network)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in {"zeros": [], "first": [network.conv1], "all": convolutions}[border]:
        convolution.padding_mode = "replicate"
    return network


#: 0: the original image.
ALL_SEVERITIES = (0, *SEVERITIES)


@dataclass(frozen=True)
class SeverityCurve:
    """One network's predictions for one image, at every severity from 0."""

    variant: str
    label: str  # its answer to the picture as it is
    probabilities: tuple[float, ...]  # of that class, at each severity
    answers: tuple[tuple[str, float], ...]  # its most probable class at each severity, and that one's probability


def check_corruption(kind: object, severity: object) -> tuple[str, int]:
    """Check an untrusted kind and severity."""
    if not isinstance(kind, str) or kind not in CORRUPTIONS:
        raise ConfigError(f"Unknown corruption. Choose one of: {', '.join(CORRUPTIONS)}.")
    if isinstance(severity, bool) or not isinstance(severity, int | float) or severity not in ALL_SEVERITIES:
        raise ConfigError(f"severity must be a whole number from 0 to {ALL_SEVERITIES[-1]}.")
    return kind, int(severity)


def corrupted(image: Image.Image, kind: str, image_size: int) -> list[Image.Image]:
    """Return a network's input pixels at every severity, 0 first.

    The input is corrupted, not the photo, as in the study; reducing the photo would undo much of it.
    """
    square = Image.fromarray(to_pixels(image, image_size))
    return [corrupt(square, kind, severity) for severity in ALL_SEVERITIES]


def severity_curves(
    models: Mapping[str, Model], image: Image.Image, kind: str
) -> tuple[dict[str, SeverityCurve], list[Image.Image]]:
    """Return each network's confidence as the image is increasingly corrupted.

    Args:
        models: from `load_models`.
        image: RGB, any size.
        kind: a key of `CORRUPTIONS`.

    Returns:
        a curve for each variant, in the order of `models`; and the first one's input, as from `corrupted`.
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
