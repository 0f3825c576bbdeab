"""EvoNorm-S0: a search over formulas found it; norm and activation in one, without batch statistics.

    y = x · sigmoid(v · x) / √(σ² + ε) · weight + bias,  σ² over the channels of a group, and H, W

Liu, Brock, Simonyan, Le. Evolving Normalization-Activation Layers. 2020. arXiv:2004.02967

In NormZoo's network a ReLU still follows, as it does every norm there.
"""

import torch
from torch import Tensor, nn


class EvoNormS0(nn.Module):
    """EvoNorm-S0, (N, C, H, W) -> (N, C, H, W).

    Args:
        num_channels: channels C of the input.
        groups: into how many the channels are divided, as far as they can be.
        eps: added to the variance.
    """

    title = "EvoNorm-S0"
    axes = "C/G, H, W"
    formula = "y = x · sigmoid(v · x) / √(variance over C/G,H,W + ε) · weight + bias"
    paper = "Liu, Brock, Simonyan, Le, Evolving Normalization-Activation Layers, 2020, arXiv:2004.02967"

    def __init__(self, num_channels: int, groups: int = 8, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups = next(g for g in range(min(groups, num_channels), 0, -1) if num_channels % g == 0)
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(num_channels)), nn.Parameter(torch.zeros(num_channels))
        self.v = nn.Parameter(torch.ones(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        grouped = wide.unflatten(1, (self.groups, -1))  # (N, G, C/G, H, W)
        var = grouped.var((2, 3, 4), correction=0, keepdim=True)
        scale = torch.rsqrt(var + self.eps).expand(grouped.shape).flatten(1, 2)
        y = wide * torch.sigmoid(self.v.view(1, -1, 1, 1) * wide) * scale
        return (y * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)
