"""Layer normalization of each position over its channels alone, as in transformers and ConvNeXt.

    y = (x − μ) / √(σ² + ε) · weight + bias,  μ and σ² over C at each pixel

Ba, Kiros, Hinton. Layer Normalization. 2016. arXiv:1607.06450
Liu et al. A ConvNet for the 2020s. 2022. arXiv:2201.03545

The zoo's own LN takes one mean and variance of all channels and pixels of an image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PositionLayerNorm(nn.Module):
    """Layer normalization of each position, (N, C, H, W) -> (N, C, H, W).

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
    """

    title = "layer normalization of each position"
    axes = "C"
    formula = "y = (x − mean over C) / √(variance over C + ε) · weight + bias"
    paper = "Ba, Kiros, Hinton, Layer Normalization, 2016, arXiv:1607.06450; Liu et al., A ConvNet for the 2020s, 2022"

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(num_channels)), nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        y = F.layer_norm(wide.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.eps)
        return y.movedim(-1, 1).to(x.dtype)
