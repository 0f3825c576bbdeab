"""Wrong layers, each with what it is meant to be and the mistakes that the check must name."""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def channels(values):
    return values.view(1, -1, 1, 1)


class Base(nn.Module):
    """Right parts, each of which a wrong layer replaces by its own."""

    dims = (2, 3)
    num_groups = 1

    def __init__(self, num_channels, eps=1e-5):
        super().__init__()
        self.num_channels, self.eps = num_channels, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def moments(self, x):
        mean = x.mean(self.dims, keepdim=True)
        return mean, (x - mean).square().mean(self.dims, keepdim=True)

    def divide(self, centred, var):
        return centred / torch.sqrt(var + self.eps)

    def affine(self, normalized):
        return normalized * channels(self.weight) + channels(self.bias)

    def normalize(self, x):
        mean, var = self.moments(x)
        return self.divide(x - mean, var)

    def forward(self, x):
        return self.affine(self.normalize(x))


class BatchBase(Base):
    dims = (0, 2, 3)

    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def is_training(self):
        return self.training

    def unbiased(self, var, x):
        count = x.numel() / x.shape[1]
        return var * count / (count - 1)

    def share(self):
        return self.momentum

    def update(self, mean, var, x):
        with torch.no_grad():
            self.running_mean.lerp_(mean.flatten().to(self.running_mean.dtype), self.share())
            self.running_var.lerp_(self.unbiased(var, x).flatten().to(self.running_var.dtype), self.share())

    def normalize(self, x):
        if self.is_training():
            mean, var = self.moments(x)
            self.update(mean, var, x)
        else:
            mean, var = channels(self.running_mean), channels(self.running_var)
        return self.divide(x - mean, var)


class GroupBase(Base):
    dims = (2, 3, 4)

    def __init__(self, num_channels, num_groups=8, eps=1e-5):
        super().__init__(num_channels, eps)
        self.num_groups = num_groups

    def split(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, self.num_groups, c // self.num_groups, h, w)

    def normalize(self, x):
        return super().normalize(self.split(x)).reshape(x.shape)


class GateBase(BatchBase):
    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps, momentum)
        self.make_gate(num_channels)

    def make_gate(self, num_channels):
        self.gate = nn.Parameter(torch.ones(num_channels))

    def mix(self):
        return channels(self.gate)

    def normalize(self, x):
        batch, gate = super().normalize(x), self.mix()
        mean = x.mean((2, 3), keepdim=True)
        return gate * batch + (1 - gate) * self.divide(x - mean, (x - mean).square().mean((2, 3), keepdim=True))


#: Layer -> what it is meant to be, and the mistakes that the check must name.
PLANTED = {}
#: Of these the layer itself decides what it is: right as another kind, or by another convention.
CONVENTIONAL = set()


def wrong(base, meant, mistakes, is_convention=False, **parts):
    """Make a layer whose parts are those of `base` but for some."""
    layer = type("", (base,), parts)
    PLANTED[layer] = meant, mistakes
    if is_convention:
        CONVENTIONAL.add(layer)
    return layer


def start(base, **tensors):
    """Return a constructor that begins with other tensors, functions of the number of channels."""

    def make(self, num_channels, eps=1e-5, momentum=0.1):
        base.__init__(self, num_channels, *((eps, momentum) if issubclass(base, BatchBase) else (eps,)))
        for name, of in tensors.items():
            if hasattr(self, name):
                delattr(self, name)
            setattr(self, name, of(num_channels))

    return make


def both(self, x):
    """Mean and unbiased variance."""
    return x.mean(self.dims, keepdim=True), x.var(self.dims, keepdim=True)


def _instance(x):
    return x - x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)


def one_pass(self, x):
    mean = x.mean(self.dims, keepdim=True)
    return mean, ((x**2).mean(self.dims, keepdim=True) - mean**2).clamp_min(0)


def twice(function):
    return lambda self, x: function(self, function(self, x))


WHOLE = {"dims": (1, 2, 3)}

# Axes and groups. (1, 2, 3) of a five-dimensional map: the groups have no say.
GroupNormOverRows = wrong(GroupBase, "gn", "wrong-axes", dims=(1, 2, 3))
BatchNormOverEverything = wrong(BatchBase, "bn", "wrong-axes", dims=(0, 1, 2, 3))
InstanceNormOverBatch = wrong(Base, "in", "wrong-axes", dims=(0, 2, 3))
LayerNormOverChannels = wrong(Base, "ln", "wrong-axes", True, dims=(1,))
SwappedGroupNorm = wrong(
    GroupBase, "gn", "groups-swapped", split=lambda self, x: x.unflatten(1, (x.shape[1] // self.num_groups, self.num_groups))
)
MeanOfImageVarianceOfBatch = wrong(
    Base,
    "in",
    "mixed-axes",
    moments=lambda self, x: (x.mean((2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)),
)
MeanOfVariancesBatchNorm = wrong(
    BatchBase,
    "bn",
    "mean-of-variances",
    moments=lambda self, x: (x.mean(self.dims, keepdim=True), x.var((2, 3), correction=0, keepdim=True).mean(0, keepdim=True)),
)
FirstImageOnly = wrong(
    BatchBase,
    "bn",
    "first-image-only",
    moments=lambda self, x: Base.moments(self, x[:1]),
    unbiased=lambda self, var, x: BatchBase.unbiased(self, var, x[:1]),
)

# Variance and ε
UnbiasedInstanceNorm = wrong(Base, "in", "unbiased-normalization", moments=both)
UnbiasedGroupNorm = wrong(GroupBase, "gn", "unbiased-normalization", moments=both)
UnbiasedBatchNorm = wrong(BatchBase, "bn", "unbiased-normalization", moments=both, unbiased=lambda self, var, x: var)
VarianceNotCentred = wrong(
    Base,
    "in",
    "variance-not-centred",
    moments=lambda self, x: (x.mean((2, 3), keepdim=True), (x**2).mean((2, 3), keepdim=True)),
)
AbsoluteDeviation = wrong(
    Base,
    "in",
    "absolute-deviation",
    moments=lambda self, x: (
        x.mean((2, 3), keepdim=True),
        (x - x.mean((2, 3), keepdim=True)).abs().mean((2, 3), keepdim=True),
    ),
)
VarMeanOrder = wrong(
    Base,
    "in",
    "mean-and-variance-swapped",
    moments=lambda self, x: torch.var_mean(x, self.dims, correction=0, keepdim=True),
)
CancellingLayerNorm = wrong(Base, "ln", "cancellation", **WHOLE, moments=one_pass)
EpsOnDeviationBatchNorm = wrong(
    BatchBase, "bn", "eps-on-deviation", True, divide=lambda self, x, var: x / (var.sqrt() + self.eps)
)
EpsOutsideInstanceNorm = wrong(Base, "in", "eps-outside", divide=lambda self, x, var: x / var.sqrt() + self.eps)
NoEpsLayerNorm = wrong(Base, "ln", "eps-missing", **WHOLE, divide=lambda self, x, var: x / var.sqrt())
SquaredEpsBatchNorm = wrong(BatchBase, "bn", "eps-squared", divide=lambda self, x, var: x / (var + self.eps**2).sqrt())
VarianceForDeviationInstanceNorm = wrong(Base, "in", "variance-for-deviation", divide=lambda self, x, var: x / (var + self.eps))
IgnoredEpsInstanceNorm = wrong(Base, "in", "eps-other", divide=lambda self, x, var: x / (var + 1e-3).sqrt())
UnbiasedEpsOnDeviationInstanceNorm = wrong(
    Base,
    "in",
    "eps-on-deviation unbiased-normalization",
    moments=both,
    divide=lambda self, x, var: x / (var.sqrt() + self.eps),
)
MeanKept = wrong(
    Base,
    "ln",
    "mean-not-subtracted",
    True,
    normalize=lambda self, x: x * (x.square().mean((1, 2, 3), keepdim=True) + self.eps).rsqrt(),
)

VarianceOfMeans = wrong(
    BatchBase,
    "bn",
    "variance-of-means",
    moments=lambda self, x: (
        x.mean(self.dims, keepdim=True),
        x.mean((2, 3), keepdim=True).var(0, correction=0, keepdim=True),
    ),
)
OtherCount = wrong(
    Base,
    "in",
    "variance-by-other-count",
    moments=lambda self, x: (x.mean((2, 3), keepdim=True), 20 * x.var((2, 3), correction=0, keepdim=True)),
)
RootTwice = wrong(Base, "in", "root-of-deviation", divide=lambda self, x, var: x / (var.sqrt() + self.eps).sqrt())
Multiplied = wrong(Base, "in", "deviation-multiplied", divide=lambda self, x, var: x * (var + self.eps).sqrt())
Parentheses = wrong(
    Base,
    "in",
    "parentheses-missing",
    normalize=lambda self, x: x - self.moments(x)[0] / (self.moments(x)[1] + self.eps).sqrt(),
)
MeanAdded = wrong(Base, "in", "mean-added", normalize=lambda self, x: self.divide(x + self.moments(x)[0], self.moments(x)[1]))

# Affine map
NoAffineInstanceNorm = wrong(Base, "in", "affine-missing", affine=lambda self, y: y)
NoWeightLayerNorm = wrong(Base, "ln", "weight-missing", **WHOLE, affine=lambda self, y: y + channels(self.bias))
NoBiasBatchNorm = wrong(BatchBase, "bn", "bias-missing", affine=lambda self, y: y * channels(self.weight))
SwappedAffineInstanceNorm = wrong(
    Base, "in", "affine-swapped", affine=lambda self, y: y * channels(self.bias) + channels(self.weight)
)
BiasFirstInstanceNorm = wrong(
    Base, "in", "bias-before-weight", affine=lambda self, y: (y + channels(self.bias)) * channels(self.weight)
)
AffineFirst = wrong(Base, "in", "affine-before", forward=lambda self, x: self.normalize(self.affine(x)))
TwoAffinesBIN = wrong(GateBase, "bin", "affine-twice", affine=twice(Base.affine))
WeightTimesX = wrong(
    BatchBase, "bn", "input-not-normalized", forward=lambda self, x: self.affine(x + 0 * self.normalize(x).detach())
)
AffineOfEachPart = wrong(
    GateBase,
    "bin",
    "affine-of-each-part",
    forward=lambda self, x: (
        self.mix() * self.affine(BatchBase.normalize(self, x)) + (1 - self.mix()) * F.instance_norm(x, eps=self.eps)
    ),
)
ActivationInside = wrong(BatchBase, "bn", "activation-inside", True, affine=lambda self, y: Base.affine(self, y).relu())
PlainTensorsInstanceNorm = wrong(
    Base, "in", "parameters-not-registered", __init__=start(Base, weight=torch.ones, bias=torch.zeros)
)
BroadcastShapeBatchNorm = wrong(
    BatchBase,
    "bn",
    "parameter-shape",
    True,
    __init__=start(BatchBase, weight=lambda c: nn.Parameter(torch.ones(1, c, 1, 1))),
)
OneWeightForAll = wrong(Base, "in", "affine-shared", __init__=start(Base, weight=lambda c: nn.Parameter(torch.ones(1))))

# Running statistics
ReversedMomentumBatchNorm = wrong(BatchBase, "bn", "momentum-reversed", share=lambda self: 1 - self.momentum)
OtherMomentum = wrong(BatchBase, "bn", "momentum-other", share=lambda self: 0.01)
BiasedMemoryBatchNorm = wrong(BatchBase, "bn", "biased-memory", unbiased=lambda self, var, x: var)
BiasedAndReversedBatchNorm = wrong(
    BatchBase,
    "bn",
    "biased-memory momentum-reversed",
    share=lambda self: 1 - self.momentum,
    unbiased=lambda self, var, x: var,
)
CorrectedByImages = wrong(BatchBase, "bn", "memory-of-images", unbiased=lambda self, var, x: var * len(x) / (len(x) - 1))
DeviationRemembered = wrong(
    BatchBase, "bn", "deviation-remembered", unbiased=lambda self, var, x: BatchBase.unbiased(self, var, x).sqrt()
)
AboutRunningMean = wrong(
    BatchBase,
    "bn",
    "variance-about-running-mean",
    update=lambda self, mean, var, x: (
        self.running_var.lerp_((var.detach().flatten() + (mean.detach().flatten() - self.running_mean) ** 2), self.momentum),
        self.running_mean.lerp_(mean.detach().flatten(), self.momentum),
    ),
)
AddsUp = wrong(
    BatchBase,
    "bn",
    "memory-adds-up",
    update=lambda self, mean, var, x: (
        self.running_mean.add_(self.momentum * mean.detach().flatten()),
        self.running_var.add_(self.momentum * self.unbiased(var, x).detach().flatten()),
    ),
)
UpdatedTwice = wrong(
    BatchBase,
    "bn",
    "updated-twice",
    update=lambda self, *new: (BatchBase.update(self, *new), BatchBase.update(self, *new)),
)
NeverMoved = wrong(BatchBase, "bn", "memory-never-moves", update=lambda self, *new: None)
FirstBatchCopied = wrong(
    BatchBase, "bn", "first-batch-copied", share=lambda self: 1.0 if self.running_var.eq(1).all() else self.momentum
)
GraphKept = wrong(
    BatchBase,
    "bn",
    "graph-kept",
    update=lambda self, mean, var, x: (
        setattr(self, "running_mean", self.running_mean.lerp(mean.flatten(), self.momentum)),
        setattr(self, "running_var", self.running_var.lerp(self.unbiased(var, x).flatten(), self.momentum)),
    ),
)
ZeroStartBatchNorm = wrong(
    BatchBase,
    "bn",
    "variance-starts-at-zero",
    __init__=start(BatchBase, running_var=lambda c: nn.Buffer(torch.zeros(c))),
)
Float64Buffers = wrong(
    BatchBase,
    "bn",
    "float64-from-the-start",
    __init__=start(BatchBase, running_var=lambda c: nn.Buffer(torch.from_numpy(np.ones(c)))),
)
PlainAttributesBatchNorm = wrong(
    BatchBase, "bn", "buffers-not-registered", __init__=start(BatchBase, running_mean=torch.zeros, running_var=torch.ones)
)
NotSaved = wrong(
    BatchBase,
    "bn",
    "buffers-not-saved",
    __init__=start(BatchBase, running_mean=lambda c: nn.Buffer(torch.zeros(c), persistent=False)),
)
LearnedStatistics = wrong(
    BatchBase, "bn", "running-learned", __init__=start(BatchBase, running_mean=lambda c: nn.Parameter(torch.zeros(c)))
)
RunningInTrainingBatchNorm = wrong(
    BatchBase,
    "bn",
    "running-in-training",
    normalize=lambda self, x: (
        (self.training and self.update(*self.moments(x), x))
        or self.divide(x - channels(self.running_mean), channels(self.running_var))
    ),
)
BatchInEvaluationBatchNorm = wrong(
    BatchBase,
    "bn",
    "batch-in-evaluation",
    normalize=lambda self, x: (self.training and self.update(*self.moments(x), x)) or Base.normalize(self, x),
)
HalfBatchInEvaluation = wrong(
    BatchBase,
    "bn",
    "half-batch-in-evaluation",
    divide=lambda self, x, var: Base.divide(self, x, var if self.training else self.moments(x)[1]),
)
CorrectedInEvaluationBatchNorm = wrong(
    BatchBase,
    "bn",
    "corrected-in-evaluation",
    divide=lambda self, x, var: Base.divide(self, x, var if self.training else self.unbiased(var, x)),
)
MovesInEvaluationBatchNorm = wrong(
    BatchBase,
    "bn",
    "memory-moves-in-evaluation",
    normalize=lambda self, x: (not self.training and self.update(*self.moments(x), x)) or BatchBase.normalize(self, x),
)
HalfRemembered = wrong(
    BatchBase,
    "bn",
    "half-remembered",
    update=lambda self, mean, var, x: BatchBase.update(self, mean, var, x) or self.running_var.fill_(1),
)
ExchangedMemory = wrong(
    BatchBase,
    "bn",
    "memory-exchanged",
    update=lambda self, mean, var, x: (
        self.running_mean.lerp_(self.unbiased(var, x).detach().flatten(), self.momentum),
        self.running_var.lerp_(mean.detach().flatten(), self.momentum),
    ),
)
RunningMeanInTraining = wrong(
    BatchBase,
    "bn",
    "running-mean-in-training",
    normalize=lambda self, x: (
        (self.training and self.update(*self.moments(x), x))
        or self.divide(x - channels(self.running_mean), self.moments(x)[1] if self.training else channels(self.running_var))
    ),
)
NoRootInEvaluation = wrong(
    BatchBase,
    "bn",
    "other-formula-in-evaluation",
    divide=lambda self, x, var: Base.divide(self, x, var) if self.training else x / (var + self.eps),
)
NoEpsInEvaluation = wrong(
    BatchBase,
    "bn",
    "eps-missing-in-evaluation",
    divide=lambda self, x, var: Base.divide(self, x, var) if self.training else x / var.sqrt(),
)
NoAffineInEvaluation = wrong(
    BatchBase, "bn", "affine-missing-in-evaluation", affine=lambda self, y: Base.affine(self, y) if self.training else y
)
GradModeBatchNorm = wrong(BatchBase, "bn", "mode-from-grad", is_training=lambda self: torch.is_grad_enabled())
AlwaysEvaluation = wrong(
    BatchBase,
    "bn",
    "always-evaluation",
    forward=lambda self, x: F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps),
)
ModesExchanged = wrong(
    BatchBase,
    "bn",
    "modes-exchanged",
    forward=lambda self, x: F.batch_norm(
        x, self.running_mean, self.running_var, self.weight, self.bias, not self.training, self.momentum, self.eps
    ),
)

# Gradients, input, hooks
NoGradient = wrong(Base, "in", "no-gradient", forward=torch.no_grad()(Base.forward))
DataOfWeight = wrong(
    Base,
    "in",
    "parameter-without-gradient",
    affine=lambda self, y: y * channels(self.weight.data) + channels(self.bias.data),
)
Squeezed = wrong(
    Base,
    "ln",
    "one-image-refused",
    normalize=lambda self, x: self.divide(
        x - x.flatten(1).mean(1).squeeze()[:, None, None, None],
        x.flatten(1).var(1, correction=0).squeeze()[:, None, None, None],
    ),
)
DetachedBatchNorm = wrong(
    BatchBase, "bn", "detached-statistics", moments=lambda self, x: [each.detach() for each in Base.moments(self, x)]
)
DetachedMeanInstanceNorm = wrong(
    Base,
    "in",
    "detached-mean",
    moments=lambda self, x: (x.mean((2, 3), keepdim=True).detach(), x.var((2, 3), correction=0, keepdim=True)),
)
DetachedVarianceLayerNorm = wrong(
    Base, "ln", "detached-variance", **WHOLE, divide=lambda self, x, var: Base.divide(self, x, var.detach())
)
InPlaceInstanceNorm = wrong(
    Base, "in", "input-changed", normalize=lambda self, x: (x.sub_(x.mean((2, 3), keepdim=True)), Base.normalize(self, x))[1]
)
CallInstanceNorm = wrong(Base, "in", "call-overridden", __call__=lambda self, x: self.forward(x))
DropsInEvaluation = wrong(Base, "in", "random-output", forward=lambda self, x: F.dropout(Base.forward(self, x), 0.1))

# Gates. The last makes a new parameter in each forward pass: the optimizer holds the old one.
ReversedGateBIN = wrong(GateBase, "bin", "gate-reversed", mix=lambda self: 1 - channels(self.gate))
GateOfBoth = wrong(
    GateBase,
    "bin",
    "gate-of-both",
    normalize=lambda self, x: self.mix() * (BatchBase.normalize(self, x) + Base.divide(self, *_instance(x))),
)
ClampedGateBIN = wrong(GateBase, "bin", "gate-clamped", mix=lambda self: channels(self.gate.clamp(0, 1)))
SigmoidGateBIN = wrong(GateBase, "bin", "gate-sigmoid", mix=lambda self: channels(self.gate.sigmoid()))
ConstantGateBIN = wrong(GateBase, "bin", "gate-frozen", make_gate=lambda self, c: None, mix=lambda self: 0.5)
ZeroGateBIN = wrong(
    GateBase, "bin", "start-values", make_gate=lambda self, c: setattr(self, "gate", nn.Parameter(torch.zeros(c)))
)
ScalarGateBIN = wrong(
    GateBase,
    "bin",
    "parameter-shape",
    True,
    make_gate=lambda self, c: setattr(self, "gate", nn.Parameter(torch.ones(1))),
)
BatchInEvaluationBIN = wrong(GateBase, "bin", "batch-in-evaluation", is_training=lambda self: True)
RewrappedGateBIN = wrong(
    GateBase,
    "bin",
    "gate-frozen",
    mix=lambda self: setattr(self, "gate", nn.Parameter(self.gate.clamp(0, 1))) or channels(self.gate),
)

# In the styles of others


class InterleavedGroupNorm(GroupBase):
    def normalize(self, x):
        grouped = x.unflatten(1, (-1, self.num_groups)).transpose(1, 2)
        return Base.normalize(self, grouped).transpose(1, 2).reshape(x.shape)


class ScrambledBatchNorm(BatchBase):
    def normalize(self, x):
        if not self.training:
            return super().normalize(x)
        rows = x.reshape(x.shape[1], -1)
        mean, var = rows.mean(1, keepdim=True), rows.var(1, keepdim=True, correction=0)
        self.update(mean, var, x)
        return self.divide(rows - mean, var).reshape(x.shape)


class PixelwiseLayerNorm(nn.LayerNorm):
    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)


class LearnedEpsInstanceNorm(Base):
    def __init__(self, num_channels):
        super().__init__(num_channels)
        self.eps = nn.Parameter(torch.tensor([1e-5]))


class FixedGroups(nn.GroupNorm):
    def __init__(self, num_groups, num_channels):
        super().__init__(4, num_channels)


class EightGroups(nn.GroupNorm):
    """As many as C/G is with the two that the check asks for."""

    def __init__(self, num_groups, num_channels):
        super().__init__(8, num_channels)


class GroupsIgnored(nn.InstanceNorm2d):
    def __init__(self, num_groups, num_channels):
        super().__init__(num_channels, affine=True)


class ClassParameters(Base):
    weight, bias = nn.Parameter(torch.ones(16)), nn.Parameter(torch.zeros(16))

    def __init__(self, num_features):
        nn.Module.__init__(self)
        self.eps = 1e-5


class MovingAverageInstanceNorm(Base):
    """With a row for each image of the batch."""

    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps)
        self.momentum, self.mean, self.var = momentum, torch.zeros(()), torch.ones(())

    def normalize(self, x):
        if not self.training:
            return self.divide(x - self.mean, self.var)
        mean, var = self.moments(x)
        self.mean = (1 - self.momentum) * self.mean + self.momentum * mean.detach()
        self.var = (1 - self.momentum) * self.var + self.momentum * var.detach()
        return self.divide(x - mean, var)


_STATISTICS = {}


class SharedDict(BatchBase):
    def update(self, mean, var, x):
        _STATISTICS["mean"] = 0.9 * _STATISTICS.get("mean", 0.0) + 0.1 * mean.detach()
        _STATISTICS["var"] = 0.9 * _STATISTICS.get("var", 1.0) + 0.1 * var.detach()

    def normalize(self, x):
        if self.training or not _STATISTICS:
            return super().normalize(x)
        return self.divide(x - _STATISTICS["mean"], _STATISTICS["var"])


class GroupsOfImages(GroupBase):
    def normalize(self, x):
        return F.layer_norm(y := x.reshape(self.num_groups, -1), y.shape[1:], eps=self.eps).reshape(x.shape)


class FirstGroupOnly(GroupBase):
    def normalize(self, x):
        return self.divide(x - (moments := Base.moments(self, self.split(x)[:, :1]))[0][:, 0], moments[1][:, 0])


class LastGroupLeft(Base):
    def __init__(self, num_channels, num_groups=4):
        super().__init__(num_channels)
        self.num_groups = num_groups

    def normalize(self, x):
        out, size = x.clone(), x.shape[1] // self.num_groups
        for start in range(0, x.shape[1] - size, size):
            out[:, start : start + size] = F.group_norm(x[:, start : start + size], 1)
        return out


class ReshapedColumns(nn.BatchNorm1d):
    def __init__(self, c):
        super().__init__(c)

    def forward(self, x):
        return super().forward(x.reshape(-1, self.num_features)).reshape(x.shape)


class ViewedAsChannelsLast(nn.LayerNorm):
    def __init__(self, dim):
        super().__init__(dim)

    def forward(self, x):
        n, c, h, w = x.shape
        return super().forward(x.reshape(n, h, w, c)).reshape(n, c, h, w)


class MadeInForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, x):
        return F.instance_norm(x, weight=nn.Parameter(torch.ones(self.c)), bias=nn.Parameter(torch.zeros(self.c)))


class NumPyMemory(BatchBase):
    __init__ = start(BatchBase, running_mean=np.zeros, running_var=np.ones)

    def normalize(self, x):
        mean, var = self.moments(x)
        if self.training:
            self.running_mean += self.momentum * (mean.detach().numpy().ravel() - self.running_mean)
            self.running_var += self.momentum * (self.unbiased(var, x).detach().numpy().ravel() - self.running_var)
        else:
            mean, var = (channels(torch.from_numpy(each).to(x)) for each in (self.running_mean, self.running_var))
        return self.divide(x - mean, var)


PLANTED |= {
    InterleavedGroupNorm: ("gn", "interleaved-groups"),
    ScrambledBatchNorm: ("bn", "scrambled-reshape"),
    PixelwiseLayerNorm: ("ln", "parameter-shape"),
    LearnedEpsInstanceNorm: ("in", "extra-parameters"),
    FixedGroups: ("gn", "fixed-groups"),
    EightGroups: ("gn", "fixed-groups"),
    GroupsIgnored: ("gn", "wrong-axes"),
    ClassParameters: ("in", "shared-between-layers"),
    MovingAverageInstanceNorm: ("in", "moving-average-of-instances"),
    SharedDict: ("bn", "shared-between-layers"),
    GroupsOfImages: ("gn", "images-in-a-group"),
    FirstGroupOnly: ("gn", "first-group-only"),
    LastGroupLeft: ("gn", "left-out"),
    ReshapedColumns: ("bn", "reshape-for-permute"),
    ViewedAsChannelsLast: ("ln-position", "reshape-for-permute"),
    MadeInForward: ("in", "parameter-made-in-forward"),
    NumPyMemory: ("bn", "buffers-not-registered"),
}
CONVENTIONAL |= {PixelwiseLayerNorm, LearnedEpsInstanceNorm}
#: Layers that fail -> what the check must say.
BROKEN = {
    "FailsByAssert": "AssertionError: three channels, line",
    "FailsByKey": 'x * {}["scale"]',
    "FailsByName": "name 'scal' is not defined",
    "FailsByZero": "ZeroDivisionError",
    "KeepdimForgotten": "use keepdim=True",
    "NoBuffersGiven": "registered as buffers",
    "NeverReturns": "within 2 seconds",
    "HangsInC": "within 2 seconds",
    "EndsTheProcess": "exit code 3",
}


class FailsByAssert(Base):
    def forward(self, x):
        assert x.shape[1] == 3, "three channels"
        return x


class FailsByKey(Base):
    def forward(self, x):
        return x * {}["scale"]


class FailsByName(Base):
    def forward(self, x):
        return x * scal  # noqa: F821


class FailsByZero(Base):
    def forward(self, x):
        return x * (1 / (len(x) - len(x)))


class KeepdimForgotten(Base):
    def forward(self, x):
        return (x - x.mean((2, 3))) / x.var((2, 3)).sqrt()


class NoBuffersGiven(Base):
    def forward(self, x):
        return F.batch_norm(x, None, None, self.weight, self.bias, training=self.training)


class NeverReturns(Base):
    def forward(self, x):
        while True:
            x = x + 0


class HangsInC(Base):
    def forward(self, x):
        return x + sum(iter(int, 1))


class EndsTheProcess(Base):
    def forward(self, x):
        os._exit(3)


for _name, _layer in list(vars(sys.modules[__name__]).items()):
    if isinstance(_layer, type):
        _layer.__name__ = _name
