"""Predictions of trained networks for one or several images, alone or in a batch, and their agreement."""

import copy
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.formatting import counted
from normzoo.images.preprocess import to_input, to_pixels
from normzoo.nn.base import moments, pool_batch
from normzoo.pretrained.checkpoint import ModelConfig
from normzoo.pretrained.registry import Model
from normzoo.variants import short_name

#: "running": running statistics, as in evaluation. "batch": batch statistics, as in training. A number N: a blend, in which
#: the running ones count as N images.
Statistics = Literal["running", "batch"] | float
#: Weight recommended by Schneider et al., in images.
PRIOR_IMAGES = 16.0


def check_statistics(statistics: object) -> Statistics:
    """Check statistics from untrusted input; "remembered", the old name, warns."""
    if statistics == "remembered":
        warnings.warn('statistics="remembered" is now called "running".', DeprecationWarning, stacklevel=3)
        return "running"
    if statistics == "running" or statistics == "batch":
        return statistics
    if isinstance(statistics, bool) or not isinstance(statistics, int | float) or not 0 <= statistics < float("inf"):
        raise ConfigError(f'statistics must be "running", "batch" or a number of images from 0, got {statistics!r:.40}.')
    return float(statistics)


def has_running_statistics(network: nn.Module) -> bool:
    """Does the network have running statistics, so that its predictions can depend on the batch?"""
    return any(_keeps_running(module) for module in network.modules())


def with_statistics(network: nn.Module, statistics: Statistics) -> nn.Module:
    """Return the network in evaluation mode, with these statistics in place of the running ones.

    The given network does not change: the result shares only its weights, so any number of threads may call this at once.

    A blend weights the running statistics by N/(N+n) and those of the n images of the batch by n/(N+n); "batch" is N = 0, as in
    training mode. The batch variance is biased, as in training.

    Args:
        network: with any norms; only those with running statistics are affected.
        statistics: as `Statistics` says.

    Reference:
        Schneider, Rusak, Eck, Bringmann, Brendel, Bethge. Improving robustness against common corruptions by covariate shift
            adaptation. NeurIPS 2020. arXiv:2006.16971
    """
    statistics = check_statistics(statistics)
    if statistics == "running" or not has_running_statistics(network):
        return network
    prior = 0.0 if statistics == "batch" else statistics
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)  # what is in the memo is not copied
    for module in twin.modules():
        if _keeps_running(module):
            module.register_forward_pre_hook(_Blend(module, prior))
    return twin


class _Blend:
    """Sets blended statistics in a norm before its forward pass."""

    def __init__(self, norm: Any, prior: float) -> None:
        self._prior = prior
        self._mean, self._var = norm.running_mean, norm.running_var

    def __call__(self, norm: Any, inputs: tuple[Tensor]) -> None:
        x = inputs[0].to(self._mean.dtype)  # wide enough, also where activations are narrow
        n, _, height, width = x.shape
        if n * height * width < 2:
            raise ConfigError(
                "Batch statistics need more than one value per channel, and this single image has only one pixel there. "
                "Use more images."
            )
        _, mean, var = moments(x, pool_batch)
        share = self._prior / (self._prior + n)
        norm.running_mean = mean.flatten().lerp(self._mean, share)
        norm.running_var = var.flatten().lerp(self._var, share)


def _keeps_running(module: nn.Module) -> bool:
    """Decided by attributes, not by class: includes torch's and custom layers."""
    buffers = dict(module.named_buffers(recurse=False))
    return "running_mean" in buffers and "running_var" in buffers


BATCH_SIZE = 64
#: Larger on a GPU, where launches dominate: twenty small batches took 0.2 s after every epoch of 2.5 s.
GPU_BATCH_SIZE = 1024


@dataclass(frozen=True)
class Prediction:
    """Prediction of one network for one image.

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
    """Return each network's prediction for one image.

    >>> models = normzoo.load_models("tiny-imagenet-25/paper", ["bn", "gn"])
    >>> predictions = normzoo.predict(models, normzoo.load_image("normzoo/app/photos/cat.jpg"), k=3)
    >>> [(variant, len(prediction.top)) for variant, prediction in predictions.items()]
    [('bn', 3), ('gn', 3)]

    Args:
        models: from `load_models`.
        image: RGB, any size.
        k: number of classes in `Prediction.top`.

    Returns:
        a prediction for each variant, in the order of `models`.
    """
    return predict_many(models, [image], k)[0]


@torch.inference_mode()
def predict_many(
    models: Mapping[str, Model], images: Sequence[Image.Image], k: int = 5, statistics: Statistics = "running"
) -> list[dict[str, Prediction]]:
    """Return each network's predictions for several images, computed together.

    Without running statistics, predictions of batch and batch-instance normalization depend on the other images; those of the
    other norms never do. The networks do not change, so threads may share them.

    >>> models = normzoo.load_models("tiny-imagenet-25/paper", ["bn", "gn"])
    >>> images = [normzoo.load_image(f"normzoo/app/photos/{name}.jpg") for name in ("cat", "windmill", "rocket")]
    >>> running, batch = (normzoo.predict_many(models, images, statistics=which) for which in ("running", "batch"))
    >>> [running[0][variant].top == batch[0][variant].top for variant in ("bn", "gn")]
    [False, True]

    Args:
        models, k: as for `predict`.
        images: RGB, each of any size.
        statistics: "running", "batch" (of these images, as in training), or a number N of images that the
            running ones count as in a blend; see `normzoo.inference.predict`.

    Returns:
        for each image the result of `predict`, with its share of the time.

    Raises:
        ConfigError: invalid statistics, or batch statistics of a single value per channel.
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
    """RGB images of any size as the input of a network: float32, (N, 3, H, W)."""
    pixels = torch.from_numpy(np.stack([to_pixels(image, config.image_size) for image in images]))
    return to_input(pixels, torch.tensor(config.mean), torch.tensor(config.std))


@torch.inference_mode()
def compute_logits(
    model: nn.Module, pixels: Tensor, mean: Tensor, std: Tensor, memory_format: torch.memory_format = torch.contiguous_format
) -> Tensor:
    """Logits of a network in evaluation mode, in float32; its mode is restored.

    Args:
        pixels: uint8, (N, H, W, 3).
        mean, std: of the training images per colour, (3,).
        memory_format: of the input. Channels last is up to 45% faster on a CPU; results differ by rounding.

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


#: Networks without running statistics get images in multiples of this, padded with blank ones: processors sum in another
#: order for other numbers of images, and predictions that do not depend on the batch must be bit-identical.
_EVEN = 8
FEW_OTHERS, FEW_BATCHES = _EVEN - 1, 2
#: Images of a batch that are also predicted alone, for networks without running statistics.
SAMPLED = 8
_BLANK = Image.new("RGB", (8, 8))


@dataclass(frozen=True)
class BatchPredictions:
    """Predictions of one network for the images of a batch."""

    depends: bool  # whether the network takes statistics of the batch
    running: tuple[Prediction, ...]  # with running statistics, photo by photo
    own: tuple[Prediction, ...]  # with those that were asked for

    @property
    def changed(self) -> tuple[int, ...]:
        """Images whose predicted class changes in the batch."""
        pairs = zip(self.running, self.own, strict=True)
        return tuple(number for number, (before, after) in enumerate(pairs) if before.label != after.label)

    @property
    def largest_change(self) -> float:
        """Largest change of any probability; 0.0: bit-identical."""
        pairs = zip(self.running, self.own, strict=True)
        return max((float(np.abs(a.probabilities - b.probabilities).max()) for a, b in pairs), default=0.0)


def predict_batch(
    model: Model, images: Sequence[Image.Image], statistics: Statistics, groups: Sequence[Sequence[int]]
) -> BatchPredictions:
    """Return a network's predictions for images in batches, and for each image alone.

    The predictions for single images are computed separately, so independence of the batch is measured, not assumed; for
    networks without running statistics on at most `SAMPLED` images.

    Args:
        images: RGB, of any size.
        statistics: of a network with running ones; see `normzoo.inference.predict`.
        groups: batches, each the positions of its images.
    """
    together: dict[int, Prediction] = {}
    for group in groups:
        together |= zip(group, _predict_together(model, [images[place] for place in group], statistics), strict=True)
    own = [together[place] for place in range(len(images))]
    depends, running = has_running_statistics(model.network), list(own)
    sample = slice(0, len(images), max(2, -(-len(images) // SAMPLED)))
    for places in [slice(0, len(images), 2), slice(1, len(images), 2)] if depends else [sample]:
        running[places] = _predict_evenly(model, images[places])
    return BatchPredictions(depends, tuple(running), tuple(own))


def predict_in_batches(
    model: Model, images: Sequence[Image.Image], statistics: Statistics, size: int, draws: int, seed: int = 0
) -> tuple[str, tuple[float, ...]]:
    """Return a network's prediction for the first image, and the probability of that class in batches with others.

    The others are drawn at random. A network without running statistics gets only `FEW_BATCHES` batches with at most
    `FEW_OTHERS` others.

    Args:
        images: the image in question, then those to draw from.
        statistics: as for `predict_batch`.
        size: of each batch, including the image in question.
        draws: number of batches.
        seed: of the drawing.
    """
    first, others = images[0], images[1:]
    dice, number = np.random.default_rng(seed), min(size - 1, len(others))
    batches = [[first, *(others[i] for i in dice.choice(len(others), number, replace=False))] for _ in range(draws)]
    if not has_running_statistics(model.network):
        batches = [batch[: FEW_OTHERS + 1] for batch in batches[:FEW_BATCHES]]
    own = _predict_evenly(model, [first])[0]
    best = int(own.probabilities.argmax())
    answers = [_predict_together(model, batch, statistics)[0] for batch in batches]
    return own.label, tuple(float(answer.probabilities[best]) for answer in answers)


def _predict_together(model: Model, images: Sequence[Image.Image], statistics: Statistics) -> list[Prediction]:
    """Return the predictions for images in one batch."""
    if statistics == "running" or not has_running_statistics(model.network):
        return _predict_evenly(model, images)
    return [answers[model.variant] for answers in predict_many({model.variant: model}, images, 1, statistics)]


def _predict_evenly(model: Model, images: Sequence[Image.Image]) -> list[Prediction]:
    """Return the predictions for independent images, in batches that fit into the processor's cache."""
    even = [*images, *[_BLANK] * (-len(images) % _EVEN)]
    batches = [predict_many({model.variant: model}, even[start : start + _EVEN], 1) for start in range(0, len(even), _EVEN)]
    return [answers[model.variant] for batch in batches for answers in batch][: len(images)]


@dataclass(frozen=True)
class Agreement:
    """The predicted classes, most frequent first, each with its variants."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def sentence(self) -> str:
        """In words: "lion: 4 of 6 networks. Others: orange (NN), pizza (GN)."."""
        headline, rest = self.verdict()
        return f"{headline}. {rest}".rstrip()

    def verdict(self, truth: str = "") -> tuple[str, str]:
        """A headline and the other predictions: ("lion: 4 of 6 networks correct", "Others: orange (NN), pizza (GN).").

        Args:
            truth: true class; empty if unknown.
        """
        total = sum(len(variants) for _, variants in self.groups)
        if not total:
            return "No network was asked", ""
        label = truth or self.groups[0][0]
        count = len(dict(self.groups).get(label, ()))
        others = [f"{other} ({', '.join(map(short_name, names))})" for other, names in self.groups if other != label]
        headline = f"{label}: {count} of {counted(total, 'network')}{' correct' if truth else ''}"
        return headline, f"Others: {', '.join(others)}." if others else ""


def agreement(labels: Mapping[str, str]) -> Agreement:
    """Group the networks by predicted class.

    Args:
        labels: variant -> its most probable class, in the order to name them in.
    """
    groups: dict[str, list[str]] = {}
    for variant, label in labels.items():
        groups.setdefault(label, []).append(variant)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))  # stable: ties stay in the order given
    return Agreement(tuple((label, tuple(variants)) for label, variants in ranked))
