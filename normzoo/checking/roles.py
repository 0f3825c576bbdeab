"""Roles of a layer's tensors: which is the weight, the bias, the gate, the running mean and variance, whatever their names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Role of what is learned -> names that people give it.
_LEARNED = {
    "gate": r"gate|rho|lam(bda)?|mix(ing)?|alpha",
    "weight": r"weight|gamma|scale|gain|g|w|std|sigma",
    "bias": r"bias|beta|shift|offset|b|mean|mu",
}
_REMEMBERED = {"running_mean": r"mean|mu|avg|average", "running_var": r"var|variance|std|sigma2?"}


@dataclass(frozen=True)
class Held:
    """A tensor that a layer holds."""

    name: str  # its attribute
    tensor: Tensor
    holding: str  # parameter, buffer or attribute


def held_tensors(layer: nn.Module) -> Iterator[Held]:
    """Yield all tensors that the layer and its parts hold: parameters, buffers, and plain attributes."""
    for module in layer.modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield Held(name, parameter, "parameter")
        for name, buffer in module.named_buffers(recurse=False):
            yield Held(name, buffer, "buffer")
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield Held(name, value, "attribute")


def find_roles(layer: nn.Module) -> dict[str, Held]:
    """Return the tensors of a layer by their role; a role that nothing plays is not there."""
    found: dict[str, Held] = {}
    floating = [held for held in held_tensors(layer) if held.tensor.is_floating_point()]
    learned = [held for held in floating if held.tensor.requires_grad]
    others = [held for held in floating if not held.tensor.requires_grad]
    for role, pattern in _REMEMBERED.items():
        named = [held for held in others if _matches(held.name, pattern)]
        if named:
            found[role] = named[0]
    taken = [held.tensor for held in found.values()]
    unregistered = [held for held in others if not any(held.tensor is tensor for tensor in taken)]
    for role, pattern in _LEARNED.items():
        named = [held for held in (*learned, *unregistered) if _matches(held.name, pattern)]
        if named:
            found[role] = named[0]
    # What has no name that tells: weights begin at one, biases at zero.
    taken = [held.tensor for held in found.values()]
    for held in learned:
        if any(held.tensor is tensor for tensor in taken) or held.tensor.numel() == 0:
            continue
        start = held.tensor.detach().flatten()
        role = "weight" if bool((start == 1).all()) else "bias"
        if role not in found:
            found[role] = held
    return found


def set_role(held: Held, values: Tensor) -> None:
    """Write one value per channel into a tensor of any shape; (C, H, W) repeats it over the pixels."""
    target = held.tensor
    with torch.no_grad():
        if target.numel() in (1, len(values)):
            target.copy_(values[: target.numel()].reshape(target.shape).to(target.dtype))
        else:
            target.copy_(_channels_first(values, target).to(target.dtype))


def per_channel(tensor: Tensor, channels: int) -> Tensor:
    """Sum what has more than one value per channel over the others; anything else is only flattened."""
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
