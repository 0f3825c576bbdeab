"""Exchange of the normalization layers of any network for others."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.nn.base import BatchStatisticsNorm, Norm
from normzoo.nn.norms import GroupNorm
from normzoo.nn.registry import get_norm_layer
from normzoo.nn.sync import Synchronizable, synchronize

#: Layers over maps (N, C, H, W) with one weight and bias per channel -> the attribute that is C.
_KNOWN: dict[type[nn.Module], str] = {
    Norm: "num_channels",  # first: ours are torch's as well
    nn.BatchNorm2d: "num_features",
    nn.SyncBatchNorm: "num_features",
    nn.InstanceNorm2d: "num_features",
    nn.GroupNorm: "num_channels",
}
_OTHER_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase, nn.LocalResponseNorm)
#: Norms whose running statistics mean the same.
_FAMILIES = ((nn.BatchNorm2d, nn.SyncBatchNorm, BatchStatisticsNorm), (nn.InstanceNorm2d,))


@dataclass(frozen=True)
class Replacement:
    """A network with other norms.

    Args:
        model: the network; the same object, unless it was a norm itself.
        replaced: names of the layers that were exchanged, each with what took its place.
        left: names of the normalization layers that stay as they were, each with the reason.
    """

    model: nn.Module
    replaced: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


def replace_norms(model: nn.Module, norm: str | Callable[[int], nn.Module], *, num_groups: int | None = None) -> Replacement:
    """Exchange the normalization layers of a network, in place, as `SyncBatchNorm.convert_sync_batchnorm` does.

    Weight and bias are copied, eps too; running statistics, their counter and momentum go from one batch norm to another, and
    from one instance norm to another, since nowhere else they mean the same. A batch norm that looked across processes does so
    after as before. Mode, device, dtype and `requires_grad` stay as they were. Of timm's norms with an activation the norm is
    exchanged, the activation kept.

    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16), torch.nn.BatchNorm2d(12))
    >>> result = normzoo.replace_norms(network, "gn", num_groups=8)
    >>> result.model[1]
    GroupNorm(16, eps=1e-05, affine=True, bias=True, num_groups=8)
    >>> result.left
    {'2': 'num_groups must divide num_channels (12), got 8.'}

    Args:
        model: any network.
        norm: a key of `NORM_LAYERS`, or what is called with the number of channels and gives a layer.
        num_groups: for group norm; None takes its own default.

    Returns:
        A `Replacement`: `model`, and by name what was `replaced` and what was `left`, with the reason.

    Raises:
        ConfigError: no such norm, or `num_groups` for one that has no groups.
    """
    layer_of = get_norm_layer(norm) if isinstance(norm, str) else norm
    if num_groups is not None and not (isinstance(layer_of, type) and issubclass(layer_of, GroupNorm)):
        raise ConfigError(f"num_groups is for group norm (gn), got {num_groups} for another. Leave it out.")
    extra = {} if num_groups is None else {"num_groups": num_groups}
    replaced: dict[str, str] = {}
    left: dict[str, str] = {}
    made: dict[nn.Module, tuple[nn.Module, str]] = {}  # a layer that is used in several places stays one layer
    holder = nn.ModuleDict({"model": model})  # the network may be a norm itself
    for path, old in list(holder.named_modules(remove_duplicate=False)):
        if not _is_norm(old):
            continue
        parent, _, name = path.rpartition(".")
        full_name = path.removeprefix("model").removeprefix(".")
        try:
            if old not in made:
                new, rest = _twin(old, layer_of, extra), _activation(old)
                made[old] = nn.Sequential(new, *rest) if rest else new, type(new).__name__
        except ValueError as error:
            left[full_name] = str(error)
            continue
        placed, replaced[full_name] = made[old]
        holder.get_submodule(parent).register_module(name, placed)
    return Replacement(holder["model"], replaced, left)


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, (*_KNOWN, *_OTHER_NORMS)) or type(module).__name__ == "FrozenBatchNorm2d"


def _activation(module: nn.Module) -> list[nn.Module]:
    """What one of timm's norms does with what it has normalized: drop some of it, activate it."""
    parts = dict(module.named_children())
    is_timms = type(module).__module__.endswith(".norm_act") and parts.keys() == {"drop", "act"}
    return [parts["drop"], parts["act"]] if is_timms else []


def _twin(old: nn.Module, layer_of: Callable[[int], nn.Module], extra: dict[str, Any]) -> nn.Module:
    """Return the layer that takes the place of `old`.

    Raises:
        ValueError: there is none, with the reason.
    """
    known = next((kind for kind in _KNOWN if isinstance(old, kind)), None)
    if known is None:
        raise ValueError(f"{type(old).__name__} does not normalize maps (N, C, H, W) with one weight and bias per channel.")
    if type(old).forward is not known.forward and not _activation(old):
        raise ValueError(f"{type(old).__name__} does more than the {known.__name__} that it is made from.")
    channels: int = getattr(old, _KNOWN[known])
    weight, bias = getattr(old, "weight", None), getattr(old, "bias", None)
    options = {"eps": getattr(old, "eps", None), "affine": weight is not None, "bias": bias is not None, **extra}
    family = next((family for family in _FAMILIES if isinstance(old, family)), ())
    if isinstance(layer_of, type) and issubclass(layer_of, family):
        options |= {"momentum": old.momentum, "track_running_stats": old.track_running_stats}
    accepted = inspect.signature(layer_of).parameters if layer_of.__module__.startswith("normzoo.") else {}
    new = layer_of(channels, **{name: value for name, value in options.items() if name in accepted and value is not None})
    names = ["weight", "bias"]
    if isinstance(new, family):
        names += ["running_mean", "running_var", "num_batches_tracked"]
    if isinstance(old, nn.SyncBatchNorm) or (isinstance(old, Synchronizable) and old.sync):
        synchronize(new, old.process_group)
    with torch.no_grad():
        for name in names:
            target, source = getattr(new, name, None), getattr(old, name, None)
            if isinstance(target, Tensor) and isinstance(source, Tensor) and target.shape == source.shape:
                target.copy_(source)
    like = next((tensor for tensor in (weight, bias, *old.buffers()) if tensor is not None), None)
    if like is not None:
        new.to(device=like.device, dtype=like.dtype if like.is_floating_point() else None)
        for name, parameter in new.named_parameters():
            source = getattr(old, name, like)
            parameter.requires_grad_(source.requires_grad if isinstance(source, nn.Parameter) else True)
    new.train(old.training)
    return new
