"""Class-activation maps: which parts of a picture speak for a class, and which against it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from normzoo.errors import ConfigError
from normzoo.inference.predict import as_batch
from normzoo.pretrained.registry import Model


@dataclass(frozen=True)
class ActivationMap:
    """Contribution of each part of one image to one network's logit of one class."""

    variant: str
    label: str  # the class
    probability: float
    logit: float
    bias: float  # the part of the logit that no picture changes
    evidence: np.ndarray  # (h, w), float64: sums to logit - bias


@torch.inference_mode()
def activation_maps(models: Mapping[str, Model], image: Image.Image, label: str | None = None) -> dict[str, ActivationMap]:
    """The class-activation map of each network for one picture.

    evidence[h, w] = sum over c of weight[k, c] · features[c, h, w] / (H·W). No approximation: the network ends in global
    average pooling and one linear layer, so that the evidence sums to the logit of class k less its bias.

    Args:
        models: as `load_models` gives them.
        image: RGB, any size.
        label: the class; None takes the one that each network finds most probable.

    Returns:
        a map for each variant, in the order of `models`.

    Reference:
        Zhou, Khosla, Lapedriza, Oliva, Torralba. Learning Deep Features for Discriminative Localization. CVPR 2016.
    """
    return {variant: _map(model, image, label) for variant, model in models.items()}


def _map(model: Model, image: Image.Image, label: str | None) -> ActivationMap:
    classes, head = model.config.classes, model.network.fc
    if label is not None and label not in classes:
        raise ConfigError(f"Unknown class. Choose one of the {len(classes)} that the networks know, such as {classes[0]!r}.")
    features = model.network.features(as_batch([image], model.config))[0].double()  # (C, h, w)
    weight, bias = head.weight.double(), head.bias.double()
    logits = weight @ features.mean((1, 2)) + bias
    k = int(logits.argmax()) if label is None else classes.index(label)
    evidence = torch.tensordot(weight[k], features, 1) / features[0].numel()  # (h, w)
    probability = float(logits.softmax(0)[k])
    return ActivationMap(model.variant, classes[k], probability, float(logits[k]), float(bias[k]), evidence.numpy())
