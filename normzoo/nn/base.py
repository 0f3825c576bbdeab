"""What the norms have in common: moments in two passes, running statistics, the affine map."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.nn.sync import ReplicaPool, count_replicas

Pool = Callable[[Tensor], Tensor]


def moments(x: Tensor, pool: Pool) -> tuple[Tensor, Tensor, Tensor]:
    """Centre `x` and give its pooled mean and biased variance.

    Args:
        x: activations, (N, C, H, W), at least float32.
        pool: combines the per-image, per-channel averages, (N, C, 1, 1), into what the statistics are
            shared over: (N or 1, C or 1, 1, 1).

    Returns:
        (x - mean, mean, var).
    """
    mean = pool(x.mean((2, 3), keepdim=True))
    centred = x - mean
    var = pool(centred.square().mean((2, 3), keepdim=True))
    return centred, mean, var


def pool_instance(stat: Tensor) -> Tensor:
    """(N, C, 1, 1) -> (N, C, 1, 1): every image and channel by itself."""
    return stat


def pool_batch(stat: Tensor) -> Tensor:
    """(N, C, 1, 1) -> (1, C, 1, 1): over the images of the batch."""
    if stat.shape[0] == 0:  # no images: zeros, where a mean would be NaN and reach the gradient of `weight`
        return stat.sum(0, keepdim=True)
    return stat.mean(0, keepdim=True)


class Norm(nn.Module, ABC):
    """What the layers share: arguments, `weight` and `bias`, checks, the affine end of the formula.

    Class attributes say in words what the page and the documentation show; a new norm sets its own.
    """

    title: str  # "batch normalization"
    axes: str  # what the statistics are taken over
    pooled_axes: tuple[tuple[str, ...], ...]  # the same for drawing: the axes of each mean that is taken; may be left out
    formula: str  # plain text
    paper: str  # authors, title, year
    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_channels < 1:
            raise ConfigError(f"num_channels must be at least 1, got {num_channels}.")
        if not eps > 0:
            raise ConfigError(f"eps must be positive, got {eps}.")
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name in ("weight", "bias"):
            start = torch.ones if name == "weight" else torch.zeros
            self.register_parameter(name, nn.Parameter(start(num_channels, device=device, dtype=dtype)) if affine else None)

    def reset_parameters(self) -> None:
        """Set the affine map to the identity: weight 1, bias 0."""
        if self.weight is not None and self.bias is not None:
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`.

        Shape: (N, C, H, W) -> (N, C, H, W), in the dtype and memory format of the input. Statistics and the
            affine map are computed in at least float32.

        Raises:
            ValueError: wrong number of dimensions or channels; a statistic of a single value.
        """
        if x.dim() != 4:
            raise ValueError(f"expected 4D input (N, C, H, W), got {x.dim()}D.")
        if x.shape[1] != self.num_channels:
            raise ValueError(f"expected {self.num_channels} channels, got {x.shape[1]}.")
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return self._normalize(wide).to(x.dtype)

    @abstractmethod
    def _normalize(self, x: Tensor) -> Tensor:
        """What a norm of its own writes: (N, C, H, W), at least float32, checked -> the same shape."""

    def _affine(self, centred: Tensor, rstd: Tensor) -> Tensor:
        """(centred * rstd) * weight + bias, folded into one multiply-add."""
        if self.weight is None or self.bias is None:
            return centred * rstd
        return torch.addcmul(per_channel(self.bias), centred, rstd * per_channel(self.weight))

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.affine}"


def per_channel(parameter: Tensor) -> Tensor:
    return parameter.view(1, -1, 1, 1)


class BatchStatisticsNorm(Norm):
    """A norm that looks across the batch in training and remembers running statistics for evaluation.

    Where several processes train replicas of a network together (`torch.distributed`), the batch is that of all of them;
    set `sync` to False to have each replica look across its own part alone.
    """

    sync = True
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_channels, eps, affine, device, dtype)
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        counter = torch.tensor(0, dtype=torch.long, device=device) if track_running_stats else None
        for name in ("running_mean", "running_var"):
            start = torch.zeros if name == "running_mean" else torch.ones
            self.register_buffer(name, start(num_channels, device=device, dtype=dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", counter)

    def reset_parameters(self) -> None:
        """As the base; forgets the running statistics too."""
        super().reset_parameters()
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget what was seen: mean 0, variance 1, counter 0."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def _remembered(self) -> tuple[Tensor, Tensor] | None:
        """Running mean and variance, (1, C, 1, 1), where they take the place of the batch's: in evaluation, if kept."""
        if self.training or self.running_mean is None or self.running_var is None:
            return None
        return per_channel(self.running_mean), per_channel(self.running_var)

    def _batch_pool(self, x: Tensor) -> tuple[Pool, int | Tensor]:
        """What pools over the batch, and how many values per channel it has.

        Raises:
            ValueError: one value per channel.
        """
        if self.training and self.sync and count_replicas() > 1:
            shared = ReplicaPool(x)
            return shared, shared.count
        self._check_batch(x)
        n, _, h, w = x.shape
        return pool_batch, n * h * w

    def _check_batch(self, x: Tensor) -> None:
        n, _, h, w = x.shape
        if n * h * w == 1:
            raise ValueError(f"expected more than 1 value per channel to normalize over, got input of shape {(*x.shape,)}.")

    def _remember(self, mean: Tensor, var: Tensor, count: int | Tensor) -> None:
        """Move the running statistics, in place, towards those of this batch of `count` values per channel."""
        if not self.training or self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            if not isinstance(count, Tensor) and count == 0:
                return
            dtype = self.running_mean.dtype
            unbiased = var * (count / (count - 1))
            # None: the average of all batches so far. A tensor, not a float: nothing waits for the device.
            factor = 1 / self.num_batches_tracked.to(dtype) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.flatten().to(dtype), factor)
            self.running_var.lerp_(unbiased.flatten().to(dtype), factor)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, track_running_stats={self.track_running_stats}"
