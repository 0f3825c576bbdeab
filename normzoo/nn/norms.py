"""Normalization layers from scratch, in plain tensor operations.

All have one formula,

    y = (x - mean) / sqrt(var + eps) * weight + bias        with weight and bias per channel,

and differ only in the values that mean and variance are taken over. Each image has, in each channel, a mean over its H x W
pixels; a normalization *pools* these (N, C) numbers:

    instance   keep each one separate
    batch      average over the images          (N)
    group      average over groups of channels  (C/G)
    layer      average over all channels        (C)

`moments` does this in two passes: centre first, then square (E[x^2] - E[x]^2 would cancel catastrophically).
As in torch, the biased variance normalizes and the running variance is unbiased. Parameters and buffers are inherited from
torch's layers, none of whose kernels is called.
"""

import sys
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from normzoo.errors import ConfigError
from normzoo.nn.base import (
    BatchStatisticsNorm,
    Norm,
    RunningNorm,
    check_channels,
    check_pixels,
    moments,
    per_channel,
    pool_batch,
    pool_instance,
)


class NoNorm(nn.Module):
    """No normalization: y = x. No parameters, no state.

    Accepts the arguments of all other norms; `weight` and `bias` are None.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> normzoo.NoNorm(16)(x).equal(x)
    True

    Args:
        num_channels: channels C of the input; kept only for `repr`. All other arguments are ignored.

    Shape: any -> the same.
    """

    def __init__(self, num_channels: int, *args: Any, device: Any = None, **options: Any) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        return unchanged(x)

    def extra_repr(self) -> str:
        return f"{self.num_channels}"


@torch.fx.wrap
def unchanged(x: Tensor) -> Tensor:
    """Return `x`; one step of a network's symbolic trace, as the other norms are."""
    return x


class BatchNorm(BatchStatisticsNorm, nn.BatchNorm2d):
    """Batch normalization: each channel by its mean and variance over all images of the batch.

    y = (x - mean_NHW) / sqrt(var_NHW + eps) * weight + bias; in evaluation with the running mean and
    variance. Equals `torch.nn.BatchNorm2d`, and loads its state dict.

    >>> theirs, ours = torch.nn.BatchNorm2d(16), normzoo.BatchNorm(16)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.testing.assert_close(ours(x), theirs(x))

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        momentum: weight of the new batch in the running statistics; None averages over all batches seen.
        affine: learn `weight` and `bias`, (C,).
        track_running_stats: keep `running_mean` and `running_var` (unbiased), (C,), and `num_batches_tracked`;
            without them evaluation uses batch statistics. If set to False later, they no longer change.
        bias: learn `bias` too, if there is `weight`.

    Shape: (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: one value per channel (N·H·W = 1) where batch statistics are used.

    Reference: Ioffe, Szegedy. Batch Normalization: Accelerating Deep Network Training by Reducing Internal
        Covariate Shift. 2015. arXiv:1502.03167
    """

    def _normalize(self, x: Tensor) -> Tensor:
        remembered = self._running_stats()
        if remembered is None:
            pool, count = self._batch_pool(x)
            centred, mean, var = moments(x, pool)
            self._update_running_stats(mean, var, count)
        else:
            centred, var = x - remembered[0], remembered[1]
        return self._affine(centred, torch.rsqrt(var + self.eps))


class InstanceNorm(RunningNorm, nn.InstanceNorm2d):
    """Instance normalization: each channel of each image by its own mean and variance.

    y = (x - mean_HW) / sqrt(var_HW + eps) * weight + bias, in training and in evaluation. Equal to
    `torch.nn.InstanceNorm2d(C, affine=True)`.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.testing.assert_close(normzoo.InstanceNorm(16)(x), torch.nn.InstanceNorm2d(16)(x))

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        momentum: weight of the new batch in the running statistics; None: no update.
        affine: learn `weight` and `bias`, (C,).
        track_running_stats: keep `running_mean` and `running_var` (unbiased), (C,), averaged over images, for evaluation.
        bias: learn `bias` too, if there is `weight`.

    Shape: (N, C, H, W) -> (N, C, H, W), or a single image (C, H, W) -> (C, H, W).

    Raises:
        ValueError: a single pixel (H·W = 1).

    Reference: Ulyanov, Vedaldi, Lempitsky. Instance Normalization: The Missing Ingredient for Fast Stylization.
        2016. arXiv:1607.08022
    """

    takes_unbatched = True

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_channels, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _normalize(self, x: Tensor) -> Tensor:
        remembered = self._running_stats() if self.track_running_stats else None
        if remembered is None:
            check_pixels(x)
            centred, mean, var = moments(x, pool_instance)
            n, _, h, w = x.shape
            self._update_running_stats(pool_batch(mean), pool_batch(var), h * w if n else 0)
        else:
            centred, var = x - remembered[0], remembered[1]
        return self._affine(centred, torch.rsqrt(var + self.eps))

    def _ema_factor(self) -> float | None:
        """As torch's layer, which counts no batches."""
        return self.momentum


class GroupNorm(Norm, nn.GroupNorm):
    """Group normalization: each group of C/G neighbouring channels of each image.

    y = (x - mean_g) / sqrt(var_g + eps) * weight + bias, in training and in evaluation. Equal to
    `torch.nn.GroupNorm(G, C)`. G = C is instance, G = 1 layer normalization.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.testing.assert_close(normzoo.GroupNorm(16, num_groups=4)(x), torch.nn.GroupNorm(4, 16)(x))

    Args:
        num_channels: channels C of the input.
        num_groups: groups G; must divide C.
        eps: added to the variance.
        affine: learn `weight` and `bias`, (C,).
        bias: learn `bias` too, if there is `weight`.

    Shape: (N, C, H, W) -> (N, C, H, W).

    Reference: Wu, He. Group Normalization. 2018. arXiv:1803.08494
    """

    def __init__(
        self,
        num_channels: int,
        num_groups: int = 8,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        check_channels(num_channels)
        if num_groups < 1 or num_channels % num_groups:
            raise ConfigError(f"num_groups must divide num_channels ({num_channels}), got {num_groups}.")
        super().__init__(num_groups, num_channels, eps, affine, device, dtype)
        self._finish_init(eps, bias)

    def _pool(self, stat: Tensor) -> Tensor:
        """(N, C, 1, 1) -> (N, C, 1, 1): over each group of C/G neighbouring channels."""
        means = stat.flatten(1).unflatten(1, (self.num_groups, -1)).mean(2)  # (N, G)
        # Back to the channels as the mean of 8 copies, which Inductor computes once, beforehand. A view, or a sum of fewer, it
        # would work into every pixel: a training step took 1.3 times as long. A product with zeros and ones would be as fast,
        # but let an infinity in one group reach the others.
        copies = means[:, :, None, None].expand(-1, -1, self.num_channels // self.num_groups, 8)
        return copies.mean(3).flatten(1)[:, :, None, None]

    def _normalize(self, x: Tensor) -> Tensor:
        centred, _, var = moments(x, self._pool)
        return self._affine(centred, torch.rsqrt(var + self.eps))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


class LayerNorm(Norm, nn.GroupNorm):
    """Layer normalization: all channels and pixels of each image.

    y = (x - mean_CHW) / sqrt(var_CHW + eps) * weight + bias, with weight and bias per channel. Equal to
    `torch.nn.GroupNorm(1, C)`, the meaning of the group-norm paper; `torch.nn.LayerNorm([C, H, W])` has the same
    statistics, but C·H·W weights; ConvNeXt's normalizes each pixel over C alone.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.testing.assert_close(normzoo.LayerNorm(16)(x), torch.nn.GroupNorm(1, 16)(x))

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        affine: learn `weight` and `bias`, (C,).
        bias: learn `bias` too, if there is `weight`.

    Shape: (N, C, H, W) -> (N, C, H, W).

    Reference: Ba, Kiros, Hinton. Layer Normalization. 2016. arXiv:1607.06450
    """

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(1, check_channels(num_channels), eps, affine, device, dtype)
        self._finish_init(eps, bias)

    def _normalize(self, x: Tensor) -> Tensor:
        centred, _, var = moments(x, lambda stat: stat.mean(1, keepdim=True))
        return self._affine(centred, torch.rsqrt(var + self.eps))


class BatchInstanceNorm(BatchStatisticsNorm, _InstanceNorm):
    """Batch-instance normalization: a learned gate per channel blends batch and instance normalization.

    y = (gate * BN(x) + (1 - gate) * IN(x)) * weight + bias, BN and IN without their own affine map. The gate starts at 1
    (batch norm). Clamp it to [0, 1] after each training step (`gates`), not in the forward pass, where a gate outside the
    interval would get no gradient.

    Torch's tools treat it as an instance norm, since those that replace batch norms (`convert_sync_batchnorm`) would lose the
    gate. `fuse_conv_bn_eval` raises an error: a convolution cannot compute instance statistics.

    >>> x, norm = torch.randn(2, 16, 8, 8), normzoo.BatchInstanceNorm(16)
    >>> torch.testing.assert_close(norm(x), normzoo.BatchNorm(16)(x))
    >>> _ = torch.nn.init.zeros_(norm.gate)
    >>> torch.testing.assert_close(norm(x), normzoo.InstanceNorm(16)(x))

    Args, Raises: as `BatchNorm`, and ValueError for a single pixel (H·W = 1).

    Shape: (N, C, H, W) -> (N, C, H, W); `gate` is (C,).

    Reference: Nam, Kim. Batch-Instance Normalization for Adaptively Style-Invariant Neural Networks. 2018.
        arXiv:1805.07925
    """

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_channels, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.gate = nn.Parameter(torch.ones(num_channels, device=device, dtype=dtype))

    @property
    def eps(self) -> float:
        """What is added to the variances."""
        # All that torch asks a layer before it fuses it is its mode, its tensors and this.
        if not torch.compiler.is_compiling() and sys._getframe(1).f_code.co_name == "fuse_conv_bn_eval":
            raise ConfigError("BatchInstanceNorm cannot be fused: a convolution computes no instance statistics. Keep it.")
        return self._eps

    @eps.setter
    def eps(self, value: float) -> None:
        self._eps = value

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if "gate" in self._parameters:  # torch's constructor calls this before there is one
            nn.init.ones_(self.gate)

    def _normalize(self, x: Tensor) -> Tensor:
        check_pixels(x)
        centred, mean_i, var_i = moments(x, pool_instance)
        remembered = self._running_stats()
        if remembered is None:
            pool, count = self._batch_pool(x)
            mean_b = pool(mean_i)
            # Law of total variance: within the images plus between them. One pass over x serves both norms.
            var_b = pool(var_i + (mean_i - mean_b).square())
            self._update_running_stats(mean_b, var_b, count)
        else:
            mean_b, var_b = remembered
        gate = per_channel(self.gate)
        batch_part = gate * torch.rsqrt(var_b + self.eps)  # (1, C, 1, 1)
        rstd = batch_part + (1 - gate) * torch.rsqrt(var_i + self.eps)  # (N, C, 1, 1)
        # BN centres by mean_b, `centred` by mean_i: the difference is one number per image and channel.
        shift = (mean_i - mean_b) * batch_part
        if self.weight is not None:
            weight = per_channel(self.weight)
            shift = shift * weight if self.bias is None else torch.addcmul(per_channel(self.bias), shift, weight)
            rstd = rstd * weight
        return torch.addcmul(shift, centred, rstd)


def gates(model: nn.Module) -> list[nn.Parameter]:
    """Every parameter of `model` named `gate`, to be trained faster and kept in [0, 1]."""
    return [parameter for name, parameter in model.named_parameters() if name.rpartition(".")[2] == "gate"]
