"""One run in several processes: each trains a replica of the network on its share of every batch."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from normzoo.errors import ConfigError, TrainingError
from normzoo.nn.sync import count_replicas, synchronize
from training.config import Recipe
from training.engine.step import TrainStep


def launched_replicas() -> int:
    """Return the number of processes started by `torchrun`; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes started by `torchrun`, if any; return the device of this one."""
    if launched_replicas() == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def is_writer() -> bool:
    """Is this the only or first process, which writes the files?"""
    return count_replicas() == 1 or dist.get_rank() == 0


def synchronize_norms(model: nn.Module, device: torch.device) -> None:
    """Let all norms of a network use statistics of the whole batch, not of their share."""
    synchronize(model)
    if any(type(module) is nn.BatchNorm2d for module in model.modules()):  # ours is one too, but needs no other in its place
        if device.type != "cuda":
            raise ConfigError("torch-bn can share statistics between processes only on GPUs. Add --no-sync-norms, or use bn.")
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # in place


class ReplicaStep(TrainStep):
    """A step in which this process computes its share of the batch; all replicas keep equal weights.

    The sum of the replicas' losses is the mean over the whole batch, also if the last batch gives some replicas fewer images
    or none.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        mean: Tensor,
        std: Tensor,
        precision: str = "fp32",
        sync_norms: bool = True,
        weights: Tensor | None = None,
    ) -> None:
        super().__init__(model, recipe, mean, std, precision, weights=weights)
        self.rank, self.replicas = dist.get_rank(), count_replicas()
        # With shared statistics all have the same buffers; without, the first one's count, as they are what is saved.
        self.network = DistributedDataParallel(model, broadcast_buffers=not sync_norms)

    def share(self, positions: Tensor) -> Tensor:
        return positions[self.rank :: self.replicas]

    def combine(self, total_loss: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        return self._sum(total_loss), self._sum(predicted)

    def check_start(self, epoch: int) -> None:
        if self._sum(torch.tensor(epoch)).item() != epoch * self.replicas:
            raise TrainingError("The processes must resume from the same epoch. Give all of them the same --runs folder.")

    def agree(self, asked: bool) -> bool:
        return bool(self._sum(torch.tensor(int(asked))).item())

    def _sum(self, own: Tensor) -> Tensor:
        total = own.to(self.mean.device)
        dist.all_reduce(total)
        return total

    def _loss(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._logits(pixels)
        count = torch.tensor(len(labels), device=labels.device)
        dist.all_reduce(count)
        # DistributedDataParallel gives the mean of the gradients over the replicas.
        return self._total(logits, labels) * (self.replicas / count), logits

    def _shown(self, loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="sum") / max(1, len(labels))


def on_cpu(value: Any) -> Any:
    """Return nested dicts and lists with every tensor on the CPU in standard layout, as saved."""
    if isinstance(value, Tensor):
        return value.cpu().contiguous()
    if isinstance(value, dict):
        return {key: on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [on_cpu(item) for item in value]
    return value
