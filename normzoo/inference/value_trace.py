"""Inside a network: activations around each norm, feature maps, class-activation maps, gates, the computation of one value,
and interventions on a copy: other gates, other padding."""

import copy
import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.formatting import minus
from normzoo.inference.predict import as_batch
from normzoo.nn.norms import gates
from normzoo.nn.registry import NORM_LAYERS, describe_norm, get_norm_layer
from normzoo.nn.resnet import BasicBlock, ResNet
from normzoo.pretrained.registry import Model


@dataclass(frozen=True)
class Moments:
    """Mean and population standard deviation of all values of a tensor."""

    mean: float
    sd: float


@dataclass(frozen=True)
class LayerActivations:
    """Activations of one image before and after a norm layer."""

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
    """The learned gates of one norm layer, one per channel."""

    layer: str
    values: np.ndarray  # (C,)

    @property
    def mean(self) -> float:
        return float(self.values.mean())


def norm_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The norm layers of a network by name, in order of depth."""
    modules = network.named_modules()
    return {_in_words(name): module for name, module in modules if name.rpartition(".")[2] in ("norm1", "norm2")}


def blocks(network: nn.Module) -> dict[str, nn.Module]:
    """The residual blocks of a network by name, in order of depth."""
    return {_in_words(name): module for name, module in network.named_modules() if isinstance(module, BasicBlock)}


def layer_activations(model: Model, image: Image.Image) -> list[LayerActivations]:
    """Mean and standard deviation of the activations before and after each norm, for one image, in order of depth."""
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
    """Return the input of a norm layer while a network processes a batch.

    Args:
        inputs: as the network takes them, (N, 3, H, W).
        layer: a key of `norm_layers`.

    Returns:
        (N, C, h, w).
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
    """The gates of every norm layer that has gates, in order of depth."""
    found = {layer: getattr(norm, "gate", None) for layer, norm in norm_layers(network).items()}
    return [LayerGates(layer, gate.detach().numpy()) for layer, gate in found.items() if isinstance(gate, Tensor)]


@torch.inference_mode()
def _run(network: nn.Module, model: Model, image: Image.Image) -> None:
    network(as_batch([image], model.config))


def _moments(values: Tensor) -> Moments:
    wide = values.double()
    return Moments(float(wide.mean()), float(wide.std(correction=0)))


def _in_words(name: str) -> str:
    """Name of a module for the page: "norm1" -> "stem, norm 1"; "stages.stage2.0.norm1" -> "stage 2, block 1, norm 1"."""
    match = re.fullmatch(r"(?:stages\.stage(\d+)\.(\d+))?\.?(?:norm(\d))?", name)
    if match is None:
        return name
    stage, block, norm = match.groups()
    place = f"stage {stage}, block {int(block) + 1}" if stage else "stem"
    return f"{place}, norm {norm}" if norm else place


#: Gate of batch-instance normalization for a network without gates.
OTHERWISE_GATE = 0.5
_DECIMALS = 4  # of a result below 10
_MOST_DIGITS = 16  # of a float64


class Position(NamedTuple):
    """Position of a value among the activations of a batch, from 0."""

    photo: int
    channel: int
    row: int
    column: int


@dataclass(frozen=True)
class SharedValues:
    """The values that share one mean and one variance."""

    axes: tuple[str, ...]  # that they are taken over: ("N", "H", "W")
    photos: range
    channels: range
    values: np.ndarray  # float64, (photos, channels, H, W)


@dataclass(frozen=True)
class Term:
    """share · (x - mean) / sqrt(var + eps): one term, or two that a gate blends."""

    share: float
    mean: float
    var: float


@dataclass(frozen=True)
class NormalizedValue:
    """A value before and after a norm, and how it is computed."""

    norm: str
    x: float
    result: float  # the layer's own
    sets: tuple[SharedValues, ...]  # none where no mean is taken, where it is remembered, or where the norm does not say
    terms: tuple[Term, ...]
    eps: float
    weight: float | None
    bias: float | None

    @property
    def arithmetic(self) -> str:
        """The formula with numbers: "(1.84 − 0.31) / √(0.92 + 0.00001) × 1.07 + (−0.12) = 1.58".

        With the fewest digits for which the rounded left side equals the rounded right side; empty for a norm with another
        formula.
        """
        decimals = max(0, _DECIMALS - max(0, math.floor(math.log10(abs(self.result) or 1))))
        result = f"{round(self.result, decimals) + 0.0:.{decimals}f}"  # never −0
        for digits in range(3, _MOST_DIGITS + 1):
            rounded = self._rounded(digits)
            if max(abs(rounded.left_side - right_side) for right_side in (self.result, float(result))) < 0.5 * 10**-decimals:
                return f"{rounded._left_side_in_words()} = {minus(result)}"
        return ""

    @property
    def left_side(self) -> float:
        if not self.terms:
            return self.x
        normalized = sum(term.share * (self.x - term.mean) / math.sqrt(term.var + self.eps) for term in self.terms)
        return normalized * (1 if self.weight is None else self.weight) + (self.bias or 0)

    def _left_side_in_words(self) -> str:
        if not self.terms:
            return shown(self.x)
        parts = [
            f"{f'{shown(term.share)} × ' if len(self.terms) > 1 else ''}({shown(self.x)} − {_enclosed(term.mean)})"
            f" / √({shown(term.var)} + {shown(self.eps)})"
            for term in self.terms
        ]
        words = parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
        words += "" if self.weight is None else f" × {_enclosed(self.weight)}"
        return words + ("" if self.bias is None else f" + {_enclosed(self.bias)}")

    def _rounded(self, digits: int) -> "NormalizedValue":
        def rounded(number: float) -> float:
            return round(float(f"{number:.{digits}g}"), digits)  # 0.0000597 is as good as 0

        return dataclasses.replace(
            self,
            x=rounded(self.x),
            terms=tuple(Term(rounded(term.share), rounded(term.mean), rounded(term.var)) for term in self.terms),
            weight=None if self.weight is None else rounded(self.weight),
            bias=None if self.bias is None else rounded(self.bias),
        )


def norms_like(layer: nn.Module, num_channels: int, affine: bool = True) -> dict[str, nn.Module]:
    """Return every built-in norm with the weight, bias, gate and eps of one layer, so that only the pooling differs.

    Args:
        layer: any norm; missing parameters keep their initial values, a gate `OTHERWISE_GATE`.
        affine: if False, weight 1 and bias 0.

    Returns:
        key -> layer in training mode, in float64; nothing of `layer` is shared.
    """
    norms = {}
    for key in NORM_LAYERS:
        norm = get_norm_layer(key)(num_channels).double().train()
        for name in ("weight", "bias", "gate") if affine else ("gate",):
            target, source = getattr(norm, name, None), getattr(layer, name, None)
            if isinstance(target, nn.Parameter) and isinstance(source, Tensor) and target.shape == source.shape:
                target.data.copy_(source.detach())
            elif isinstance(target, nn.Parameter) and name == "gate":
                nn.init.constant_(target, OTHERWISE_GATE)
        if hasattr(norm, "eps"):
            norm.eps = getattr(layer, "eps", norm.eps)
        norms[key] = norm
    return norms


@torch.no_grad()
def normalized_values(layer: nn.Module, x: Tensor, position: Position) -> dict[str, NormalizedValue]:
    """Return one value after each built-in norm, in training mode on this batch.

    Args:
        layer: norm layer that provides weight, bias, gate and eps.
        x: its input, (N, C, H, W).
    """
    wide = x.double()
    norms = norms_like(layer, x.shape[1])
    # A network without norms has no weight and bias: the formula ends before them.
    has_affine = isinstance(getattr(layer, "weight", None), Tensor)
    return {key: _value(key, norm, wide, position, has_affine) for key, norm in norms.items()}


@torch.no_grad()
def remembered_value(layer: nn.Module, norm: str, x: Tensor, position: Position) -> NormalizedValue | None:
    """Return one value after a layer in evaluation; None for a layer without running statistics.

    Args:
        norm: key of the layer.
    """
    if not isinstance(getattr(layer, "running_mean", None), Tensor):
        return None
    return _value(norm, copy.deepcopy(layer).double().eval(), x.double(), position, True)


@torch.no_grad()
def standardized_maps(layer: nn.Module, x: Tensor, channel: int) -> dict[str, np.ndarray]:
    """Return one channel after each built-in norm, before weight and bias: key -> float64, (N, H, W)."""
    wide = x.double()
    return {key: norm(wide)[:, channel].numpy() for key, norm in norms_like(layer, x.shape[1], affine=False).items()}


def photo_gaps(maps: np.ndarray) -> np.ndarray:
    """Return how far each photo's mean is above that of the others, in standard deviations within the photos.

    Args:
        maps: of one channel, (N, H, W).

    Returns:
        (N,); 0 if no map varies or there are no others.
    """
    if len(maps) == 1:
        return np.zeros(1)
    means, within = maps.mean((1, 2)), math.sqrt(maps.var((1, 2)).mean())
    others = (means.sum() - means) / (len(means) - 1)
    return (means - others) / within if within > 0 else np.zeros_like(means)


def shown(number: float) -> str:
    """Format a number without an exponent, with a true minus sign."""
    return minus(np.format_float_positional(number, trim="-"))


def _value(key: str, norm: nn.Module, x: Tensor, position: Position, has_affine: bool) -> NormalizedValue:
    sets, terms = [], []
    running = None if norm.training else getattr(norm, "running_mean", None)
    axes_of_means = describe_norm(key).pooled_axes or ()
    gate = _at(norm, "gate", position)
    # Of several means without a gate it is not known how they count; the line then does not add up, and is not shown.
    shares = (gate, 1 - gate) if gate is not None and len(axes_of_means) == 2 else (1.0,) * len(axes_of_means)
    for axes, share in zip(axes_of_means, shares, strict=True):
        if running is not None and "N" in axes:
            terms.append(Term(share, _at(norm, "running_mean", position) or 0, _at(norm, "running_var", position) or 0))
            continue
        shared = _shared(axes, x, position, getattr(norm, "num_groups", 1))
        sets.append(shared)
        terms.append(Term(share, float(shared.values.mean()), float(shared.values.var())))
    return NormalizedValue(
        key,
        float(x[position]),
        float(norm(x)[position]),
        tuple(sets),
        tuple(terms),
        getattr(norm, "eps", 0.0),
        _at(norm, "weight", position) if has_affine else None,
        _at(norm, "bias", position) if has_affine else None,
    )


def _shared(axes: tuple[str, ...], x: Tensor, position: Position, num_groups: int) -> SharedValues:
    photos = range(x.shape[0]) if "N" in axes else range(position.photo, position.photo + 1)
    width = x.shape[1] if "C" in axes else x.shape[1] // num_groups if "C/G" in axes else 1
    first = position.channel // width * width
    channels = range(first, first + width)
    values = x[photos.start : photos.stop, channels.start : channels.stop].numpy()
    return SharedValues(axes, photos, channels, values)


def _at(norm: nn.Module, name: str, position: Position) -> float | None:
    parameter = getattr(norm, name, None)
    return float(parameter[position.channel]) if isinstance(parameter, Tensor) else None


def _enclosed(number: float) -> str:
    return f"({shown(number)})" if number < 0 else shown(number)


@dataclass(frozen=True)
class ActivationMap:
    """Contribution of each part of one image to one network's logit for one class."""

    variant: str
    label: str  # the class
    probability: float
    logit: float
    bias: float  # the part of the logit that no picture changes
    evidence: np.ndarray  # (h, w), float64: sums to logit - bias


@torch.inference_mode()
def activation_maps(models: Mapping[str, Model], image: Image.Image, label: str | None = None) -> dict[str, ActivationMap]:
    """The class-activation map of each network for one image.

    evidence[h, w] = sum over c of weight[k, c] · features[c, h, w] / (H·W). This is exact: the network ends in global
    average pooling and one linear layer, so the evidence sums to the logit of class k minus its bias.

    Args:
        models: from `load_models`.
        image: RGB, any size.
        label: the class; None: the predicted class of each network.

    Returns:
        a map for each variant, in the order of `models`.

    Reference:
        Zhou, Khosla, Lapedriza, Oliva, Torralba. Learning Deep Features for Discriminative Localization. CVPR 2016.
    """
    return {variant: _map(model, image, label) for variant, model in models.items()}


def _map(model: Model, image: Image.Image, label: str | None) -> ActivationMap:
    classes, head = model.config.classes, model.network.fc
    if label is not None and label not in classes:
        raise ConfigError(f"Unknown class. Choose one of the {len(classes)} classes, such as {classes[0]!r}.")
    features = model.network.features(as_batch([image], model.config))[0].double()  # (C, h, w)
    weight, bias = head.weight.double(), head.bias.double()
    logits = weight @ features.mean((1, 2)) + bias
    k = int(logits.argmax()) if label is None else classes.index(label)
    evidence = torch.tensordot(weight[k], features, 1) / features[0].numel()  # (h, w)
    probability = float(logits.softmax(0)[k])
    return ActivationMap(model.variant, classes[k], probability, float(logits[k]), float(bias[k]), evidence.numpy())


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
