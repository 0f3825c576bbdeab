"""Six normalization layers from scratch, in plain tensor operations.

All of them are one formula,

    y = (x - mean) / sqrt(var + eps) * weight + bias        with weight and bias per channel,

and differ only in which values the mean and the variance are taken over. Each image has, in each channel, a
mean over its H x W pixels; a normalization is a way of *pooling* these (N, C) numbers:

    instance   keep each one apart
    batch      average over the images          (N)
    group      average over groups of channels  (C/G)
    layer      average over all channels        (C)

`moments` does this in two passes: centre first, then square (E[x^2] - E[x]^2 would cancel catastrophically).
The biased variance normalizes; the running variance remembers the unbiased one, as torch does.

`NORM_LAYERS` is the table of them, by key:

>>> normzoo.NORM_LAYERS["bin"]
<class 'normzoo.nn.norms.BatchInstanceNorm'>
"""

import torch
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.nn.base import BatchStatisticsNorm, Norm, moments, per_channel, pool_instance


class NoNorm(nn.Module):
    """No normalization: y = x. No parameters, no state.

    Takes the constructor arguments of the other norms, so that it drops in for any of them.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> normzoo.NoNorm(16)(x).equal(x)
    True

    Args:
        num_channels: channels C of the input; kept only for `repr`.

    Shape: any -> the same.
    """

    title = "no normalization"
    axes = "–"
    pooled_axes: tuple[tuple[str, ...], ...] = ()
    formula = "y = x"
    paper = "He et al., Deep Residual Learning for Image Recognition, 2015 (the network itself)"

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_channels = num_channels

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"{self.num_channels}"


class BatchNorm(BatchStatisticsNorm):
    """Batch normalization: every channel by its mean and variance over all images of the batch.

    y = (x - mean_NHW) / sqrt(var_NHW + eps) * weight + bias; in evaluation the running mean and variance take the
    place of the batch's. Equal to `torch.nn.BatchNorm2d`, and loads its state dict.

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
            without them evaluation uses the statistics of its own batch.

    Shape: (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: one value per channel (N·H·W = 1) where batch statistics are used.

    Reference: Ioffe, Szegedy. Batch Normalization: Accelerating Deep Network Training by Reducing Internal
        Covariate Shift. 2015. arXiv:1502.03167
    """

    title = "batch normalization"
    axes = "N, H, W"
    pooled_axes = (("N", "H", "W"),)
    formula = "y = (x − mean over N,H,W) / √(var over N,H,W + ε) · weight + bias"
    paper = "Ioffe, Szegedy, Batch Normalization, 2015, arXiv:1502.03167"

    def _normalize(self, x: Tensor) -> Tensor:
        remembered = self._remembered()
        if remembered is None:
            pool, count = self._batch_pool(x)
            centred, mean, var = moments(x, pool)
            self._remember(mean, var, count)
        else:
            centred, var = x - remembered[0], remembered[1]
        return self._affine(centred, torch.rsqrt(var + self.eps))


class InstanceNorm(Norm):
    """Instance normalization: every channel of every image by its own mean and variance.

    y = (x - mean_HW) / sqrt(var_HW + eps) * weight + bias, in training and in evaluation. Equal to
    `torch.nn.InstanceNorm2d(C, affine=True)`.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.testing.assert_close(normzoo.InstanceNorm(16)(x), torch.nn.InstanceNorm2d(16)(x))

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        affine: learn `weight` and `bias`, (C,).

    Shape: (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: a single pixel (H·W = 1).

    Reference: Ulyanov, Vedaldi, Lempitsky. Instance Normalization: The Missing Ingredient for Fast Stylization.
        2016. arXiv:1607.08022
    """

    title = "instance normalization"
    axes = "H, W"
    pooled_axes = (("H", "W"),)
    formula = "y = (x − mean over H,W) / √(var over H,W + ε) · weight + bias"
    paper = "Ulyanov, Vedaldi, Lempitsky, Instance Normalization, 2016, arXiv:1607.08022"

    def _normalize(self, x: Tensor) -> Tensor:
        _check_pixels(x)
        centred, _, var = moments(x, pool_instance)
        return self._affine(centred, torch.rsqrt(var + self.eps))


def _check_pixels(x: Tensor) -> None:
    if x.shape[2] * x.shape[3] == 1:
        raise ValueError(f"expected more than 1 pixel to normalize over, got input of shape {(*x.shape,)}.")


class BatchInstanceNorm(BatchStatisticsNorm):
    """Batch-instance normalization: a learned gate per channel mixes batch and instance normalization.

    y = (gate * BN(x) + (1 - gate) * IN(x)) * weight + bias, BN and IN without their own affine map. The gate starts
    at 1 (all batch). Whoever trains it keeps it in [0, 1] by clamping after each step (`gates`), never inside the
    forward pass, where a gate that left the interval would get no gradient to come back.

    >>> x, norm = torch.randn(2, 16, 8, 8), normzoo.BatchInstanceNorm(16)
    >>> torch.testing.assert_close(norm(x), normzoo.BatchNorm(16)(x))
    >>> _ = torch.nn.init.zeros_(norm.gate)
    >>> torch.testing.assert_close(norm(x), normzoo.InstanceNorm(16)(x))

    Args, Raises: as `BatchNorm`; besides, a single pixel (H·W = 1) is refused, as by `InstanceNorm`.

    Shape: (N, C, H, W) -> (N, C, H, W); `gate` is (C,).

    Reference: Nam, Kim. Batch-Instance Normalization for Adaptively Style-Invariant Neural Networks. 2018.
        arXiv:1805.07925
    """

    title = "batch-instance normalization"
    axes = "N, H, W and H, W, mixed by a learned gate"
    pooled_axes = (("N", "H", "W"), ("H", "W"))
    formula = "y = (gate · BN(x) + (1 − gate) · IN(x)) · weight + bias"
    paper = "Nam, Kim, Batch-Instance Normalization, 2018, arXiv:1805.07925"

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
        super().__init__(num_channels, eps, momentum, affine, track_running_stats, device, dtype)
        self.gate = nn.Parameter(torch.ones(num_channels, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.ones_(self.gate)

    def _normalize(self, x: Tensor) -> Tensor:
        _check_pixels(x)
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
        if self.weight is None or self.bias is None:
            return torch.addcmul(shift, centred, rstd)
        weight = per_channel(self.weight)
        return torch.addcmul(torch.addcmul(per_channel(self.bias), shift, weight), centred, rstd * weight)


class GroupNorm(Norm):
    """Group normalization: every group of C/G neighbouring channels of every image together.

    y = (x - mean_g) / sqrt(var_g + eps) * weight + bias, in training and in evaluation. Equal to
    `torch.nn.GroupNorm(G, C)`. G = C is instance, G = 1 layer normalization.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.testing.assert_close(normzoo.GroupNorm(16, num_groups=4)(x), torch.nn.GroupNorm(4, 16)(x))

    Args:
        num_channels: channels C of the input.
        num_groups: groups G; must divide C.
        eps: added to the variance.
        affine: learn `weight` and `bias`, (C,).

    Shape: (N, C, H, W) -> (N, C, H, W).

    Reference: Wu, He. Group Normalization. 2018. arXiv:1803.08494
    """

    title = "group normalization"
    axes = "C/G, H, W"
    pooled_axes = (("C/G", "H", "W"),)
    formula = "y = (x − mean over C/G,H,W) / √(var over C/G,H,W + ε) · weight + bias"
    paper = "Wu, He, Group Normalization, 2018, arXiv:1803.08494"

    same_group: Tensor

    def __init__(
        self,
        num_channels: int,
        num_groups: int = 8,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_channels, eps, affine, device, dtype)
        if num_groups < 1 or num_channels % num_groups:
            raise ConfigError(f"num_groups must divide num_channels ({num_channels}), got {num_groups}.")
        self.num_groups = num_groups
        size = num_channels // num_groups
        same_group = torch.block_diag(*[torch.ones(size, size, device=device, dtype=dtype)] * num_groups)
        self.register_buffer("same_group", same_group, persistent=False)  # (C, C)

    def _pool(self, stat: Tensor) -> Tensor:
        """(N, C, 1, 1) -> (N, C, 1, 1): over each group of C/G neighbouring channels.

        A small matrix product, and not a view of (N, G, C/G): Inductor would work such a view into every pixel.
        """
        # In float64, which autocast leaves alone.
        total = stat.flatten(1).double() @ self.same_group.double()
        return (total * (self.num_groups / self.num_channels)).to(stat.dtype)[:, :, None, None]

    def _normalize(self, x: Tensor) -> Tensor:
        centred, _, var = moments(x, self._pool)
        return self._affine(centred, torch.rsqrt(var + self.eps))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


class LayerNorm(Norm):
    """Layer normalization: all channels and pixels of every image together.

    y = (x - mean_CHW) / sqrt(var_CHW + eps) * weight + bias, with weight and bias per channel. Equal to
    `torch.nn.GroupNorm(1, C)`, the meaning of the group-norm paper; `torch.nn.LayerNorm([C, H, W])` has the same
    statistics, but C·H·W weights; ConvNeXt's normalizes each pixel over C alone.

    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.testing.assert_close(normzoo.LayerNorm(16)(x), torch.nn.GroupNorm(1, 16)(x))

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        affine: learn `weight` and `bias`, (C,).

    Shape: (N, C, H, W) -> (N, C, H, W).

    Reference: Ba, Kiros, Hinton. Layer Normalization. 2016. arXiv:1607.06450
    """

    title = "layer normalization"
    axes = "C, H, W"
    pooled_axes = (("C", "H", "W"),)
    formula = "y = (x − mean over C,H,W) / √(var over C,H,W + ε) · weight + bias"
    paper = "Ba, Kiros, Hinton, Layer Normalization, 2016, arXiv:1607.06450"

    def _normalize(self, x: Tensor) -> Tensor:
        centred, _, var = moments(x, lambda stat: stat.mean(1, keepdim=True))
        return self._affine(centred, torch.rsqrt(var + self.eps))


#: The zoo. A seventh norm is one class and one line here.
NORM_LAYERS: dict[str, type[nn.Module]] = {
    "nn": NoNorm,
    "bn": BatchNorm,
    "in": InstanceNorm,
    "bin": BatchInstanceNorm,
    "gn": GroupNorm,
    "ln": LayerNorm,
}


def get_norm_layer(key: str) -> type[nn.Module]:
    """The layer class for a key of `NORM_LAYERS`.

    >>> normzoo.get_norm_layer("gn")
    <class 'normzoo.nn.norms.GroupNorm'>

    Raises:
        ConfigError: the key is not one of them.
    """
    try:
        return NORM_LAYERS[key]
    except KeyError:
        raise ConfigError(f"Unknown norm {key!r}. Choose one of: {', '.join(NORM_LAYERS)}.") from None


def gates(model: nn.Module) -> list[nn.Parameter]:
    """Every parameter of `model` that is called `gate`: a mixing weight to be trained faster and kept in [0, 1]."""
    return [parameter for name, parameter in model.named_parameters() if name.rpartition(".")[2] == "gate"]
