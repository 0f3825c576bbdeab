"""Batch statistics over several processes that train replicas of a network, on request."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def count_replicas(process_group: Any = None) -> int:
    """Number of processes in a group of `torch.distributed`, or (None) in all; 1 without it."""
    return dist.get_world_size(process_group) if dist.is_available() and dist.is_initialized() else 1


class Synchronizable:
    """A layer whose batch statistics can cover several processes; off by default."""

    sync = False
    #: Those processes; None for all.
    process_group: Any = None

    def _replica_pool(self, x: Tensor) -> "ReplicaPool | None":
        """Return the pooling over all replicas; None if not requested or there is only one."""
        return ReplicaPool(x, self.process_group) if self.sync and count_replicas(self.process_group) > 1 else None


def synchronize(model: Network, process_group: Any = None) -> Network:
    """Let `normzoo.BatchNorm` and `normzoo.BatchInstanceNorm` compute batch statistics over several processes.

    Without it each process uses its own share, as with `torch.nn.BatchNorm2d`. `torch.nn.SyncBatchNorm.convert_sync_batchnorm`
    would replace our layers with torch's, on GPUs only; this keeps them, and also works on CPUs, over gloo.

    >>> network = normzoo.synchronize(normzoo.ResNet(norm="bn"))
    >>> network.norm1.sync
    True

    Args:
        model: a layer, or a network with such layers; changed in place. Wrap it in `DistributedDataParallel` afterwards.
        process_group: processes of `torch.distributed` that share statistics; None for all. All must call a layer
            equally often, in the same order. `sync = False` on a layer turns it off there.

    Returns:
        the model.
    """
    for module in model.modules():
        if isinstance(module, Synchronizable):
            module.sync, module.process_group = True, process_group
    return model


class _SumOfReplicas(torch.autograd.Function):
    """Sum of each replica's tensor, on all of them; the gradient is the sum of all gradients.

    Backward is the same sum, so it is differentiable again: a gradient penalty reaches the other replicas.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, process_group: Any) -> Tensor:
        ctx.process_group = process_group
        total = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=process_group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return sum_of_replicas(gradients[0], ctx.process_group), None


def sum_of_replicas(own: Tensor, process_group: Any = None) -> Tensor:
    """Sum over the replicas, differentiable any number of times."""
    result: Tensor = _SumOfReplicas.apply(own, process_group)
    return result


class ReplicaPool:
    """Pool the averages of images over all replicas, (N, C, 1, 1) -> (1, C, 1, 1).

    Args:
        x: this replica's activations, (N, C, H, W); N may differ between replicas, and be 0.
        process_group: the replicas; None for all processes.
    """

    def __init__(self, x: Tensor, process_group: Any = None) -> None:
        n, _, h, w = x.shape
        self.pixels = h * w
        self.process_group = process_group
        #: Values per channel, of all replicas.
        self.count = torch.tensor(float(n * h * w), dtype=x.dtype, device=x.device)
        dist.all_reduce(self.count, group=process_group)

    def __call__(self, stat: Tensor) -> Tensor:
        return sum_of_replicas(stat.sum(0, keepdim=True) * self.pixels, self.process_group) / self.count
