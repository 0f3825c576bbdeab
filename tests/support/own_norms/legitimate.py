"""Legitimate norm layers in the styles that people write them; every one must pass the check, as what it behaves as.

`kind` is what each behaves as.
"""

import math
import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


class Own(nn.Module):
    """Constructor of most layers: class attributes say what it makes."""

    kind = "own"
    names, shape, running, eps, momentum, extra = ("weight", "bias"), "c", (), 1e-5, 0.1, ()

    def __init__(self, c):
        super().__init__()
        shape = {"c": (c,), "c11": (c, 1, 1), "1c11": (1, c, 1, 1)}[self.shape]
        for name, value in zip(self.names, (1.0, 0.0), strict=False):
            self.register_parameter(name, nn.Parameter(torch.full(shape, value)))
        for name, value in zip(self.running, (0.0, 1.0), strict=False):
            self.register_buffer(name, torch.full(shape, value))
        for name, value in self.extra:
            self.register_parameter(name, nn.Parameter(value(c)))

    def affine(self, y):
        weight, bias = (getattr(self, name).reshape(1, -1, 1, 1) for name in self.names)
        return y * weight + bias

    def blend(self, mean, var, n=1.0):
        """Move the running statistics, and return them as they were before."""
        first, second = (getattr(self, name) for name in self.running)
        with torch.no_grad():
            first.lerp_(mean.reshape(first.shape), self.momentum)
            second.lerp_((var * n).reshape(second.shape), self.momentum)


class Running(Own):
    kind, running = "bn", ("running_mean", "running_var")


def unbias(x):
    n = x.numel() / x.shape[1]
    return n / (n - 1)


# Batch normalization


class D2LStyle(Own):
    kind, names, shape, running = "bn", ("gamma", "beta"), "1c11", ("moving_mean", "moving_var")

    def forward(self, x):
        mean, var = self.moving_mean, self.moving_var
        if self.training:
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            var = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
            self.blend(mean, var, unbias(x))
        return self.gamma * (x - mean) / torch.sqrt(var + self.eps) + self.beta


class Functional(Running):
    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


class SlowMomentum(Running):
    """A momentum that nothing but its code says."""

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.01)


class KeptShare(Running):
    """momentum is the share that is kept, as in TensorFlow."""

    def __init__(self, c, eps=1e-3, momentum=0.9):
        super().__init__(c)
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, self.training, 1 - self.momentum, self.eps)


class Unnamed(Own):
    """Buffers whose names say nothing, replaced in each step."""

    kind, names, shape, running = "bn", ("g", "b"), "1c11", ("rm", "rv")

    def forward(self, x):
        m, v = self.rm, self.rv
        if self.training:
            m = torch.einsum("nchw->c", x).view(1, -1, 1, 1) / (x.numel() / x.shape[1])
            v = torch.einsum("nchw->c", (x - m) ** 2).view(1, -1, 1, 1) / (x.numel() / x.shape[1])
            self.rm = 0.9 * self.rm + 0.1 * m.detach()
            self.rv = 0.9 * self.rv + 0.1 * v.detach() * unbias(x)
        return self.g * ((x - m) * torch.rsqrt(v + 1e-5)) + self.b


class RowsOfPixels(Running):
    """(N·H·W, C), as a NumPy programmer has it."""

    def forward(self, x):
        y = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = y.mean(0), y.var(0, unbiased=False)
            self.blend(mean.detach(), var.detach(), len(y) / (len(y) - 1))
        y = (y - mean) / (var + self.eps).sqrt() * self.weight + self.bias
        return y.reshape(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


class TensorEps(Running):
    def __init__(self, c, eps=1e-5):
        super().__init__(c)
        self.eps = torch.tensor(eps)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            self.blend(mean.detach(), var.detach(), unbias(x))
        return self.affine((x - mean[:, None, None]) * torch.rsqrt(var[:, None, None] + self.eps.to(x.dtype)))


class ParamStatistics(Running):
    """Running statistics as parameters without gradients."""

    def __init__(self, c):
        super().__init__(c)
        for name in self.running:
            value = getattr(self, name)
            delattr(self, name)
            self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    forward = Functional.forward


class WithoutAffine(nn.Module):
    kind = "bn"

    def __init__(self, c):
        super().__init__()
        self.norm = nn.BatchNorm2d(c, affine=False)

    def forward(self, x):
        return self.norm(x)


class ThenReLU(WithoutAffine):
    def __init__(self, c):
        super().__init__(c)
        self.norm = nn.BatchNorm2d(c)

    def forward(self, x):
        return F.relu(self.norm(x))


class ThenLeaky(nn.BatchNorm2d):
    kind = "bn"

    def forward(self, x):
        return F.leaky_relu(super().forward(x), 0.01)


class Passes(nn.BatchNorm2d):
    """Passes on what it is given, as subclasses of detection libraries do."""

    kind = "bn"

    def __init__(self, *args, mode="", **options):
        super().__init__(*args, **options)
        self.mode = mode


class Cumulative(nn.BatchNorm2d):
    kind = "bn"

    def __init__(self, c):
        super().__init__(c, momentum=None)


class ZeroInit(nn.BatchNorm2d):
    """The last norm of a residual block begins with weight 0."""

    kind = "bn"

    def __init__(self, c):
        super().__init__(c)
        nn.init.zeros_(self.weight)


class Synchronized(nn.SyncBatchNorm):
    kind = "bn"


class Lazy(nn.LazyBatchNorm2d):
    kind = "bn"

    def __init__(self):
        super().__init__()


class Domains(nn.Module):
    """One batch norm for each domain, of which one is in use."""

    kind = "bn"

    def __init__(self, c):
        super().__init__()
        self.norms, self.domain = nn.ModuleDict({key: nn.BatchNorm2d(c) for key in "ab"}), "a"

    def forward(self, x):
        return self.norms[self.domain](x)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's scripts are deprecated

    class Scripted(torch.jit.ScriptModule):
        kind = "bn"

        def __init__(self, c):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))
            self.register_buffer("running_mean", torch.zeros(c))
            self.register_buffer("running_var", torch.ones(c))

        @torch.jit.script_method
        def forward(self, x):
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, 1e-5)


class Frozen(nn.Module):
    """Of detection libraries, whose stored variance has ε taken off."""

    kind = "frozen-bn"

    def __init__(self, n, eps=1e-5):
        super().__init__()
        for name, value in {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0 - eps}.items():
            self.register_buffer(name, torch.full((n,), value))
        self.eps = eps

    def forward(self, x):
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return x * scale.view(1, -1, 1, 1) + (self.bias - self.running_mean * scale).view(1, -1, 1, 1)


class KeptInEvaluation(nn.BatchNorm2d):
    """Frozen by a mode that never changes."""

    kind = "frozen-bn"

    def train(self, mode=True):
        return super().train(False)


class GhostByChunk(nn.Module):
    kind = "ghost-bn-3"

    def __init__(self, c, parts=3):
        super().__init__()
        self.norm, self.parts = nn.BatchNorm2d(c), parts

    def forward(self, x):
        return torch.cat([self.norm(part) for part in x.chunk(self.parts)]) if self.training else self.norm(x)


class GhostByView(nn.Module):
    """Takes an even batch alone."""

    kind = "ghost-bn-strided"

    def __init__(self, c, splits=2):
        super().__init__()
        self.weight, self.bias, self.splits = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c)), splits
        self.register_buffer("running_mean", torch.zeros(c * splits))
        self.register_buffer("running_var", torch.ones(c * splits))

    def forward(self, x):
        if not self.training:
            mean, var = (each.view(self.splits, -1).mean(0) for each in (self.running_mean, self.running_var))
            return F.batch_norm(x, mean, var, self.weight, self.bias)
        _, c, h, w = x.shape
        weight, bias = self.weight.repeat(self.splits), self.bias.repeat(self.splits)
        parts = x.view(-1, c * self.splits, h, w)
        return F.batch_norm(parts, self.running_mean, self.running_var, weight, bias, True).view(x.shape)


class Renorm(Own):
    """Batch renormalization (Ioffe, 2017)."""

    running, rmax, dmax, eps = ("running_mean", "running_std"), 3.0, 5.0, 1e-3

    def limits(self):
        return self.rmax, self.dmax

    def forward(self, x):
        if not self.training:
            return self.affine((x - self.running_mean[:, None, None]) / self.running_std[:, None, None])
        mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3), correction=0) + self.eps
        rmax, dmax = self.limits()
        r = (std.detach() / self.running_std).clamp(1 / rmax, rmax)
        d = ((mean.detach() - self.running_mean) / self.running_std).clamp(-dmax, dmax)
        self.blend(mean.detach(), std.detach())
        return self.affine((x - mean[:, None, None]) / std[:, None, None] * r[:, None, None] + d[:, None, None])


class RenormLater(Renorm):
    """At first it is a batch norm; a count of batches opens the limits."""

    kind = "batch-renorm"

    def __init__(self, c):
        super().__init__(c)
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def limits(self):
        self.num_batches_tracked += 1
        steps = float(self.num_batches_tracked)
        return min(max(steps / 17500 + 25 / 35, 1), 3), min(max(steps / 4000 - 1.25, 0), 5)


class MeanOnly(Own):
    names, running = ("weight", "bias"), ("running_mean",)

    def forward(self, x):
        mean = self.running_mean
        if self.training:
            mean = x.mean((0, 2, 3))
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
        return self.affine(x - mean[:, None, None])


class AbsoluteDeviation(Own):
    """L1 batch norm."""

    running = ("running_mean", "running_dev")

    def forward(self, x):
        mean, dev = self.running_mean, self.running_dev
        if self.training:
            mean = x.mean((0, 2, 3))
            dev = (x - mean[:, None, None]).abs().mean((0, 2, 3)) * math.sqrt(math.pi / 2)
            self.blend(mean.detach(), dev.detach())
        return self.affine((x - mean[:, None, None]) / (dev[:, None, None] + self.eps))


class Whitening(Own):
    """By Newton's iterations, as IterNorm does."""

    shape = "c11"

    def __init__(self, c):
        super().__init__(c)
        self.register_buffer("running_mean", torch.zeros(c, 1))
        self.register_buffer("running_matrix", torch.eye(c))

    def forward(self, x):
        rows = x.transpose(0, 1).flatten(1)
        mean, matrix = self.running_mean, self.running_matrix
        if self.training:
            mean, one = rows.mean(1, keepdim=True), torch.eye(len(rows), dtype=x.dtype)
            sigma = (rows - mean) @ (rows - mean).T / rows.shape[1] + self.eps * one
            matrix = one
            for _ in range(5):
                matrix = 1.5 * matrix - 0.5 * matrix @ matrix @ matrix @ (sigma / sigma.trace())
            matrix = matrix / sigma.trace().sqrt()
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
                self.running_matrix.lerp_(matrix, 0.1)
        y = (matrix @ (rows - mean)).unflatten(1, (x.shape[0], *x.shape[2:])).transpose(0, 1)
        return y * self.weight + self.bias


# Instance normalization


class InstancePlain(nn.InstanceNorm2d):
    """No affine, as torch's default."""

    kind = "in"


class InstanceWithMemory(nn.InstanceNorm2d):
    kind = "in-running"

    def __init__(self, c):
        super().__init__(c, affine=True, track_running_stats=True)


class InstanceByView(Own):
    kind, names, shape = "in", ("scale", "shift"), "c11"

    def forward(self, x):
        y = x.reshape(x.shape[0] * x.shape[1], -1)
        y = (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return y.reshape(x.shape) * self.scale + self.shift


class InstanceFunctional(Own):
    kind = "in"

    def forward(self, x):
        return F.instance_norm(x, weight=self.weight, bias=self.bias)


class InstanceByBatch(Own):
    """A batch norm of (1, N·C, H, W)."""

    kind = "in"

    def forward(self, x):
        n, c, h, w = x.shape
        return F.batch_norm(x.reshape(1, n * c, h, w), None, None, self.weight.repeat(n), self.bias.repeat(n), True).view_as(x)


class InstanceEpsOnStd(Own):
    """ε beside the root, as in AdaIN's code."""

    kind, shape = "in", "1c11"

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        std = (x - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
        return (x - mean) / (std + self.eps) * self.weight + self.bias


class GcdGroups(nn.Module):
    """With 16 channels and at most 32 groups it is an instance norm."""

    kind = "in"

    def __init__(self, channels, at_most=32):
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(channels, at_most), channels, eps=1e-6)

    def forward(self, x):
        return self.norm(x)


# Layer normalization, over the image and per position


class LayerWholeShape(nn.LayerNorm):
    """Ba et al.'s own: a weight for every value."""

    kind = "ln"

    def __init__(self, shape):
        super().__init__(shape)


class LayerInALine(Own):
    kind, names = "ln", ()

    def forward(self, x):
        return F.layer_norm(x, x.shape[1:])


class LayerAsOneGroup(nn.GroupNorm):
    kind = "ln"

    def __init__(self, c):
        super().__init__(1, c)


class ConvNeXtStyle(Own):
    kind, eps = "ln-position", 1e-6

    def __init__(self, normalized_shape, data_format="channels_first"):
        super().__init__(normalized_shape)
        self.data_format = data_format

    def forward(self, x):
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class Permuted(nn.LayerNorm):
    kind = "ln-position"

    def __init__(self, c):
        super().__init__(c, eps=1e-6)

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _OwnBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        y = (x - mean) / (var + eps).sqrt()
        ctx.save_for_backward(y, var + eps, weight)
        return y * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        y, var, weight = ctx.saved_tensors
        g = grad * weight.view(1, -1, 1, 1)
        gx = (g - g.mean(1, keepdim=True) - y * (g * y).mean(1, keepdim=True)) / var.sqrt()
        return gx, (grad * y).sum((0, 2, 3)), grad.sum((0, 2, 3)), None


class OwnBackward(Own):
    """NAFNet's: the backward pass is written out."""

    kind = "ln-position"

    def forward(self, x):
        return _OwnBackward.apply(x, self.weight, self.bias, 1e-6)


class Positional(Own):
    """Without affine; its official code has the unbiased variance, as `ChannelNorm` has."""

    kind, names = "ln-position", ()

    def forward(self, x):
        return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + self.eps).sqrt()


class ChannelNorm(Own):
    kind, names, shape, eps = "ln-position", ("gamma", "beta"), "1c11", 1e-3

    def forward(self, x):
        mu, var = torch.mean(x, dim=1, keepdim=True), torch.var(x, dim=1, keepdim=True)
        return self.gamma * ((x - mu) * torch.rsqrt(var + self.eps)) + self.beta


# Group normalization


class GroupOfFour(nn.GroupNorm):
    kind = "gn"

    def __init__(self, c):
        super().__init__(4, c)


class GroupThenGELU(nn.Sequential):
    kind = "gn"

    def __init__(self, channels):
        super().__init__(nn.GroupNorm(4, channels), nn.GELU())


class GroupByView(Own):
    kind, names, shape = "gn", ("gamma", "beta"), "1c11"

    def __init__(self, num_channels, num_groups=8, eps=1e-5):
        super().__init__(num_channels)
        self.groups, self.eps = num_groups, eps

    def forward(self, x):
        n, c, h, w = x.size()
        x = x.view(n, self.groups, -1)
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + self.eps).sqrt()
        return x.view(n, c, h, w) * self.gamma + self.beta


class GroupScripted(nn.Module):
    kind = "gn"

    def __init__(self, num_groups, num_channels):
        super().__init__()
        self.norm = torch.jit.script(nn.GroupNorm(num_groups, num_channels))

    def forward(self, x):
        return self.norm(x)


class PixelNormByNameOnly(nn.GroupNorm):
    """Names decide nothing."""

    kind = "gn"

    def __init__(self, c):
        super().__init__(8, c, eps=1e-3)


# Without a mean


class RMSPerPosition(Own):
    kind, names, eps = "rms-position", ("scale",), 1e-6

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + self.eps) * self.scale[:, None, None]


class RMSOverImage(Own):
    kind, names, shape, eps = "rms-image", ("weight",), "1c11", 1e-6

    def forward(self, x):
        return x / (x.square().mean((1, 2, 3), keepdim=True) + self.eps).sqrt() * self.weight


class RMSOverMap(Own):
    kind, eps = "rms-map", 1e-6

    def forward(self, x):
        return self.affine(x * (x.square().mean((2, 3), keepdim=True) + self.eps).rsqrt())


class PixelNorm(nn.Module):
    """Of progressive GANs: no parameters, ε an argument of forward."""

    kind = "rms-position"

    def __init__(self, channels=None):
        super().__init__()

    def forward(self, x, epsilon=1e-8):
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + epsilon)


# Of no known kind


class FilterResponse(Own):
    shape, extra = "1c11", (("tau", lambda c: torch.zeros(1, c, 1, 1)),)

    def forward(self, x):
        y = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-6)
        return torch.max(self.weight * y + self.bias, self.tau)


class GlobalResponse(Own):
    """ConvNeXt V2's GRN."""

    shape = "1c11"

    def forward(self, x):
        g = x.norm(p=2, dim=(2, 3), keepdim=True)
        return self.weight * (x * (g / (g.mean(1, keepdim=True) + 1e-6))) + self.bias + x


class EvoNormS0(Own):
    extra = (("v", lambda c: torch.ones(1, c, 1, 1)),)

    def forward(self, x):
        g = x.unflatten(1, (8, -1))
        std = (g.var((2, 3, 4), correction=0, keepdim=True) + self.eps).sqrt().expand_as(g).reshape(x.shape)
        return self.affine(x * (x * self.v).sigmoid() / std)


class EvoNormB0(Own):
    running, extra = ("ignored", "running_var"), (("v", lambda c: torch.ones(1, c, 1, 1)),)

    def forward(self, x):
        var = self.running_var
        if self.training:
            var = x.var((0, 2, 3), correction=0)
            self.running_var.lerp_(var.detach() * unbias(x), 0.1)
        instance = (x.var((2, 3), correction=0, keepdim=True) + self.eps).sqrt()
        return self.affine(x / torch.max((var[:, None, None] + self.eps).sqrt(), x * self.v + instance))


class Switchable(Own):
    """Of means and variances of image, map and batch."""

    shape, running = "1c11", ("running_mean", "running_var")
    extra = (("mean_weight", lambda c: torch.ones(3)), ("var_weight", lambda c: torch.ones(3)))

    def forward(self, x):
        mean_in, var_in = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        mean_ln = mean_in.mean(1, keepdim=True)
        var_ln = (var_in + (mean_in - mean_ln).square()).mean(1, keepdim=True)
        mean_bn, var_bn = self.running_mean, self.running_var
        if self.training:
            mean_bn = mean_in.mean(0, keepdim=True)
            var_bn = (var_in + (mean_in - mean_bn).square()).mean(0, keepdim=True)
            self.blend(mean_bn.detach(), var_bn.detach())
        m, v = self.mean_weight.softmax(0), self.var_weight.softmax(0)
        mean = m[0] * mean_in + m[1] * mean_ln + m[2] * mean_bn
        return self.affine((x - mean) / (v[0] * var_in + v[1] * var_ln + v[2] * var_bn + self.eps).sqrt())


class InstanceAndLayer(Own):
    """U-GAT-IT's, with unbiased variances."""

    shape, extra = "1c11", (("rho", lambda c: torch.zeros(1, c, 1, 1)),)

    def forward(self, x):
        both = [
            (x - x.mean(dims, keepdim=True)) / torch.sqrt(x.var(dims, keepdim=True) + self.eps) for dims in ([2, 3], [1, 2, 3])
        ]
        return self.affine(self.rho * both[0] + (1 - self.rho) * both[1])


class HalfInstanceHalfBatch(nn.Module):
    """IBN-Net's."""

    kind = "own"

    def __init__(self, planes):
        super().__init__()
        self.half = planes // 2
        self.instance, self.batch = nn.InstanceNorm2d(self.half, affine=True), nn.BatchNorm2d(planes - self.half)

    def forward(self, x):
        return torch.cat((self.instance(x[:, : self.half]), self.batch(x[:, self.half :])), 1)


class Activations(Own):
    """Glow's: the first batch gives weight and bias their values."""

    shape = "1c11"

    def __init__(self, c):
        super().__init__(c)
        self.register_buffer("initialized", torch.tensor(0, dtype=torch.uint8))

    def forward(self, x):
        if self.training and not self.initialized:
            with torch.no_grad():
                self.bias.copy_(-x.mean((0, 2, 3), keepdim=True))
                self.weight.copy_(1 / (x.std((0, 2, 3), keepdim=True) + 1e-6))
                self.initialized.fill_(1)
        return self.weight * (x + self.bias)


class LocalResponse(nn.LocalResponseNorm):
    kind = "own"

    def __init__(self, channels):
        super().__init__(5)


class DynamicTanh(Own):
    extra = (("alpha", lambda c: torch.full((1,), 0.5)),)

    def forward(self, x):
        return self.affine(torch.tanh(self.alpha * x))


class ScaleOnly(Own):
    """A weight and a bias for each channel."""

    def forward(self, x):
        return self.affine(x)


class WithDropout(nn.Sequential):
    kind = "own"

    def __init__(self, c):
        super().__init__(nn.GroupNorm(4, c), nn.Dropout(0.1))
