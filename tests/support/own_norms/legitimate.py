"""Legitimate norm layers in the styles that people write them; every one must pass the check."""

import torch
import torch.nn.functional as F
from torch import nn


def _affine(channels, *more):
    return nn.Parameter(torch.ones(channels, *more)), nn.Parameter(torch.zeros(channels, *more))


class BatchWithBroadcastShape(nn.Module):
    """(1, C, 1, 1) parameters, as in d2l."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.gamma, self.beta = (
            nn.Parameter(torch.ones(1, num_features, 1, 1)),
            nn.Parameter(torch.zeros(1, num_features, 1, 1)),
        )
        self.register_buffer("moving_mean", torch.zeros(1, num_features, 1, 1))
        self.register_buffer("moving_var", torch.ones(1, num_features, 1, 1))
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        if self.training:
            mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
            n = x.numel() / x.shape[1]
            with torch.no_grad():
                self.moving_mean.lerp_(mean, self.momentum)
                self.moving_var.lerp_(var * n / (n - 1), self.momentum)
        else:
            mean, var = self.moving_mean, self.moving_var
        return self.gamma * (x - mean) / torch.sqrt(var + self.eps) + self.beta


class BatchFunctional(nn.Module):
    def __init__(self, c, eps=1e-5, momentum=0.1):
        super().__init__()
        self.weight, self.bias = _affine(c)
        self.register_buffer("running_mean", torch.zeros(c))
        self.register_buffer("running_var", torch.ones(c))
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )


class BatchKeptShare(nn.Module):
    """momentum is the share that is kept, as in TensorFlow."""

    def __init__(self, c, eps=1e-3, momentum=0.9):
        super().__init__()
        self.weight, self.bias = _affine(c)
        self.register_buffer("running_mean", torch.zeros(c))
        self.register_buffer("running_var", torch.ones(c))
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 1 - self.momentum, self.eps
        )


class BatchWithoutAffine(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.BatchNorm2d(c, affine=False)

    def forward(self, x):
        return self.norm(x)


class BatchWithTensorEps(nn.Module):
    def __init__(self, c, eps=1e-5):
        super().__init__()
        self.weight, self.bias = _affine(c)
        self.eps = torch.tensor(eps)
        self.register_buffer("running_mean", torch.zeros(c))
        self.register_buffer("running_var", torch.ones(c))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            n = x.numel() / x.shape[1]
            with torch.no_grad():
                self.running_mean += 0.1 * (mean - self.running_mean)
                self.running_var += 0.1 * (var * n / (n - 1) - self.running_var)
        y = (x - mean[:, None, None]) * torch.rsqrt(var[:, None, None] + self.eps.to(x.dtype))
        return y * self.weight[:, None, None] + self.bias[:, None, None]


class BatchThenReLU(nn.Module):
    """Norm with an activation behind it."""

    def __init__(self, c):
        super().__init__()
        self.norm = nn.BatchNorm2d(c)

    def forward(self, x):
        return F.relu(self.norm(x))


class BatchThenLeaky(nn.BatchNorm2d):
    def forward(self, x):
        return F.leaky_relu(super().forward(x), 0.01)


class Frozen(nn.Module):
    """Frozen batch norm of detection libraries."""

    def __init__(self, n, eps=1e-5):
        super().__init__()
        self.register_buffer("weight", torch.ones(n))
        self.register_buffer("bias", torch.zeros(n))
        self.register_buffer("running_mean", torch.zeros(n))
        self.register_buffer("running_var", torch.ones(n))
        self.eps = eps

    def forward(self, x):
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        bias = self.bias - self.running_mean * scale
        return x * scale.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


class ParamStatistics(nn.Module):
    """Running statistics as parameters without gradients."""

    def __init__(self, c, eps=1e-5, momentum=0.1):
        super().__init__()
        self.weight, self.bias = _affine(c)
        self.running_mean = nn.Parameter(torch.zeros(c), requires_grad=False)
        self.running_var = nn.Parameter(torch.ones(c), requires_grad=False)
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )


class GhostBatch(nn.Module):
    """Ghost batch norm: parts of the batch."""

    def __init__(self, c, parts=3):
        super().__init__()
        self.norm, self.parts = nn.BatchNorm2d(c), parts

    def forward(self, x):
        if not self.training:
            return self.norm(x)
        return torch.cat([self.norm(part) for part in x.chunk(self.parts)])


class GhostByView(nn.Module):
    """Takes an even batch alone."""

    def __init__(self, c, splits=2, eps=1e-5, momentum=0.1):
        super().__init__()
        self.weight, self.bias = _affine(c)
        self.register_buffer("running_mean", torch.zeros(c * splits))
        self.register_buffer("running_var", torch.ones(c * splits))
        self.splits, self.eps, self.momentum = splits, eps, momentum

    def forward(self, x):
        n, c, h, w = x.shape
        if self.training:
            y = F.batch_norm(
                x.view(-1, c * self.splits, h, w),
                self.running_mean,
                self.running_var,
                self.weight.repeat(self.splits),
                self.bias.repeat(self.splits),
                True,
                self.momentum,
                self.eps,
            )
            return y.view(n, c, h, w)
        mean, var = (each.view(self.splits, c).mean(0) for each in (self.running_mean, self.running_var))
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, self.momentum, self.eps)


class BatchRenorm(nn.Module):
    """Batch renormalization (Ioffe, 2017)."""

    def __init__(self, c, eps=1e-3, momentum=0.01, rmax=3.0, dmax=5.0):
        super().__init__()
        self.weight, self.bias = _affine(c)
        self.register_buffer("running_mean", torch.zeros(c))
        self.register_buffer("running_std", torch.ones(c))
        self.eps, self.momentum, self.rmax, self.dmax = eps, momentum, rmax, dmax

    def forward(self, x):
        if self.training:
            mean = x.mean((0, 2, 3))
            std = x.std((0, 2, 3), correction=0) + self.eps
            r = (std.detach() / self.running_std).clamp(1 / self.rmax, self.rmax)
            d = ((mean.detach() - self.running_mean) / self.running_std).clamp(-self.dmax, self.dmax)
            y = (x - mean[:, None, None]) / std[:, None, None] * r[:, None, None] + d[:, None, None]
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_std.lerp_(std, self.momentum)
        else:
            y = (x - self.running_mean[:, None, None]) / self.running_std[:, None, None]
        return y * self.weight[:, None, None] + self.bias[:, None, None]


class InstanceWithMemory(nn.InstanceNorm2d):
    def __init__(self, c):
        super().__init__(c, affine=True, track_running_stats=True)


class InstancePlain(nn.InstanceNorm2d):
    """No affine, as torch's default."""


class InstanceByView(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.scale, self.shift = _affine(dim, 1, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        y = x.reshape(n * c, -1)
        y = (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return y.reshape(n, c, h, w) * self.scale + self.shift


class InstanceEpsOnStd(nn.Module):
    """ε beside the root, as in AdaIN's code."""

    def __init__(self, c, eps=1e-5):
        super().__init__()
        self.weight, self.bias = _affine(1, c, 1, 1)
        self.weight, self.bias = nn.Parameter(torch.ones(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))
        self.eps = eps

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        std = (x - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
        return (x - mean) / (std + self.eps) * self.weight + self.bias


class LayerWholeShape(nn.LayerNorm):
    """Ba et al.'s own: a weight for every value."""

    def __init__(self, shape):
        super().__init__(shape)


class LayerPerPosition(nn.Module):
    """ConvNeXt's."""

    def __init__(self, normalized_shape, eps=1e-6):
        super().__init__()
        self.weight, self.bias = _affine(normalized_shape)
        self.eps = eps

    def forward(self, x):
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class LayerPermuted(nn.LayerNorm):
    def __init__(self, c):
        super().__init__(c, eps=1e-6)

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LayerAsOneGroup(nn.GroupNorm):
    def __init__(self, c):
        super().__init__(1, c)


class GroupOfFour(nn.GroupNorm):
    def __init__(self, c):
        super().__init__(4, c)


class GroupByView(nn.Module):
    def __init__(self, num_channels, num_groups=8, eps=1e-5):
        super().__init__()
        self.gamma, self.beta = (
            nn.Parameter(torch.ones(1, num_channels, 1, 1)),
            nn.Parameter(torch.zeros(1, num_channels, 1, 1)),
        )
        self.groups, self.eps = num_groups, eps

    def forward(self, x):
        n, c, h, w = x.size()
        x = x.view(n, self.groups, -1)
        mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        x = ((x - mean) / (var + self.eps).sqrt()).view(n, c, h, w)
        return x * self.gamma + self.beta


class GroupScripted(nn.Module):
    def __init__(self, num_groups, num_channels):
        super().__init__()
        self.norm = torch.jit.script(nn.GroupNorm(num_groups, num_channels))

    def forward(self, x):
        return self.norm(x)


class RMSPerPosition(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + self.eps) * self.scale[:, None, None]


class RMSOverImage(nn.Module):
    def __init__(self, c, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, c, 1, 1))
        self.eps = eps

    def forward(self, x):
        return x / (x.square().mean((1, 2, 3), keepdim=True) + self.eps).sqrt() * self.weight


class RMSOverMap(nn.Module):
    def __init__(self, c, eps=1e-6):
        super().__init__()
        self.weight, self.bias = _affine(c)
        self.eps = eps

    def forward(self, x):
        y = x * (x.square().mean((2, 3), keepdim=True) + self.eps).rsqrt()
        return y * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class PixelNorm(nn.Module):
    """Of progressive GANs: no parameters."""

    def __init__(self, channels=None, eps=1e-8):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + self.eps)


class FilterResponse(nn.Module):
    def __init__(self, c, eps=1e-6):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))
        self.tau = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.eps = eps

    def forward(self, x):
        nu2 = x.square().mean((2, 3), keepdim=True)
        return torch.max(self.weight * x * torch.rsqrt(nu2 + self.eps) + self.bias, self.tau)


class GlobalResponse(nn.Module):
    """ConvNeXt V2's GRN."""

    def __init__(self, dim):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(1, dim, 1, 1)), nn.Parameter(torch.zeros(1, dim, 1, 1))

    def forward(self, x):
        g = x.norm(p=2, dim=(2, 3), keepdim=True)
        n = g / (g.mean(1, keepdim=True) + 1e-6)
        return self.gamma * (x * n) + self.beta + x


class Switchable(nn.Module):
    def __init__(self, c, eps=1e-5, momentum=0.1):
        super().__init__()
        self.weight, self.bias = _affine(1, c, 1, 1)
        self.weight, self.bias = nn.Parameter(torch.ones(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))
        self.mean_weight, self.var_weight = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        self.register_buffer("running_mean", torch.zeros(1, c, 1, 1))
        self.register_buffer("running_var", torch.ones(1, c, 1, 1))
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        mean_in, var_in = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        mean_ln = mean_in.mean(1, keepdim=True)
        var_ln = (var_in + mean_in.square()).mean(1, keepdim=True) - mean_ln.square()
        if self.training:
            mean_bn = mean_in.mean(0, keepdim=True)
            var_bn = (var_in + (mean_in - mean_bn).square()).mean(0, keepdim=True)
            with torch.no_grad():
                self.running_mean.lerp_(mean_bn, self.momentum)
                self.running_var.lerp_(var_bn, self.momentum)
        else:
            mean_bn, var_bn = self.running_mean, self.running_var
        m, v = self.mean_weight.softmax(0), self.var_weight.softmax(0)
        mean = m[0] * mean_in + m[1] * mean_ln + m[2] * mean_bn
        var = v[0] * var_in + v[1] * var_ln + v[2] * var_bn
        return (x - mean) / (var + self.eps).sqrt() * self.weight + self.bias


class HalfInstanceHalfBatch(nn.Module):
    """IBN-Net's."""

    def __init__(self, planes):
        super().__init__()
        self.half = planes // 2
        self.instance = nn.InstanceNorm2d(self.half, affine=True)
        self.batch = nn.BatchNorm2d(planes - self.half)

    def forward(self, x):
        first, second = x.split([self.half, x.shape[1] - self.half], 1)
        return torch.cat((self.instance(first.contiguous()), self.batch(second.contiguous())), 1)


class Positional(nn.Module):
    """Positional normalization: per position, without affine."""

    def __init__(self, c=None, eps=1e-5):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        mean, std = x.mean(1, keepdim=True), (x.var(1, keepdim=True, correction=0) + self.eps).sqrt()
        return (x - mean) / std


class LazyBatch(nn.LazyBatchNorm2d):
    def __init__(self):
        super().__init__()


class ScaleOnly(nn.Module):
    """No norm at all: a weight and a bias for each channel."""

    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x):
        return x * self.weight + self.bias


class ZeroInit(nn.BatchNorm2d):
    """The last norm of a residual block begins with weight 0."""

    def __init__(self, c):
        super().__init__(c)
        nn.init.zeros_(self.weight)


class SubclassedGroup(nn.GroupNorm):
    """Pixe-lN-orm in name only: names decide nothing."""

    def __init__(self, c):
        super().__init__(8, c, eps=1e-3)


PixelNormIsGroupNorm = SubclassedGroup
