"""Untrained networks and a photo of noise, made in memory; and norm layers in a state that hides nothing."""

import numpy as np
import torch
from PIL import Image

from normzoo.pretrained.checkpoint import ModelConfig, default_arguments
from normzoo.pretrained.registry import Model

CLASSES = ("alp", "pizza", "lion")
IMAGE_SIZE = 16


def make_model(norm, image_size=IMAGE_SIZE):
    """A network of 8 layers in evaluation mode, the same for the same norm."""
    torch.manual_seed(0)
    config = ModelConfig(8, norm, default_arguments(norm), CLASSES, image_size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    return Model(norm, config.build().eval(), config)


def make_photo():
    """60×40 pixels of noise, the same each time."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def randomize(layer):
    """Give the layer weights, biases, gates and running statistics that are not ones and zeros."""
    with torch.no_grad():
        for name, tensor in layer.state_dict().items():
            if name == "running_var":
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.normal_()
    return layer


def remembers(layer):
    """Whether the layer keeps running statistics."""
    return getattr(layer, "running_mean", None) is not None


def buffers(layer):
    """A copy of the state that is not trained."""
    return {name: buffer.clone() for name, buffer in layer.named_buffers()}
