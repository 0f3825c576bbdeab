"""Batch renormalization: training sees nearly what evaluation will, also in small batches.

    y = ((x − μ) / σ · r + d) · weight + bias,  μ and σ of the batch
    r = σ / σ_running in [1/r_max, r_max],  d = (μ − μ_running) / σ_running in [−d_max, d_max], both without a gradient

Ioffe. Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models. 2017. arXiv:1702.03275

As in the paper, r_max and d_max are 1 and 0 at first, which is batch normalization, and then grow to 3 and 5.
"""

import torch
from torch import Tensor, nn


class BatchRenorm(nn.Module):
    """Batch renormalization, (N, C, H, W) -> (N, C, H, W).

    Args:
        num_channels: channels C of the input.
        eps: added to the variance.
        momentum: share of the new batch in the running statistics.
        steps: until r_max and d_max begin to grow, and until they have grown. The paper trained ten times as long.
    """

    title = "batch renormalization"
    axes = "N, H, W"
    formula = "y = ((x − mean) / √(variance + ε) · r + d) · weight + bias, moments over N,H,W"
    paper = "Ioffe, Batch Renormalization, 2017, arXiv:1702.03275"

    def __init__(
        self, num_channels: int, eps: float = 1e-5, momentum: float = 0.1, steps: tuple[int, int] = (1000, 5000)
    ) -> None:
        super().__init__()
        self.eps, self.momentum, self.steps = eps, momentum, steps
        self.weight, self.bias = nn.Parameter(torch.ones(num_channels)), nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, var = self.running_mean, self.running_var
        r, d = torch.ones_like(mean), torch.zeros_like(mean)
        if self.training:
            var, mean = torch.var_mean(wide, (0, 2, 3), correction=0)
            with torch.no_grad():
                begin, end = self.steps
                grown = ((self.num_batches_tracked - begin) / (end - begin)).clamp(0, 1)
                ratio = ((var + self.eps) / (self.running_var + self.eps)).sqrt()
                r = ratio.clamp(1 / (1 + 2 * grown), 1 + 2 * grown)
                d = ((mean - self.running_mean) * torch.rsqrt(self.running_var + self.eps)).clamp(-5 * grown, 5 * grown)
                count = x.numel() / x.shape[1]
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_var.lerp_((var * count / (count - 1)).to(self.running_var.dtype), self.momentum)
                self.num_batches_tracked += 1
        mean, var, r, d, weight, bias = (each.view(1, -1, 1, 1) for each in (mean, var, r, d, self.weight, self.bias))
        return (((wide - mean) * torch.rsqrt(var + self.eps) * r + d) * weight + bias).to(x.dtype)
