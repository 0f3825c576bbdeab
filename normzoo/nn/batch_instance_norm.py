"""Batch-instance normalization, which mixes two of the norms by learned gates; and where a network's gates are."""

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from normzoo.nn.base import BatchStatisticsNorm, check_pixels, moments, per_channel, pool_instance


class BatchInstanceNorm(BatchStatisticsNorm, _InstanceNorm):
    """Batch-instance normalization: a learned gate per channel mixes batch and instance normalization.

    y = (gate * BN(x) + (1 - gate) * IN(x)) * weight + bias, BN and IN without their own affine map. The gate starts
    at 1 (all batch). Whoever trains it keeps it in [0, 1] by clamping after each step (`gates`), never inside the
    forward pass, where a gate that left the interval would get no gradient to come back.

    Torch's tools take it for an instance norm: those that put another layer in the place of every batch norm
    (`convert_sync_batchnorm`) would lose the gate without a word. Nor can it be fused into a convolution: `fuse_conv_bn_eval`
    asks the layer nothing, and must not be called on it.

    >>> x, norm = torch.randn(2, 16, 8, 8), normzoo.BatchInstanceNorm(16)
    >>> torch.testing.assert_close(norm(x), normzoo.BatchNorm(16)(x))
    >>> _ = torch.nn.init.zeros_(norm.gate)
    >>> torch.testing.assert_close(norm(x), normzoo.InstanceNorm(16)(x))

    Args, Raises: as `BatchNorm`; besides, a single pixel (H·W = 1) is refused, as by `InstanceNorm`.

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

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if "gate" in self._parameters:  # torch's constructor calls this before there is one
            nn.init.ones_(self.gate)

    def _normalize(self, x: Tensor) -> Tensor:
        check_pixels(x)
        centred, mean_i, var_i = moments(x, pool_instance)
        remembered = self._remembered()
        if remembered is None:
            pool, count = self._batch_pool(x)
            mean_b = pool(mean_i)
            # Law of total variance: within the images plus between them. One pass over x serves both norms.
            var_b = pool(var_i + (mean_i - mean_b).square())
            self._remember(mean_b, var_b, count)
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
    """Every parameter of `model` that is called `gate`: a mixing weight to be trained faster and kept in [0, 1]."""
    return [parameter for name, parameter in model.named_parameters() if name.rpartition(".")[2] == "gate"]
