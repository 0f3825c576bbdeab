"""Switchable normalization: a layer learns how much of instance, layer and batch statistics it takes.

    μ = Σ_k w_k · μ_k,  σ² = Σ_k v_k · σ²_k,  k in {instance, layer, batch}, w and v each a softmax of three numbers
    y = (x − μ) / √(σ² + ε) · weight + bias

Luo, Ren, Peng, Zhang, Li. Differentiable Learning-to-Normalize via Switchable Normalization. 2018. arXiv:1806.10779

All statistics follow from those of the instances, by the law of total variance.
"""

import torch
from torch import Tensor, nn


class SwitchableNorm(nn.Module):
    """Switchable normalization, (N, C, H, W) -> (N, C, H, W).

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        momentum: share of the new batch in the running statistics.
    """

    title = "switchable normalization"
    axes = "H, W; C, H, W; N, H, W, mixed by learned shares"
    formula = "y = (x − Σ w_k μ_k) / √(Σ v_k σ²_k + ε) · weight + bias"
    paper = "Luo et al., Differentiable Learning-to-Normalize via Switchable Normalization, 2018, arXiv:1806.10779"

    def __init__(self, num_channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(num_channels)), nn.Parameter(torch.zeros(num_channels))
        self.mean_shares, self.var_shares = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean((2, 3), keepdim=True)  # of each instance, (N, C, 1, 1)
        var = (wide - mean).square().mean((2, 3), keepdim=True)
        layer_mean, layer_var = _pool(mean, var, 1)  # (N, 1, 1, 1)
        batch_mean, batch_var = self._batch(mean, var, x.numel() // x.shape[1])  # (1, C, 1, 1)
        w, v = self.mean_shares.softmax(0), self.var_shares.softmax(0)
        mean = w[0] * mean + w[1] * layer_mean + w[2] * batch_mean
        var = v[0] * var + v[1] * layer_var + v[2] * batch_var
        y = (wide - mean) * torch.rsqrt(var + self.eps) * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return y.to(x.dtype)

    def _batch(self, mean: Tensor, var: Tensor, count: int) -> tuple[Tensor, Tensor]:
        if not self.training:
            return self.running_mean.view(1, -1, 1, 1), self.running_var.view(1, -1, 1, 1)
        mean, var = _pool(mean, var, 0)
        with torch.no_grad():
            self.running_mean.lerp_(mean.flatten().to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(var.flatten().to(self.running_var.dtype) * count / (count - 1), self.momentum)
        return mean, var


def _pool(mean: Tensor, var: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and variance over a dimension, from those of its parts: within them plus between them."""
    total = mean.mean(dim, keepdim=True)
    return total, (var + (mean - total).square()).mean(dim, keepdim=True)
