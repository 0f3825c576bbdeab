"""Untrained networks and a photo of noise, made in memory."""

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
