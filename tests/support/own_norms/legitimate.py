"""Legitimate norm layers in the styles that people write them; every one must pass the check, as what it behaves as.

`kind` is what each behaves as.
"""

import math
import sys
import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import BatchNorm2d, GroupNorm, InstanceNorm2d  # noqa: F401 - checked by name

import normzoo
from normzoo import BatchInstanceNorm, BatchNorm, InstanceNorm, LayerNorm, NoNorm  # noqa: F401 - checked by name

ZooGroupNorm = normzoo.GroupNorm
HW, CHW, NHW = (2, 3), (1, 2, 3), (0, 2, 3)


class Own(nn.Module):
    """Constructor of most layers: class attributes say what it makes."""

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
        """Move the running statistics."""
        first, second = (getattr(self, name) for name in self.running)
        with torch.no_grad():
            first.lerp_(mean.reshape(first.shape), self.momentum)
            second.lerp_((var * n).reshape(second.shape), self.momentum)


class Running(Own):
    running = ("running_mean", "running_var")


def mean(x, dims):
    return x.mean(dims, keepdim=True)


def var(x, dims, correction=0):
    return x.var(dims, keepdim=True, correction=correction)


def unbias(x):
    n = x.numel() / x.shape[1]
    return n / (n - 1)


def norm(kind, forward, **fields):
    """Make an own layer of its forward pass."""
    return type("", (Own,), {"kind": kind, "forward": forward, **fields})


def based(kind, base, arguments=lambda c: (c,), **options):
    """Make a subclass of torch's own layer, with arguments that the number of channels gives."""

    def make(self, c):
        base.__init__(self, *arguments(c), **options)

    return type("", (base,), {"kind": kind, "__init__": make})


# Batch normalization


class AnnotatedBatchNorm(nn.Module):
    """In the style of annotated papers: `channels`, `scale`, `shift`, buffers `exp_…` that are replaced."""

    kind = "bn"

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1, track_running_stats: bool = True):
        super().__init__()
        self.channels, self.eps, self.momentum = channels, eps, momentum
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("exp_mean", torch.zeros(channels))
        self.register_buffer("exp_var", torch.ones(channels))

    def forward(self, x):
        shape = x.shape
        x = x.reshape(shape[0], self.channels, -1)
        if self.training:
            mean = x.mean(dim=[0, 2])
            var = (x - mean.view(1, -1, 1)).pow(2).mean(dim=[0, 2])
            count = x.shape[0] * x.shape[2]
            self.exp_mean = (1 - self.momentum) * self.exp_mean + self.momentum * mean.detach()
            self.exp_var = (1 - self.momentum) * self.exp_var + self.momentum * var.detach() * count / (count - 1)
        else:
            mean, var = self.exp_mean, self.exp_var
        normalized = (x - mean.view(1, -1, 1)) / torch.sqrt(var + self.eps).view(1, -1, 1)
        return (self.scale.view(1, -1, 1) * normalized + self.shift.view(1, -1, 1)).view(shape)


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
    kind = "bn"

    def forward(self, x):
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, self.training, self.share(), self.eps)

    def share(self):
        return self.momentum


class SlowMomentum(Functional):
    """A momentum that nothing but its code says."""

    def share(self):
        return 0.01


class KeptShare(Functional):
    """momentum is the share that is kept, as in TensorFlow."""

    def __init__(self, c, eps=1e-3, momentum=0.9):
        super().__init__(c)
        self.eps, self.momentum = eps, momentum

    def share(self):
        return 1 - self.momentum


class Unnamed(Own):
    """Buffers whose names say nothing, replaced in each step."""

    kind, names, shape, running = "bn", ("g", "b"), "1c11", ("rm", "rv")

    def forward(self, x):
        m, v = self.rm, self.rv
        if self.training:
            m, v = mean(x, NHW), var(x, NHW)
            self.rm = 0.9 * self.rm + 0.1 * m.detach()
            self.rv = 0.9 * self.rv + 0.1 * v.detach() * unbias(x)
        return self.g * ((x - m) * torch.rsqrt(v + 1e-5)) + self.b


class TensorEps(Running):
    kind = "bn"

    def __init__(self, c, eps=1e-5):
        super().__init__(c)
        self.eps = torch.tensor(eps)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            self.blend(mean.detach(), var.detach(), unbias(x))
        return self.affine((x - mean[:, None, None]) * torch.rsqrt(var[:, None, None] + self.eps.to(x.dtype)))


class ParamStatistics(Functional):
    """Running statistics as parameters without gradients."""

    def __init__(self, c):
        super().__init__(c)
        for name in self.running:
            value = getattr(self, name)
            delattr(self, name)
            self.register_parameter(name, nn.Parameter(value, requires_grad=False))


class Passes(nn.BatchNorm2d):
    """Passes on what it is given, as subclasses of detection libraries do."""

    kind = "bn"

    def __init__(self, *args, mode="", **options):
        super().__init__(*args, **options)
        self.mode = mode


class ZeroInit(nn.BatchNorm2d):
    """The last norm of a residual block begins with weight 0."""

    kind = "bn"

    def __init__(self, c):
        super().__init__(c)
        nn.init.zeros_(self.weight)


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

    kind, running, eps = "own", ("running_mean", "running_std"), 1e-3

    def limits(self):
        return 3.0, 5.0

    def forward(self, x):
        if not self.training:
            return self.affine((x - self.running_mean[:, None, None]) / self.running_std[:, None, None])
        mean, std = x.mean(NHW), x.std(NHW, correction=0) + self.eps
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
    kind, running = "own", ("running_mean",)

    def forward(self, x):
        mean = self.running_mean
        if self.training:
            mean = x.mean(NHW)
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
        return self.affine(x - mean[:, None, None])


class AbsoluteDeviation(Own):
    """L1 batch norm."""

    kind, running = "own", ("running_mean", "running_dev")

    def forward(self, x):
        mean, dev = self.running_mean, self.running_dev
        if self.training:
            mean = x.mean(NHW)
            dev = (x - mean[:, None, None]).abs().mean(NHW) * math.sqrt(math.pi / 2)
            self.blend(mean.detach(), dev.detach())
        return self.affine((x - mean[:, None, None]) / (dev[:, None, None] + self.eps))


class Whitening(Own):
    """By Newton's iterations, as IterNorm does."""

    kind, shape = "own", "c11"

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


WithoutAffine = based("bn", nn.Sequential, lambda c: (nn.BatchNorm2d(c, affine=False),))
ThenReLU = based("bn", nn.Sequential, lambda c: (nn.BatchNorm2d(c), nn.ReLU()))
ThenLeaky = based("bn", nn.Sequential, lambda c: (nn.BatchNorm2d(c), nn.LeakyReLU()))
Cumulative = based("bn", nn.BatchNorm2d, momentum=None)
Synchronized = based("bn", nn.SyncBatchNorm)


class OfficialStyleBIN(Running):
    """Batch-instance norm by two calls of torch's function."""

    kind, extra = "bin", (("gate", torch.ones),)

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features)
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        running, gate = (self.running_mean, self.running_var), self.gate.view(1, -1, 1, 1)
        batch = F.batch_norm(x, *running, None, None, self.training, self.momentum, self.eps)
        return self.affine(gate * batch + (1 - gate) * F.instance_norm(x, eps=self.eps))


# Instance normalization


class InstanceByView(Own):
    kind, names, shape = "in", ("scale", "shift"), "c11"

    def forward(self, x):
        y = x.reshape(x.shape[0] * x.shape[1], -1)
        y = (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return y.reshape(x.shape) * self.scale + self.shift


# ε beside the root, as in AdaIN's code.
InstanceEpsOnStd = norm("in", lambda s, x: s.affine((x - mean(x, HW)) / (var(x, HW).sqrt() + s.eps)), shape="1c11")
InstancePlain = based("in", nn.InstanceNorm2d)
InstanceWithMemory = based("in-running", nn.InstanceNorm2d, affine=True, track_running_stats=True)
# With 16 channels and at most 32 groups it is an instance norm.
GcdGroups = based("in", nn.Sequential, lambda c: (nn.GroupNorm(math.gcd(c, 32), c, eps=1e-6),))


# Layer normalization, over the image and per position


class LayerWholeShape(nn.LayerNorm):
    """Ba et al.'s own: a weight for every value."""

    kind = "ln"

    def __init__(self, shape):
        super().__init__(shape)


LayerInALine = norm("ln", lambda s, x: F.layer_norm(x, x.shape[1:]), names=())
LayerAsOneGroup = based("ln", nn.GroupNorm, lambda c: (1, c))


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


# NAFNet's: the backward pass is written out.
OwnBackward = norm("ln-position", lambda s, x: _OwnBackward.apply(x, s.weight, s.bias, 1e-6))
# The official code of both has the unbiased variance.
Positional = norm("ln-position", lambda s, x: (x - mean(x, 1)) / (var(x, 1, 1) + s.eps).sqrt(), names=())
ChannelNorm = norm(
    "ln-position",
    lambda s, x: s.affine((x - mean(x, 1)) * torch.rsqrt(var(x, 1, 1) + s.eps)),
    names=("gamma", "beta"),
    shape="1c11",
    eps=1e-3,
)


# Group normalization


class AnnotatedGroupNorm(nn.Module):
    """Groups first, as torch has it."""

    kind = "gn"

    def __init__(self, groups: int, channels: int, *, eps: float = 1e-5, affine: bool = True):
        super().__init__()
        self.groups, self.channels, self.eps = groups, channels, eps
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        shape = x.shape
        grouped = x.reshape(shape[0], self.groups, -1)
        mean = grouped.mean(dim=-1, keepdim=True)
        centred = grouped - mean
        normalized = centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + self.eps)
        normalized = normalized.view(shape[0], self.channels, -1)
        return (self.scale.view(1, -1, 1) * normalized + self.shift.view(1, -1, 1)).view(shape)


class TimmStyleGroupNorm(nn.GroupNorm):
    """Channels first, in the arguments of the layer of an image-model library."""

    kind = "gn"

    def __init__(self, num_channels, num_groups=32, eps=1e-5, affine=True):
        super().__init__(num_groups, num_channels, eps=eps, affine=affine)


class GroupScripted(nn.Module):
    kind = "gn"

    def __init__(self, num_groups, num_channels):
        super().__init__()
        self.norm = torch.jit.script(nn.GroupNorm(num_groups, num_channels))

    def forward(self, x):
        return self.norm(x)


GroupOfFour = based("gn", nn.GroupNorm, lambda c: (4, c))
GroupThenGELU = based("gn", nn.Sequential, lambda c: (nn.GroupNorm(4, c), nn.GELU()))
# Names decide nothing.
PixelNormByNameOnly = based("gn", nn.GroupNorm, lambda c: (8, c), eps=1e-3)


# Without a mean


def rms(x, dims, eps=1e-6):
    return x * (x.square().mean(dims, keepdim=True) + eps).rsqrt()


RMSPerPosition = norm("rms-position", lambda s, x: rms(x, 1) * s.scale[:, None, None], names=("scale",))
RMSOverImage = norm("rms-image", lambda s, x: rms(x, CHW) * s.weight, names=("weight",), shape="1c11")
RMSOverMap = norm("rms-map", lambda s, x: s.affine(rms(x, HW)))


class PixelNorm(nn.Module):
    """Of progressive GANs: no parameters, ε an argument of forward."""

    kind = "rms-position"

    def __init__(self, channels=None):
        super().__init__()

    def forward(self, x, epsilon=1e-8):
        return rms(x, 1, epsilon)


# Of no known kind; more are in examples/


class GlobalResponse(Own):
    """ConvNeXt V2's GRN."""

    kind, shape = "own", "1c11"

    def forward(self, x):
        g = x.norm(p=2, dim=(2, 3), keepdim=True)
        return self.weight * (x * (g / (g.mean(1, keepdim=True) + 1e-6))) + self.bias + x


class EvoNormB0(Own):
    kind, running, extra = "own", ("ignored", "running_var"), (("v", lambda c: torch.ones(1, c, 1, 1)),)

    def forward(self, x):
        var = self.running_var
        if self.training:
            var = x.var(NHW, correction=0)
            self.running_var.lerp_(var.detach() * unbias(x), 0.1)
        instance = (x.var(HW, correction=0, keepdim=True) + self.eps).sqrt()
        return self.affine(x / torch.max((var[:, None, None] + self.eps).sqrt(), x * self.v + instance))


class InstanceAndLayer(Own):
    """U-GAT-IT's, with unbiased variances."""

    kind, shape, extra = "own", "1c11", (("rho", lambda c: torch.zeros(1, c, 1, 1)),)

    def forward(self, x):
        instance, layer = ((x - mean(x, dims)) / (var(x, dims, 1) + self.eps).sqrt() for dims in (HW, CHW))
        return self.affine(self.rho * instance + (1 - self.rho) * layer)


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

    kind, shape = "own", "1c11"

    def __init__(self, c):
        super().__init__(c)
        self.register_buffer("initialized", torch.tensor(0, dtype=torch.uint8))

    def forward(self, x):
        if self.training and not self.initialized:
            with torch.no_grad():
                self.bias.copy_(-x.mean(NHW, keepdim=True))
                self.weight.copy_(1 / (x.std(NHW, keepdim=True) + 1e-6))
                self.initialized.fill_(1)
        return self.weight * (x + self.bias)


LocalResponse = based("own", nn.LocalResponseNorm, lambda c: (5,))
DynamicTanh = norm("own", lambda s, x: s.affine((s.alpha * x).tanh()), extra=(("alpha", lambda c: torch.full((1,), 0.5)),))
ScaleOnly = norm("own", lambda s, x: s.affine(x))
WithDropout = based("own", nn.Sequential, lambda c: (nn.GroupNorm(4, c), nn.Dropout(0.1)))

for _name, _layer in list(vars(sys.modules[__name__]).items()):
    if hasattr(_layer, "kind"):
        _layer.__name__ = _name
