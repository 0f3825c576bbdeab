"""Trace of a layer: what it makes of a few fixed batches, and whether two layers make the same of them."""

import copy
import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from normzoo.checking.roles import Held, find_roles, per_channel, set_role

CHANNELS, GROUPS, HEIGHT, WIDTH, BATCH = 16, 2, 4, 5, 3
#: Large enough to see where it is added, and not torch's own, so that a layer that ignores its argument shows.
EPS, MOMENTUM = 0.01, 0.3
#: Largest difference to the reference in float32, as a share of the largest value of the same map.
TOLERANCE = 4e-4

#: What is traced, in the order in which it depends on what came before.
STAGES = ("output", "gradients", "memory", "evaluation")


@functools.cache
def make_batches(images: int) -> tuple[Tensor, ...]:
    """Return the fixed batches of so many images, float64: every channel of every image has its own mean and spread.

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
#: Values of what is learned; the gate leaves [0, 1] in two channels, where a clamp in the forward pass shows.
VALUES = {
    "weight": 0.5 + torch.rand(CHANNELS, generator=_generator, dtype=torch.float64),
    "bias": torch.randn(CHANNELS, generator=_generator, dtype=torch.float64),
    "gate": torch.linspace(-0.2, 1.2, CHANNELS, dtype=torch.float64),
}


def clone(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer; of a scripted one with its own tensors, too."""
    return copy.deepcopy(layer)


def set_values(layer: nn.Module) -> dict[str, Held]:
    """Give what the layer learns its values for the check, and return its tensors by role."""
    roles = find_roles(layer)
    for role, values in VALUES.items():
        if role in roles:
            set_role(roles[role], values if roles[role].tensor.numel() >= CHANNELS else values[-3:-2])
    return roles


def values_of(roles: dict[str, Held]) -> dict[str, Tensor]:
    """Return the values that `set_values` gave, one per channel; 1 and 0 for a weight and a bias that there are not."""
    scalar = {role for role, held in roles.items() if held.tensor.numel() < CHANNELS}
    found = {role: values[-3:-2].expand(CHANNELS) if role in scalar else values for role, values in VALUES.items()}
    absent = {"weight": torch.ones_like(VALUES["weight"]), "bias": torch.zeros_like(VALUES["bias"])}
    return found | {role: values for role, values in absent.items() if role not in roles}


def trace(
    layer: nn.Module, batches: Sequence[Tensor] = BATCHES, values: dict[str, Tensor] | None = None
) -> Iterator[tuple[str, str, Tensor | None]]:
    """Yield what a fresh layer does, step by step: (stage, name, value).

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
    """Are two tensors the same to rounding, each map (or each value) judged by its own largest value?"""
    return difference(own, reference) <= TOLERANCE


def difference(own: Tensor, reference: Tensor) -> float:
    """Return the largest difference, as a share of the largest value of the same map; infinite for other shapes or NaN."""
    own = own.double()
    reference = reference.double()
    if own.numel() == 1 < reference.numel():
        reference = reference.sum().reshape(own.shape)  # the gradient of what all channels share
    if reference.numel() == 1 < own.numel() and own.dim() == 1:
        reference = reference.expand(own.shape)  # running statistics that all channels share
    if own.shape != reference.shape or not bool(own.isfinite().all()):
        return float("inf")
    scale = reference.abs()
    floor = max(float(scale.max()) * 1e-3, 1e-12) if scale.numel() else 1.0
    scale = (scale.amax((2, 3), keepdim=True) if scale.dim() == 4 else scale.amax()).clamp_min(floor)
    return float(((own - reference).abs() / scale).max()) if own.numel() else 0.0
