"""Trace of a layer: its tensors by role, and its results on a few fixed batches."""

import copy
import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

#: Role of a parameter -> usual names.
_LEARNED = {
    "gate": r"gate|logits?|rho|lam(bda)?|mix(ing)?|alpha",
    "weight": r"weight|gamma|scale|gain|g|w|std|sigma",
    "bias": r"bias|beta|shift|offset|b|mean|mu",
}
CHANNELS, GROUPS, HEIGHT, WIDTH, BATCH = 16, 2, 4, 5, 3
_REMEMBERED = {"running_mean": r"mean|mu|avg|average", "running_var": r"var|variance|std|sigma2?"}


@dataclass(frozen=True)
class Held:
    """A tensor of a layer."""

    name: str  # its attribute
    tensor: Tensor
    holding: str  # parameter, buffer or attribute


def held_tensors(layer: nn.Module) -> Iterator[Held]:
    """Yield all tensors of the layer and its parts: parameters, buffers and plain attributes."""
    for module in layer.modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            yield Held(name, parameter, "parameter")
        for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
            yield Held(name, buffer, "buffer")
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield Held(name, value, "attribute")
            elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
                yield Held(name, torch.from_numpy(value), "attribute")
            elif isinstance(value, list | tuple) and not name.startswith("_"):
                yield from (
                    Held(f"{name}_{at}", each, "attribute") for at, each in enumerate(value) if isinstance(each, Tensor)
                )
            elif isinstance(value, dict) and not name.startswith("_"):
                yield from (Held(f"{name}_{key}", each, "attribute") for key, each in value.items() if isinstance(each, Tensor))


def find_roles(layer: nn.Module) -> dict[str, Held]:
    """Return the tensors of a layer by role, as far as they exist."""
    found: dict[str, Held] = {}
    floating = [held for held in held_tensors(layer) if held.tensor.is_floating_point()]
    learned = [held for held in floating if held.tensor.requires_grad and not _is_table(held.tensor)]
    others = [held for held in floating if not held.tensor.requires_grad]
    moving = [held for held in learned if re.search(r"running|moving|exp_|ema", held.name)]
    for (role, pattern), begin in zip(_REMEMBERED.items(), (0, 1), strict=True):
        named = [held for held in (*others, *moving) if _matches(held.name, pattern)]
        # Without a telling name: means start at zero, variances at one.
        named += [
            held
            for held in others
            if held.holding == "buffer"
            and held.tensor.numel() == CHANNELS
            and bool((held.tensor == begin).all())
            and not any(_matches(held.name, other) for other in _LEARNED.values() if len(held.name) > 1)
        ]
        if named:
            found[role] = named[0]
    learned = [held for held in learned if not any(held is each for each in found.values())]
    taken = [held.tensor for held in found.values()]
    unregistered = [held for held in others if not any(held.tensor is tensor for tensor in taken)]
    for role, pattern in _LEARNED.items():
        named = [held for held in (*learned, *unregistered) if _matches(held.name, pattern)]
        if named:
            found[role] = named[0]
    if found.get("gate") and "weight" not in found and "bias" in found and not any(r.startswith("running") for r in found):
        found["weight"] = found.pop("gate")  # alpha and beta
    # Without a telling name: weights start at one, biases at zero.
    taken = [held.tensor for held in found.values()]
    for held in learned:
        if any(held.tensor is tensor for tensor in taken) or held.tensor.numel() == 0:
            continue
        start = held.tensor.detach().flatten()
        role = "weight" if bool((start == 1).all()) else "bias"
        if role not in found:
            found[role] = held
    return found


def _is_table(tensor: Tensor) -> bool:
    """Is it a matrix without a dimension for the channels, such as an embedding?"""
    return tensor.dim() == 2 and tensor.numel() > CHANNELS and CHANNELS not in tensor.shape


def set_role(held: Held, values: Tensor) -> None:
    """Write one value per channel into a tensor of any shape; (C, H, W) repeats it over the pixels.

    Of two values per channel, logits of a softmax for example, the second is set to 0.
    """
    target = held.tensor
    with torch.no_grad():
        if target.dim() == 2 and sorted(target.shape) == [2, len(values)]:
            target.zero_()
            target = target.select(list(target.shape).index(2), 0)
        if target.numel() in (1, len(values)):
            target.copy_(values[: target.numel()].reshape(target.shape).to(target.dtype))
        else:
            target.copy_(_channels_first(values, target).to(target.dtype))


def per_channel(tensor: Tensor, channels: int) -> Tensor:
    """Sum several values per channel, take the first of two; else only flatten."""
    if tensor.dim() == 2 and sorted(tensor.shape) == [2, channels]:
        return tensor.select(list(tensor.shape).index(2), 0)
    if tensor.numel() in (1, channels) or tensor.numel() % channels:
        return tensor.flatten()
    shape = [size for size in tensor.shape if size != 1]
    return tensor.reshape(shape).flatten(1).sum(1) if shape[0] == channels else tensor.flatten()


def _channels_first(values: Tensor, target: Tensor) -> Tensor:
    """`values`, (C,), shaped to be copied over a target whose first dimension of that size is the channels'."""
    if len(values) in target.shape:
        place = list(target.shape).index(len(values))
        return values.reshape([-1 if each == place else 1 for each in range(target.dim())]).expand(target.shape)
    return values[0].expand(target.shape)


def _matches(name: str, pattern: str) -> bool:
    return any(re.fullmatch(pattern, word.lower()) for word in re.split(r"_|(?<=[a-z])(?=[A-Z])", name.strip("_")))


#: Large enough to see where it is added, and not torch's default, to detect a layer that ignores its argument.
EPS, MOMENTUM = 0.01, 0.3
#: Largest difference from the reference in float32, relative to the largest value of the same map.
TOLERANCE = 4e-4

#: Stages of the trace, in order of dependence.
STAGES = ("output", "gradients", "memory", "evaluation")


@functools.cache
def make_batches(images: int) -> tuple[Tensor, ...]:
    """Return the fixed batches of this many images, float64; every channel of every image has its own mean and deviation.

    One channel and one image are so faint that ε counts in them.
    """
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(4):
        noise = torch.randn(images, CHANNELS, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)
        spread = 0.4 + 1.2 * torch.rand(images, CHANNELS, 1, 1, generator=generator, dtype=torch.float64)
        shift = torch.randn(images, CHANNELS, 1, 1, generator=generator, dtype=torch.float64)
        x = noise * spread + shift
        x[:, 1] *= 0.003
        x[1] *= 0.003
        made.append(x)
    return tuple(made)


BATCHES = make_batches(BATCH)
_generator = torch.Generator().manual_seed(1)
_COTANGENT = torch.randn(8, CHANNELS, HEIGHT, WIDTH, generator=_generator, dtype=torch.float64)
#: Parameter values; the gate is outside [0, 1] in two channels, to detect a clamp in the forward pass.
VALUES = {
    "weight": 0.5 + torch.rand(CHANNELS, generator=_generator, dtype=torch.float64),
    "bias": torch.randn(CHANNELS, generator=_generator, dtype=torch.float64),
    "gate": torch.linspace(-0.2, 1.2, CHANNELS, dtype=torch.float64),
}


def clone(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer, without autograd graphs; of a scripted one with separate tensors."""
    computed = [held for held in held_tensors(layer) if held.tensor.grad_fn is not None]
    memo = {id(held.tensor): held.tensor.detach().clone() for held in computed}
    for held in computed:
        memo[id(held.tensor)].requires_grad_(held.holding == "attribute")
    return copy.deepcopy(layer, memo)


def set_values(layer: nn.Module) -> dict[str, Held]:
    """Set the parameters to the values of the check, and return the tensors by role."""
    roles = find_roles(layer)
    for role, values in VALUES.items():
        if role in roles:
            set_role(roles[role], values if roles[role].tensor.numel() >= CHANNELS else values[-3:-2])
    return roles


def values_of(roles: dict[str, Held]) -> dict[str, Tensor]:
    """Return the values set by `set_values`, one per channel; 1 and 0 for a missing weight and bias."""
    scalar = {role for role, held in roles.items() if held.tensor.numel() < CHANNELS}
    found = {role: values[-3:-2].expand(CHANNELS) if role in scalar else values for role, values in VALUES.items()}
    absent = {"weight": torch.ones_like(VALUES["weight"]), "bias": torch.zeros_like(VALUES["bias"])}
    return found | {role: values for role, values in absent.items() if role not in roles}


def trace(
    layer: nn.Module, batches: Sequence[Tensor] = BATCHES, values: dict[str, Tensor] | None = None
) -> Iterator[tuple[str, str, Tensor | None]]:
    """Yield what a new layer does, step by step: (stage, name, value).

    Args:
        layer: it is not changed, a copy is.
        batches: four, as `make_batches` gives them.
        values: of what is learned, one per channel; None takes those of `set_values`.
    """
    layer = clone(layer).train()
    roles = set_values(layer)
    for role, given in (values or {}).items():
        set_role(roles[role], given)
    dtype = roles["weight"].tensor.dtype if "weight" in roles else next((p.dtype for p in layer.parameters()), torch.float32)
    x, y = batches[0], batches[0]
    for step, batch in enumerate(batches[:3]):
        x = batch.to(dtype, copy=True).requires_grad_()
        y = layer(x + 0)  # a copy: a layer that writes into its input must not fail here
        yield "output", f"batch {step}", y.detach()
    learned = {role: roles[role].tensor for role in VALUES if role in roles and roles[role].tensor.requires_grad}
    grads = torch.autograd.grad((y * _COTANGENT[: len(y)].to(dtype)).sum(), [x, *learned.values()], allow_unused=True)
    for role, gradient in zip(("input", *learned), grads, strict=True):
        yield "gradients", role, gradient if gradient is None or role == "input" else per_channel(gradient, CHANNELS)
    after = find_roles(layer)
    for role in ("running_mean", "running_var"):
        yield "memory", role, after[role].tensor.detach().flatten().clone() if role in after else None
    layer.eval()
    x = batches[3].to(dtype, copy=True).requires_grad_()
    y = layer(x + 0)
    yield "evaluation", "output", y.detach()
    if y.requires_grad:
        yield "evaluation", "gradient", torch.autograd.grad((y * _COTANGENT[: len(y)].to(dtype)).sum(), x, allow_unused=True)[0]


def close(own: Tensor, reference: Tensor) -> bool:
    """Are two tensors equal up to rounding, relative to the largest value of each map (or value)?"""
    return difference(own, reference) <= TOLERANCE


def difference(own: Tensor, reference: Tensor) -> float:
    """Return the largest difference relative to the largest value of the same map; infinite for other shapes or NaN."""
    own = own.double()
    reference = reference.double()
    if own.numel() == 1 < reference.numel():
        reference = reference.sum().reshape(own.shape)  # the gradient of what all channels share
    if reference.numel() == 1 < own.numel() and own.dim() == 1:
        reference = reference.expand(own.shape)  # running statistics that all channels share
    if own.shape != reference.shape:
        return float("inf")
    found = _largest_difference(own, reference)
    if math.isnan(found):  # a mistake that gives NaN is known by where it does
        finite = reference.isfinite()
        if not torch.equal(own.isfinite(), finite):
            return float("inf")
        found = _largest_difference(own.where(finite, 0), reference.where(finite, 0))
    return found


def _largest_difference(own: Tensor, reference: Tensor) -> float:
    if not own.numel():
        return 0.0
    scale = reference.abs()
    floor = max(float(scale.max()) * 1e-3, 1e-12)
    scale = (scale.amax((2, 3), keepdim=True) if scale.dim() == 4 else scale.amax()).clamp_min(floor)
    return float(((own - reference).abs() / scale).max())
