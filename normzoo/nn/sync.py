"""Statistics over all replicas of a network that train together, each on its part of the batch."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def count_replicas() -> int:
    """How many processes train together; 1 where there is one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _SumOfReplicas(torch.autograd.Function):
    """The sum of each replica's tensor, on all of them; each one's gradient is the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def sum_of_replicas(own: Tensor) -> Tensor:
    """The sum of what the replicas have, differentiable."""
    result: Tensor = _SumOfReplicas.apply(own)
    return result


class ReplicaPool:
    """Pools the averages of images over the images of all replicas, (N, C, 1, 1) -> (1, C, 1, 1).

    Args:
        x: this replica's activations, (N, C, H, W); N may differ between replicas, and be 0.
    """

    def __init__(self, x: Tensor) -> None:
        n, _, h, w = x.shape
        self.pixels = h * w
        #: Values per channel, of all replicas.
        self.count = torch.tensor(float(n * h * w), dtype=x.dtype, device=x.device)
        dist.all_reduce(self.count)

    def __call__(self, stat: Tensor) -> Tensor:
        return sum_of_replicas(stat.sum(0, keepdim=True) * self.pixels) / self.count
