"""Replace the normalization layers of any network."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.nn.base import BatchStatisticsNorm, Norm
from normzoo.nn.norms import GroupNorm
from normzoo.nn.registry import get_norm_layer
from normzoo.nn.sync import Synchronizable, synchronize

#: Layers for (N, C, H, W) with one weight and bias per channel -> attribute with C.
_KNOWN: dict[type[nn.Module], str] = {
    Norm: "num_channels",  # first: ours are torch's as well
    nn.BatchNorm2d: "num_features",
    nn.SyncBatchNorm: "num_features",
    nn.InstanceNorm2d: "num_features",
    nn.GroupNorm: "num_channels",
}
_OTHER_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase, nn.LocalResponseNorm)
#: Prefixes of the attributes with hooks.
_CALL_HOOKS = ("_forward_", "_backward_", "_is_full_backward_hook")
_STATE_HOOKS = ("_state_dict_", "_load_state_dict_")
#: Norms with compatible running statistics.
_FAMILIES = ((nn.BatchNorm2d, nn.SyncBatchNorm, BatchStatisticsNorm), (nn.InstanceNorm2d,))


@dataclass(frozen=True)
class Replacement:
    """A network with other norms.

    Args:
        model: the network; the same object, unless it was a norm itself.
        replaced: name of each replaced layer -> its replacement.
        left: name of each normalization layer that was not replaced -> the reason.
    """

    model: nn.Module
    replaced: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


def replace_norms(model: nn.Module, norm: str | Callable[[int], nn.Module], *, num_groups: int | None = None) -> Replacement:
    """Replace the normalization layers of a network in place, as `SyncBatchNorm.convert_sync_batchnorm` does.

    Weight and bias remain the same parameters, so an existing optimizer still trains them (but not the gates of batch-instance
    norm). eps, mode, device, dtype, and forward and backward hooks are kept; running statistics and momentum from batch norm to
    batch norm and from instance norm to instance norm, and so is synchronization of batch statistics. timm's norms with an
    activation keep the activation and the names of their parameters. A group norm next to a 1D or 3D convolution is not
    replaced.

    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16), torch.nn.BatchNorm2d(12))
    >>> result = normzoo.replace_norms(network, "gn", num_groups=8)
    >>> result.model[1]
    GroupNorm(16, eps=1e-05, affine=True, bias=True, num_groups=8)
    >>> result.left
    {'2': 'num_groups must divide num_channels (12), got 8.'}

    Args:
        model: any network.
        norm: a key of `NORM_LAYERS`, or a callable from the number of channels to a layer.
        num_groups: of group norm; None: its default.

    Returns:
        A `Replacement`: the `model`, and the layers that were `replaced` and `left`.

    Raises:
        ConfigError: unknown norm, or `num_groups` for a norm without groups.
    """
    layer_of = get_norm_layer(norm) if isinstance(norm, str) else norm
    if num_groups is not None and not (isinstance(layer_of, type) and issubclass(layer_of, GroupNorm)):
        raise ConfigError(f"num_groups needs group norm (gn), got {num_groups} for another norm. Omit it.")
    extra = {} if num_groups is None else {"num_groups": num_groups}
    replaced: dict[str, str] = {}
    left: dict[str, str] = {}
    made: dict[nn.Module, tuple[nn.Module, str]] = {}  # a layer that is used in several places stays one layer
    holder = nn.ModuleDict({"model": model})  # the network may be a norm itself
    layers = dict(model.named_modules())
    for path, old in list(holder.named_modules(remove_duplicate=False)):
        if not (isinstance(old, (*_KNOWN, *_OTHER_NORMS)) or type(old).__name__.startswith("FrozenBatchNorm")):
            continue
        parent, _, name = path.rpartition(".")
        full_name = path.removeprefix("model").removeprefix(".")
        try:
            if old not in made:
                new = _twin(old, layer_of, extra)
                if isinstance(new, Norm) and isinstance(old, (nn.GroupNorm, nn.SyncBatchNorm)) and not isinstance(old, Norm):
                    _check_neighbours(old, layers)
                _move_hooks(old, new)
                made[old] = new, type(new).__name__
        except ValueError as error:
            left[full_name] = str(error)
            continue
        placed, replaced[full_name] = made[old]
        holder.get_submodule(parent).register_module(name, placed)
    return Replacement(holder["model"], replaced, left)


def _has_activation(module: nn.Module) -> bool:
    """Is it one of timm's norms with an activation, or a replacement of one?"""
    known = type(module).__module__.endswith(".norm_act") or _activate in module._forward_hooks.values()
    return known and dict(module.named_children()).keys() == {"drop", "act"}


def _activate(norm: nn.Module, inputs: Any, normalized: Tensor) -> Any:
    """Activation of a norm, as a hook: a wrapping layer would rename its parameters."""
    return norm.get_submodule("act")(norm.get_submodule("drop")(normalized))


def _move_hooks(old: nn.Module, new: nn.Module) -> None:
    """Move activation and hooks of `old` to `new`; their handles still remove them."""
    for name in [name for name in vars(old) if name.startswith(_CALL_HOOKS) and name in vars(new)]:
        hooks, own = getattr(old, name), getattr(new, name)
        if isinstance(hooks, dict):
            setattr(old, name, hooks.copy())  # the handles know the dictionary, which goes to the new layer
            hooks.update(own)
        setattr(new, name, hooks)
    if _has_activation(old):
        new.add_module("drop", old.get_submodule("drop"))
        new.add_module("act", old.get_submodule("act"))
        if _activate not in new._forward_hooks.values():
            new.register_forward_hook(_activate, prepend=True)


def _check_neighbours(old: nn.Module, layers: dict[str, nn.Module]) -> None:
    """Check the layers around one that normalizes any number of dimensions.

    Raises:
        ValueError: they do not process (N, C, H, W).
    """
    names = [name for name, layer in layers.items() if layer is old or _dimensions(layer) is not None]
    place = next(place for place, name in enumerate(names) if layers[name] is old)
    before, after = names[:place][-1:], names[place + 1 :][:1]
    others = [name for name in before + after if _dimensions(layers[name]) in (1, 3)]
    if not others and [_dimensions(layers[name]) for name in before] == [0]:
        others = before if [_dimensions(layers[name]) for name in after] != [2] else []
    if others:
        neighbour = f"{type(layers[others[0]]).__name__} {others[0]!r}"
        raise ValueError(f"{type(old).__name__} is next to {neighbour}, so its input may not be (N, C, H, W).")


def _dimensions(layer: nn.Module) -> int | None:
    """Number of spatial dimensions of a layer's input; None if its type does not determine it."""
    if isinstance(layer, nn.Linear):
        return 0
    kind = next((kind.__name__ for kind in type(layer).__mro__ if kind.__name__[-2:] in ("1d", "2d", "3d")), "")
    return int(kind[-2]) if kind.startswith(("Conv", "LazyConv", "BatchNorm", "InstanceNorm")) else None


def _reason(old: nn.Module) -> str:
    """Why a norm of an unknown kind is not replaced."""
    kind = type(old).__name__
    if kind.startswith("FrozenBatchNorm"):
        return f"{kind} is frozen: its weight and bias are buffers, which no optimizer trains."
    if isinstance(old, nn.LayerNorm) and len(old.normalized_shape) == 1:
        return f"{kind} normalizes every position over its {old.normalized_shape[0]} channels, not over an image."
    if isinstance(old, nn.LayerNorm):
        return f"{kind} has one weight per value of {tuple(old.normalized_shape)}, not per channel."
    if isinstance(old, (nn.RMSNorm, nn.LocalResponseNorm)):
        return f"{kind} subtracts no mean."
    if isinstance(old, nn.modules.lazy.LazyModuleMixin):
        return f"{kind} does not know its channels yet. Run the network once before."
    if _dimensions(old) in (1, 3):
        return f"{kind} is not for maps (N, C, H, W)."
    return f"{kind} is not a BatchNorm2d, SyncBatchNorm, InstanceNorm2d or GroupNorm."


def _twin(old: nn.Module, layer_of: Callable[[int], nn.Module], extra: dict[str, Any]) -> nn.Module:
    """Return the replacement of `old`.

    Raises:
        ValueError: there is none; the message is the reason.
    """
    kind = type(old).__name__
    known = next((layer for layer in _KNOWN if isinstance(old, layer)), None)
    if known is None:
        raise ValueError(_reason(old))
    if type(old).forward is not known.forward and not _has_activation(old):
        raise ValueError(f"{kind} overrides the forward pass of {known.__name__}.")
    weight, bias = getattr(old, "weight", None), getattr(old, "bias", None)
    for name in ("weight", "bias"):
        if getattr(old, name, None) is not None and name not in old._parameters:
            raise ValueError(f"The {name} of {kind} is computed (parametrized or pruned). Make it a parameter first.")
    if any(hooks for name, hooks in vars(old).items() if name.startswith(_STATE_HOOKS)):
        raise ValueError(f"{kind} has state-dict hooks, which may not fit another layer. Remove them first.")
    channels: int = getattr(old, _KNOWN[known])
    options = {"eps": getattr(old, "eps", None), "affine": weight is not None, "bias": bias is not None, **extra}
    family = next((family for family in _FAMILIES if isinstance(old, family)), ())
    if isinstance(layer_of, type) and issubclass(layer_of, family):
        options |= {"momentum": old.momentum, "track_running_stats": old.track_running_stats}
    accepted = inspect.signature(layer_of).parameters if layer_of.__module__.startswith("normzoo.") else {}
    new = layer_of(channels, **{name: value for name, value in options.items() if name in accepted and value is not None})
    if _has_activation(old) and (hasattr(new, "drop") or hasattr(new, "act")):
        raise ValueError(f"{kind} and {type(new).__name__} both end in an activation.")
    if isinstance(old, nn.SyncBatchNorm) or (isinstance(old, Synchronizable) and old.sync):
        synchronize(new, old.process_group)
    like = next((tensor for tensor in (weight, bias, *old.buffers()) if tensor is not None), None)
    if like is not None:
        new.to(device=like.device, dtype=like.dtype if like.is_floating_point() else None)
        for parameter in new.parameters():
            parameter.requires_grad_(like.requires_grad or not isinstance(like, nn.Parameter))
    kept: list[tuple[str, dict[str, Any]]] = [(name, new._parameters) for name in ("weight", "bias", "gate")]
    if isinstance(new, family):
        kept += [(name, new._buffers) for name in ("running_mean", "running_var", "num_batches_tracked")]
    for name, place in kept:
        target, source = place.get(name), getattr(old, name, None)
        if target is not None and source is not None and target.shape == source.shape:
            place[name] = source
    new.train(old.training)
    return new
