"""Filter response normalization with its thresholded linear unit: no mean, no batch, no groups.

    ν² = mean of x² over H, W
    y  = weight · x / √(ν² + ε) + bias
    z  = max(y, τ), with a threshold τ learned for each channel, in the place of ReLU

Singh, Krishnan. Filter Response Normalization Layer: Eliminating Batch Dependence in the Training of Deep Neural Networks.
2019. arXiv:1911.09737

In NormZoo's network a ReLU still follows, as it does every norm there: only what is below 0 of max(y, τ) is cut once more.
"""

import torch
from torch import Tensor, nn


class FRN(nn.Module):
    """Filter response normalization, (N, C, H, W) -> (N, C, H, W).

    Args:
        num_channels: channels C of the input.
        eps: added to the mean square.
        thresholded: end with max(y, τ), τ starting at 0.
    """

    title = "filter response normalization"
    axes = "H, W"
    formula = "y = max(x / √(mean of x² over H,W + ε) · weight + bias, τ)"
    paper = "Singh, Krishnan, Filter Response Normalization Layer, 2019, arXiv:1911.09737"

    def __init__(self, num_channels: int, eps: float = 1e-6, thresholded: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.register_parameter("threshold", nn.Parameter(torch.zeros(num_channels)) if thresholded else None)

    def forward(self, x: Tensor) -> Tensor:
        # Squares in float32: in half precision they overflow beyond 255.
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        scale = torch.rsqrt(wide.square().mean((2, 3), keepdim=True) + self.eps)  # (N, C, 1, 1)
        y = wide * scale * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        if self.threshold is not None:
            y = torch.maximum(y, self.threshold.view(1, -1, 1, 1))
        return y.to(x.dtype)
