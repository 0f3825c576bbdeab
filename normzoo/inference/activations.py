"""Activations around each norm, feature maps, gates."""

import copy
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.inference.predict import as_batch
from normzoo.nn.resnet import BasicBlock
from normzoo.pretrained.registry import Model


@dataclass(frozen=True)
class Moments:
    """Mean and population standard deviation of all values of a tensor."""

    mean: float
    sd: float


@dataclass(frozen=True)
class LayerActivations:
    """Activations of one image in front of a norm layer and behind it."""

    layer: str  # "stage 2, block 1, norm 1"
    before: Moments
    after: Moments


@dataclass(frozen=True)
class FeatureMaps:
    """Output of one block of a network for one image."""

    block: str
    values: np.ndarray  # (C, h, w), float32, at least 0: the block ends in a ReLU

    @property
    def silent(self) -> int:
        """Number of maps that are zero everywhere."""
        return int((self.values.max((1, 2)) == 0).sum())


@dataclass(frozen=True)
class LayerGates:
    """The learned gates of one norm layer, one for each channel."""

    layer: str
    values: np.ndarray  # (C,)

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def share_at_0(self) -> float:
        return float((self.values <= 0).mean())

    @property
    def share_at_1(self) -> float:
        return float((self.values >= 1).mean())


def norm_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The norm layers of a network by their names in words, in order of depth."""
    modules = network.named_modules()
    return {_in_words(name): module for name, module in modules if name.rpartition(".")[2] in ("norm1", "norm2")}


def blocks(network: nn.Module) -> dict[str, nn.Module]:
    """The residual blocks of a network by their names in words, in order of depth."""
    return {_in_words(name): module for name, module in network.named_modules() if isinstance(module, BasicBlock)}


def layer_activations(model: Model, image: Image.Image) -> list[LayerActivations]:
    """Mean and spread of the activations before and after each norm, for one picture, in order of depth."""
    seen: list[LayerActivations] = []
    network = copy.deepcopy(model.network)  # other threads may be using the one that was given
    for layer, norm in norm_layers(network).items():

        def watch(_: nn.Module, inputs: tuple[Any, ...], output: Tensor, layer: str = layer) -> None:
            seen.append(LayerActivations(layer, _moments(inputs[0]), _moments(output)))

        norm.register_forward_hook(watch)
    _run(network, model, image)
    return seen


@torch.inference_mode()
def activations_before(model: Model, inputs: Tensor, layer: str) -> Tensor:
    """Return what comes to a norm layer while a network answers to a batch.

    Args:
        inputs: as the network takes them, (N, 3, H, W).
        layer: a key of `norm_layers`.

    Returns:
        (N, C, h, w).

    Raises:
        ConfigError: the network has no such layer.
    """
    network = copy.deepcopy(model.network)
    known = norm_layers(network)
    if not isinstance(layer, str) or layer not in known:
        raise ConfigError(f"Unknown layer. Choose one of: {'; '.join(known)}.")
    seen: list[Tensor] = []
    known[layer].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(inputs)
    return seen[0]


def feature_maps(model: Model, image: Image.Image, block: str) -> FeatureMaps:
    """Return the output of a block for one image.

    Args:
        block: a key of `blocks`.

    Raises:
        ConfigError: the network has no such block.
    """
    network = copy.deepcopy(model.network)
    known = blocks(network)
    if not isinstance(block, str) or block not in known:
        raise ConfigError(f"Unknown block. Choose one of: {'; '.join(known)}.")
    seen: list[Tensor] = []
    known[block].register_forward_hook(lambda _, inputs, output: seen.append(output[0]))
    _run(network, model, image)
    return FeatureMaps(block, seen[0].numpy())


def layer_gates(network: nn.Module) -> list[LayerGates]:
    """The gates of every norm layer that has some, in order of depth; none for a network without."""
    found = {layer: getattr(norm, "gate", None) for layer, norm in norm_layers(network).items()}
    return [LayerGates(layer, gate.detach().numpy()) for layer, gate in found.items() if isinstance(gate, Tensor)]


@torch.inference_mode()
def _run(network: nn.Module, model: Model, image: Image.Image) -> None:
    network(as_batch([image], model.config))


def _moments(values: Tensor) -> Moments:
    wide = values.double()
    return Moments(float(wide.mean()), float(wide.std(correction=0)))


def _in_words(name: str) -> str:
    """A module's name for people: "norm1" -> "stem, norm 1"; "stages.stage2.0.norm1" -> "stage 2, block 1, norm 1"."""
    match = re.fullmatch(r"(?:stages\.stage(\d+)\.(\d+))?\.?(?:norm(\d))?", name)
    if match is None:
        return name
    stage, block, norm = match.groups()
    place = f"stage {stage}, block {int(block) + 1}" if stage else "stem"
    return f"{place}, norm {norm}" if norm else place
