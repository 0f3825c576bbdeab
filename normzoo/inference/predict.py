"""Running networks: logits of many images, predictions for one or several."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from normzoo.images.preprocess import to_input, to_pixels
from normzoo.inference.statistics import Statistics, with_statistics
from normzoo.pretrained.checkpoint import ModelConfig
from normzoo.pretrained.registry import Model

BATCH_SIZE = 64
#: A GPU waits for its launches: twenty small batches took it 0.2 s after every epoch of 2.5 s.
GPU_BATCH_SIZE = 1024


@dataclass(frozen=True)
class Prediction:
    """Answer of one network to one image.

    >>> prediction = normzoo.Prediction("bn", (("lion", 0.75), ("pizza", 0.25)), np.array([0.25, 0.75]), latency_ms=2.0)
    >>> prediction.label
    'lion'
    """

    variant: str
    top: tuple[tuple[str, float], ...]  # the k most probable classes with their probabilities, most probable first
    probabilities: np.ndarray  # of all classes in the order of the config, (classes,), sums to 1
    latency_ms: float  # of the network alone; among several pictures, this one's share

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top[0][0]


def predict(models: Mapping[str, Model], image: Image.Image, k: int = 5) -> dict[str, Prediction]:
    """Return each network's answer to one image.

    >>> models = normzoo.load_models("tiny-imagenet-25/paper", ["bn", "gn"])
    >>> predictions = normzoo.predict(models, normzoo.load_image("normzoo/app/photos/cat.jpg"), k=3)
    >>> [(variant, len(prediction.top)) for variant, prediction in predictions.items()]
    [('bn', 3), ('gn', 3)]

    Args:
        models: as `load_models` gives them.
        image: RGB, any size; `to_pixels` makes the input of it.
        k: how many classes `Prediction.top` holds.

    Returns:
        a prediction for each variant, in the order of `models`.
    """
    return predict_many(models, [image], k)[0]


@torch.inference_mode()
def predict_many(
    models: Mapping[str, Model], images: Sequence[Image.Image], k: int = 5, statistics: Statistics = "remembered"
) -> list[dict[str, Prediction]]:
    """Return each network's answers to several images, computed together.

    With other statistics than the remembered ones, an answer of batch and batch-instance normalization depends on which other
    images there are; those of the other norms never do. The networks stay as they are, so that threads may share them.

    >>> models = normzoo.load_models("tiny-imagenet-25/paper", ["bn", "gn"])
    >>> images = [normzoo.load_image(f"normzoo/app/photos/{name}.jpg") for name in ("cat", "windmill", "rocket")]
    >>> remembered, own = (normzoo.predict_many(models, images, statistics=which) for which in ("remembered", "batch"))
    >>> [remembered[0][variant].top == own[0][variant].top for variant in ("bn", "gn")]
    [False, True]

    Args:
        models, k: as for `predict`.
        images: RGB, each of any size.
        statistics: "remembered", "batch" (those of these images, as in training) or a number N of images that the
            remembered ones count as in a mix; see `normzoo.inference.statistics`.

    Returns:
        for each picture what `predict` gives; of the time, its share.

    Raises:
        ConfigError: other statistics, or a norm would have to take them from a single value per channel.
    """
    inputs: dict[tuple[object, ...], Tensor] = {}
    answers: list[dict[str, Prediction]] = [{} for _ in images]
    for variant, model in models.items():
        config = model.config
        key = (config.image_size, config.mean, config.std)
        if key not in inputs:
            # Channels last, as in `compute_logits`: a tenth less time, and the stored logits were made so.
            inputs[key] = as_batch(images, config).contiguous(memory_format=torch.channels_last)
        network = with_statistics(model.network, statistics)
        start = time.perf_counter()
        batch = network(inputs[key]).double().softmax(1).numpy()
        latency_ms = (time.perf_counter() - start) * 1000 / len(images)
        for answer, probabilities in zip(answers, batch, strict=True):
            order = np.argsort(-probabilities, kind="stable")[:k]
            top = tuple((config.classes[i], float(probabilities[i])) for i in order)
            answer[variant] = Prediction(variant, top, probabilities, latency_ms)
    return answers


def as_batch(images: Sequence[Image.Image], config: ModelConfig) -> Tensor:
    """RGB pictures of any size as a network of this configuration takes them: float32, (N, 3, H, W)."""
    pixels = torch.from_numpy(np.stack([to_pixels(image, config.image_size) for image in images]))
    return to_input(pixels, torch.tensor(config.mean), torch.tensor(config.std))


@torch.inference_mode()
def compute_logits(
    model: nn.Module,
    pixels: Tensor,
    mean: Tensor,
    std: Tensor,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Logits of a network in evaluation mode, in float32; the network is left in the mode it was in.

    Args:
        pixels: uint8, (N, H, W, 3).
        mean, std: of the training images per colour, (3,).
        memory_format: of the input. Channels last takes a processor up to 45% less time; the last bits differ.

    Returns:
        (N, classes), on the CPU.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    mean, std = mean.to(device), std.to(device)
    size = BATCH_SIZE if device.type == "cpu" else GPU_BATCH_SIZE
    batches = (to_input(chunk.to(device), mean, std) for chunk in pixels.split(size))
    logits = [model(batch.to(memory_format=memory_format)).cpu() for batch in batches]
    model.train(training)
    return torch.cat(logits)
