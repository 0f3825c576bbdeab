"""Running networks: logits of many images, predictions for one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from normzoo.images import to_input, to_pixels
from normzoo.zoo import Model

BATCH_SIZE = 250


@dataclass(frozen=True)
class Prediction:
    """What one network makes of one image."""

    variant: str
    top: tuple[tuple[str, float], ...]  # the k most probable classes with their probabilities, most probable first
    probabilities: np.ndarray  # of all classes in the order of the config, (classes,), sums to 1
    latency_ms: float  # of the network alone

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top[0][0]


@torch.inference_mode()
def predict(models: Mapping[str, Model], image: Image.Image, k: int = 5) -> dict[str, Prediction]:
    """What each network makes of one picture.

    Args:
        models: as `load_models` gives them.
        image: RGB, any size; `to_pixels` makes the input of it.
        k: how many classes `Prediction.top` holds.

    Returns:
        a prediction for each variant, in the order of `models`.
    """
    inputs: dict[tuple[object, ...], Tensor] = {}
    predictions = {}
    for variant, model in models.items():
        config = model.config
        key = (config.image_size, config.mean, config.std)
        if key not in inputs:
            pixels = torch.from_numpy(to_pixels(image, config.image_size).copy())[None]
            inputs[key] = to_input(pixels, torch.tensor(config.mean), torch.tensor(config.std))
        start = time.perf_counter()
        probabilities = model.network(inputs[key]).double().softmax(1)[0].numpy()
        latency_ms = (time.perf_counter() - start) * 1000
        order = np.argsort(-probabilities, kind="stable")[:k]
        top = tuple((config.classes[i], float(probabilities[i])) for i in order)
        predictions[variant] = Prediction(variant, top, probabilities, latency_ms)
    return predictions


@torch.inference_mode()
def compute_logits(model: nn.Module, pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Logits of a network in evaluation mode, in float32; the network is left in the mode it was in.

    Args:
        pixels: uint8, (N, H, W, 3).
        mean, std: of the training images per colour, (3,).

    Returns:
        (N, classes), on the CPU.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    mean, std = mean.to(device), std.to(device)
    logits = [model(to_input(chunk.to(device), mean, std)).cpu() for chunk in pixels.split(BATCH_SIZE)]
    model.train(training)
    return torch.cat(logits)
