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
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from normzoo.errors import ConfigError

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


class _Norm(nn.Module):
    """What the layers share: arguments, `weight` and `bias`, checks, the affine end of the formula.

    Class attributes say in words what the page and the documentation show; a new norm sets its own.
    """

    title: str  # "batch normalization"
    axes: str  # what the statistics are taken over
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
            parameter = nn.Parameter(torch.empty(num_channels, device=device, dtype=dtype)) if affine else None
            self.register_parameter(name, parameter)
        self.reset_parameters()

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

    def _normalize(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _affine(self, centred: Tensor, rstd: Tensor) -> Tensor:
        """(centred * rstd) * weight + bias, folded into one multiply-add."""
        if self.weight is None or self.bias is None:
            return centred * rstd
        return torch.addcmul(_per_channel(self.bias), centred, rstd * _per_channel(self.weight))

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.affine}"


def _per_channel(parameter: Tensor) -> Tensor:
    return parameter.view(1, -1, 1, 1)


class _BatchStatisticsNorm(_Norm):
    """A norm that looks across the batch in training and remembers running statistics for evaluation."""

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
            stat = torch.empty(num_channels, device=device, dtype=dtype) if track_running_stats else None
            self.register_buffer(name, stat)
        self.register_buffer("num_batches_tracked", counter)
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget what was seen: mean 0, variance 1, counter 0."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def _uses_batch(self) -> bool:
        return self.training or self.running_mean is None

    def _check_batch(self, x: Tensor) -> None:
        n, _, h, w = x.shape
        if n * h * w == 1:
            raise ValueError(f"expected more than 1 value per channel to normalize over, got input of shape {(*x.shape,)}.")

    def _remember(self, mean: Tensor, var: Tensor, x: Tensor) -> None:
        """Move the running statistics, in place, towards those of this batch."""
        if not self.training or self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        n, _, h, w = x.shape
        count = n * h * w
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            if count == 0:
                return
            stats = mean.flatten().to(self.running_mean.dtype), (var.flatten() * (count / (count - 1))).to(self.running_var.dtype)
            # None: the average of all batches so far. A tensor, not a float: nothing waits for the device.
            factor = 1 / self.num_batches_tracked.to(self.running_mean.dtype) if self.momentum is None else self.momentum
            self.running_mean.lerp_(stats[0], factor)
            self.running_var.lerp_(stats[1], factor)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, track_running_stats={self.track_running_stats}"


class NoNorm(nn.Module):
    """No normalization: y = x. No parameters, no state.

    Takes the constructor arguments of the other norms, so that it drops in for any of them.

    Args:
        num_channels: channels C of the input; kept only for `repr`.

    Shape: any -> the same.
    """

    title = "no normalization"
    axes = "–"
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


class BatchNorm(_BatchStatisticsNorm):
    """Batch normalization: every channel by its mean and variance over all images of the batch.

    y = (x - mean_NHW) / sqrt(var_NHW + eps) * weight + bias; in evaluation the running mean and variance take the
    place of the batch's. Equal to `torch.nn.BatchNorm2d`, and loads its state dict.

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
    formula = "y = (x − mean over N,H,W) / √(var over N,H,W + ε) · weight + bias"
    paper = "Ioffe, Szegedy, Batch Normalization, 2015, arXiv:1502.03167"

    def _normalize(self, x: Tensor) -> Tensor:
        if self._uses_batch():
            self._check_batch(x)
            centred, mean, var = moments(x, pool_batch)
            self._remember(mean, var, x)
        else:
            centred, var = x - _per_channel(self.running_mean), _per_channel(self.running_var)
        return self._affine(centred, torch.rsqrt(var + self.eps))


class InstanceNorm(_Norm):
    """Instance normalization: every channel of every image by its own mean and variance.

    y = (x - mean_HW) / sqrt(var_HW + eps) * weight + bias, in training and in evaluation. Equal to
    `torch.nn.InstanceNorm2d(C, affine=True)`.

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
    formula = "y = (x − mean over H,W) / √(var over H,W + ε) · weight + bias"
    paper = "Ulyanov, Vedaldi, Lempitsky, Instance Normalization, 2016, arXiv:1607.08022"

    def _normalize(self, x: Tensor) -> Tensor:
        _check_pixels(x)
        centred, _, var = moments(x, pool_instance)
        return self._affine(centred, torch.rsqrt(var + self.eps))


def _check_pixels(x: Tensor) -> None:
    if x.shape[2] * x.shape[3] == 1:
        raise ValueError(f"expected more than 1 pixel to normalize over, got input of shape {(*x.shape,)}.")


class BatchInstanceNorm(_BatchStatisticsNorm):
    """Batch-instance normalization: a learned gate per channel mixes batch and instance normalization.

    y = (gate * BN(x) + (1 - gate) * IN(x)) * weight + bias, BN and IN without their own affine map. The gate starts
    at 1 (all batch). Whoever trains it keeps it in [0, 1] by clamping after each step (`gates`), never inside the
    forward pass, where a gate that left the interval would get no gradient to come back.

    Args, Raises: as `BatchNorm`; besides, a single pixel (H·W = 1) is refused, as by `InstanceNorm`.

    Shape: (N, C, H, W) -> (N, C, H, W); `gate` is (C,).

    Reference: Nam, Kim. Batch-Instance Normalization for Adaptively Style-Invariant Neural Networks. 2018.
        arXiv:1805.07925
    """

    title = "batch-instance normalization"
    axes = "N, H, W and H, W, mixed by a learned gate"
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
        if hasattr(self, "gate"):
            nn.init.ones_(self.gate)

    def _normalize(self, x: Tensor) -> Tensor:
        _check_pixels(x)
        centred, mean_i, var_i = moments(x, pool_instance)
        if self._uses_batch():
            self._check_batch(x)
            mean_b = pool_batch(mean_i)
            # Law of total variance: within the images plus between them. One pass over x serves both norms.
            var_b = pool_batch(var_i + (mean_i - mean_b).square())
            self._remember(mean_b, var_b, x)
        else:
            mean_b, var_b = _per_channel(self.running_mean), _per_channel(self.running_var)
        gate = _per_channel(self.gate)
        batch_part = gate * torch.rsqrt(var_b + self.eps)  # (1, C, 1, 1)
        rstd = batch_part + (1 - gate) * torch.rsqrt(var_i + self.eps)  # (N, C, 1, 1)
        # BN centres by mean_b, `centred` by mean_i: the difference is one number per image and channel.
        shift = (mean_i - mean_b) * batch_part
        if self.weight is None or self.bias is None:
            return torch.addcmul(shift, centred, rstd)
        weight = _per_channel(self.weight)
        return torch.addcmul(torch.addcmul(_per_channel(self.bias), shift, weight), centred, rstd * weight)


class GroupNorm(_Norm):
    """Group normalization: every group of C/G neighbouring channels of every image together.

    y = (x - mean_g) / sqrt(var_g + eps) * weight + bias, in training and in evaluation. Equal to
    `torch.nn.GroupNorm(G, C)`. G = C is instance, G = 1 layer normalization.

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
    formula = "y = (x − mean over C/G,H,W) / √(var over C/G,H,W + ε) · weight + bias"
    paper = "Wu, He, Group Normalization, 2018, arXiv:1803.08494"

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


class LayerNorm(_Norm):
    """Layer normalization: all channels and pixels of every image together.

    y = (x - mean_CHW) / sqrt(var_CHW + eps) * weight + bias, with weight and bias per channel. Equal to
    `torch.nn.GroupNorm(1, C)`, the meaning of the group-norm paper; `torch.nn.LayerNorm([C, H, W])` has the same
    statistics, but C·H·W weights; ConvNeXt's normalizes each pixel over C alone.

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        affine: learn `weight` and `bias`, (C,).

    Shape: (N, C, H, W) -> (N, C, H, W).

    Reference: Ba, Kiros, Hinton. Layer Normalization. 2016. arXiv:1607.06450
    """

    title = "layer normalization"
    axes = "C, H, W"
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
