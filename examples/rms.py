"""Root mean square normalization over all channels and pixels of an image: layer normalization without the mean.

    y = x / √(mean of x² over C, H, W + ε) · weight + bias

Zhang, Sennrich. Root Mean Square Layer Normalization. 2019. arXiv:1910.07467

The paper has no bias; networks here add one, as every other norm of the zoo has it.
"""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Root mean square normalization, (N, C, H, W) -> (N, C, H, W).

    Args:
        num_channels: channels C of the input.
        eps: added to the mean square.
    """

    title = "root mean square normalization"
    axes = "C, H, W"
    formula = "y = x / √(mean of x² over C,H,W + ε) · weight + bias"
    paper = "Zhang, Sennrich, Root Mean Square Layer Normalization, 2019, arXiv:1910.07467"

    def __init__(self, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(num_channels)), nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        scale = torch.rsqrt(wide.square().mean((1, 2, 3), keepdim=True) + self.eps)  # (N, 1, 1, 1)
        return (wide * scale * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)
