"""Wrong layers, each with what it is meant to be and the mistakes that the check must name."""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

HW, CHW, NHW = (2, 3), (1, 2, 3), (0, 2, 3)


def channels(values):
    return values.view(1, -1, 1, 1)


def mean(x, dims=HW):
    return x.mean(dims, keepdim=True)


def var(x, dims=HW):
    return x.var(dims, correction=0, keepdim=True)


class Base(nn.Module):
    """An instance norm in right parts, each of which a wrong layer replaces by its own."""

    meant = "in"
    dims = HW

    def __init__(self, num_channels, eps=1e-5):
        super().__init__()
        self.num_channels, self.eps = num_channels, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def mean(self, x):
        return mean(x, self.dims)

    def var(self, x):
        return (x - mean(x, self.dims)).square().mean(self.dims, keepdim=True)

    def moments(self, x):
        return self.mean(x), self.var(x)

    def divide(self, centred, var):
        return centred / torch.sqrt(var + self.eps)

    def affine(self, normalized):
        return normalized * channels(self.weight) + channels(self.bias)

    def normalize(self, x):
        mean, var = self.moments(x)
        return self.divide(x - mean, var)

    def forward(self, x):
        return self.affine(self.normalize(x))


class LayerBase(Base):
    meant = "ln"
    dims = CHW


class BatchBase(Base):
    meant = "bn"
    dims = NHW

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

    def measure(self, x):
        """Update the running statistics; false, for expressions that go on."""
        self.update(*self.moments(x), x)

    def running(self):
        return channels(self.running_mean), channels(self.running_var)

    def normalize(self, x):
        if self.is_training():
            mean, var = self.moments(x)
            self.update(mean, var, x)
        else:
            mean, var = self.running()
        return self.divide(x - mean, var)


class GroupBase(Base):
    meant = "gn"
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
    meant = "bin"

    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps, momentum)
        self.make_gate(num_channels)

    def make_gate(self, num_channels):
        self.gate = nn.Parameter(torch.ones(num_channels))

    def mix(self):
        return channels(self.gate)

    def instance(self, x):
        return self.divide(x - mean(x), var(x))

    def normalize(self, x):
        batch, gate = super().normalize(x), self.mix()
        return gate * batch + (1 - gate) * self.instance(x)


#: Layer -> what it is meant to be, and the mistakes that the check must name.
PLANTED = {}
#: Of these the layer itself decides what it is: right as another kind, or by another convention.
CONVENTIONAL = set()


def wrong(base, mistakes, is_convention=False, **parts):
    """Make a layer whose parts are those of `base` but for some."""
    return planted(mistakes, is_convention)(type("", (base,), parts))


def planted(mistakes, is_convention=False, meant=None):
    def note(layer):
        PLANTED[layer] = meant or layer.meant, mistakes
        if is_convention:
            CONVENTIONAL.add(layer)
        return layer

    return note


def start(base, **tensors):
    """Return a constructor that begins with other tensors, functions of the number of channels."""

    def make(self, num_channels, eps=1e-5, momentum=0.1):
        base.__init__(self, num_channels, *((eps, momentum) if issubclass(base, BatchBase) else (eps,)))
        for name, of in tensors.items():
            if hasattr(self, name):
                delattr(self, name)
            setattr(self, name, of(num_channels))

    return make


def biased(self, var, x):
    """In place of `unbiased`."""
    return var


def unbiased_var(self, x):
    return x.var(self.dims, keepdim=True)


# Axes and groups. (1, 2, 3) of a five-dimensional map: the groups have no say.
GroupNormOverRows = wrong(GroupBase, "wrong-axes", dims=CHW)
BatchNormOverEverything = wrong(BatchBase, "wrong-axes", dims=(0, 1, 2, 3))
InstanceNormOverBatch = wrong(Base, "wrong-axes", dims=NHW)
LayerNormOverChannels = wrong(LayerBase, "wrong-axes", True, dims=(1,))
SwappedGroupNorm = wrong(GroupBase, "groups-swapped", split=lambda s, x: x.unflatten(1, (-1, s.num_groups)))
MeanOfImageVarianceOfBatch = wrong(Base, "mixed-axes", var=lambda s, x: var(x, NHW))
MeanOfVariancesBatchNorm = wrong(BatchBase, "mean-of-variances", var=lambda s, x: var(x).mean(0, keepdim=True))
VarianceOfMeans = wrong(BatchBase, "variance-of-means", var=lambda s, x: mean(x).var(0, correction=0, keepdim=True))
FirstImageOnly = wrong(
    BatchBase,
    "first-image-only",
    moments=lambda s, x: Base.moments(s, x[:1]),
    unbiased=lambda s, v, x: BatchBase.unbiased(s, v, x[:1]),
)

RowsOfChannelsLast = wrong(
    Base,
    "rows-of-channels-last",
    normalize=lambda s, x: (
        Base.normalize(s, x.permute(0, 2, 3, 1).reshape(x.shape)).reshape(x.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
    ),
)

# Variance and ε
UnbiasedInstanceNorm = wrong(Base, "unbiased-normalization", var=unbiased_var)
UnbiasedGroupNorm = wrong(GroupBase, "unbiased-normalization", var=unbiased_var)
UnbiasedBatchNorm = wrong(BatchBase, "unbiased-normalization", var=unbiased_var, unbiased=biased)
VarianceNotCentred = wrong(Base, "variance-not-centred", var=lambda s, x: mean(x**2))
AbsoluteDeviation = wrong(Base, "absolute-deviation", var=lambda s, x: mean((x - mean(x)).abs()))
VarMeanOrder = wrong(Base, "mean-and-variance-swapped", moments=lambda s, x: (var(x), mean(x)))
CancellingLayerNorm = wrong(
    LayerBase, "cancellation", True, var=lambda s, x: (mean(x**2, CHW) - mean(x, CHW) ** 2).clamp_min(0)
)
EpsOnDeviationBatchNorm = wrong(BatchBase, "eps-on-deviation", True, divide=lambda s, x, v: x / (v.sqrt() + s.eps))
EpsOutsideInstanceNorm = wrong(Base, "eps-outside", divide=lambda s, x, v: x / v.sqrt() + s.eps)
NoEpsLayerNorm = wrong(LayerBase, "eps-missing", divide=lambda s, x, v: x / v.sqrt())
SquaredEpsBatchNorm = wrong(BatchBase, "eps-squared", divide=lambda s, x, v: x / (v + s.eps**2).sqrt())
VarianceForDeviationInstanceNorm = wrong(Base, "variance-for-deviation", divide=lambda s, x, v: x / (v + s.eps))
IgnoredEpsInstanceNorm = wrong(Base, "eps-other", divide=lambda s, x, v: x / (v + 1e-3).sqrt())
UnbiasedEpsOnDeviationInstanceNorm = wrong(
    Base, "eps-on-deviation unbiased-normalization", True, var=unbiased_var, divide=lambda s, x, v: x / (v.sqrt() + s.eps)
)
MeanKept = wrong(LayerBase, "mean-not-subtracted", True, normalize=lambda s, x: x * (mean(x.square(), CHW) + s.eps).rsqrt())
OtherCount = wrong(Base, "variance-by-other-count", var=lambda s, x: 20 * var(x))
RootTwice = wrong(Base, "root-of-deviation", divide=lambda s, x, v: x / (v.sqrt() + s.eps).sqrt())
Multiplied = wrong(Base, "deviation-multiplied", divide=lambda s, x, v: x * (v + s.eps).sqrt())
Parentheses = wrong(Base, "parentheses-missing", normalize=lambda s, x: x - mean(x) / (var(x) + s.eps).sqrt())
MeanAdded = wrong(Base, "mean-added", mean=lambda s, x: -mean(x))

UpperHalf = wrong(Base, "part-of-the-set", moments=lambda s, x: Base.moments(s, x[:, :, : x.shape[2] // 2]))
MedianSubtracted = wrong(Base, "other-location", mean=lambda s, x: x.flatten(2).median(-1, keepdim=True).values[..., None])
RangeForDeviation = wrong(Base, "other-scale", divide=lambda s, x, v: x / (x.amax(HW, True) - x.amin(HW, True) + s.eps))
VarianceOfOne = wrong(Base, "variance-clamped", var=lambda s, x: var(x).clamp(min=1))
MeanSubtracted = wrong(
    Base,
    "mean-subtracted",
    True,
    meant="rms-position",
    dims=(1,),
    affine=lambda s, y: y * channels(s.weight),
    __init__=start(Base, bias=lambda c: None),
)
MeanOfImageAboutIt = wrong(LayerBase, "mixed-axes", var=lambda s, x: (x - mean(x, CHW)).square().mean(HW, keepdim=True))
Halves = wrong(Base, "half-precision-inside", var=lambda s, x: var(x.half()).float())


class _OtherBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


WrongBackward = wrong(Base, "wrong-gradient", normalize=lambda s, x: _OtherBackward.apply(Base.normalize(s, x)))

# Affine map
WeightInBothPlaces = wrong(Base, "affine-slip", affine=lambda s, y: y * channels(s.weight) + channels(s.weight) + 0 * s.bias[0])
ForOtherChannels = wrong(Base, "affine-misplaced", affine=lambda s, y: y * channels(s.weight.flip(0)) + channels(s.bias))
NoAffineInstanceNorm = wrong(Base, "affine-missing", affine=lambda s, y: y)
NoWeightLayerNorm = wrong(LayerBase, "weight-missing", affine=lambda s, y: y + channels(s.bias))
NoBiasBatchNorm = wrong(BatchBase, "bias-missing", affine=lambda s, y: y * channels(s.weight))
WeightLessOne = wrong(
    Base,
    "weight-less-one",
    True,
    __init__=start(Base, weight=lambda c: nn.Parameter(torch.zeros(c))),
    affine=lambda s, y: y * (1 + channels(s.weight)) + channels(s.bias),
)
SwappedAffineInstanceNorm = wrong(Base, "affine-swapped", affine=lambda s, y: y * channels(s.bias) + channels(s.weight))
BiasFirstInstanceNorm = wrong(Base, "bias-before-weight", affine=lambda s, y: (y + channels(s.bias)) * channels(s.weight))
AffineFirst = wrong(Base, "affine-before", forward=lambda s, x: s.normalize(s.affine(x)))
TwoAffinesBIN = wrong(GateBase, "affine-twice", affine=lambda s, y: Base.affine(s, Base.affine(s, y)))
WeightTimesX = wrong(BatchBase, "input-not-normalized", forward=lambda s, x: s.affine(x + 0 * s.normalize(x).detach()))
AffineOfEachPart = wrong(
    GateBase,
    "affine-of-each-part",
    forward=lambda s, x: s.mix() * s.affine(BatchBase.normalize(s, x)) + (1 - s.mix()) * s.instance(x),
)
ActivationInside = wrong(BatchBase, "activation-inside", True, affine=lambda s, y: Base.affine(s, y).relu())
PlainTensorsInstanceNorm = wrong(Base, "parameters-not-registered", __init__=start(Base, weight=torch.ones, bias=torch.zeros))
BroadcastShapeBatchNorm = wrong(
    BatchBase, "parameter-shape", True, __init__=start(BatchBase, weight=lambda c: nn.Parameter(torch.ones(1, c, 1, 1)))
)
OneWeightForAll = wrong(Base, "affine-shared", __init__=start(Base, weight=lambda c: nn.Parameter(torch.ones(1))))

# Running statistics
EpsAndMomentumSwapped = wrong(
    BatchBase,
    "eps-and-momentum-swapped",
    divide=lambda s, x, v: x / (v + s.momentum).sqrt(),
    share=lambda s: s.eps,
)
NotInEvaluation = wrong(Base, "not-normalized-in-evaluation", normalize=lambda s, x: Base.normalize(s, x) if s.training else x)
NormalizedRemembered = wrong(
    BatchBase, "normalized-remembered", unbiased=lambda s, v, x: BatchBase.unbiased(s, v / (v + s.eps), x)
)
OneForAll = wrong(
    BatchBase,
    "one-memory-for-all",
    update=lambda s, m, v, x: BatchBase.update(s, x.mean().expand(16), x.var().expand(16), x),
    unbiased=biased,
)
RowsOfAReshape = wrong(
    BatchBase,
    "rows-of-a-reshape",
    mean=lambda s, x: channels(x.reshape(x.shape[1], -1).mean(1)),
    var=lambda s, x: channels(x.reshape(x.shape[1], -1).var(1, correction=0)),
)
ReversedMomentumBatchNorm = wrong(BatchBase, "momentum-reversed", share=lambda s: 1 - s.momentum)
OtherMomentum = wrong(BatchBase, "momentum-other", share=lambda s: 0.01)
BiasedMemoryBatchNorm = wrong(BatchBase, "biased-memory", True, unbiased=biased)
BiasedAndReversedBatchNorm = wrong(
    BatchBase, "biased-memory momentum-reversed", share=lambda s: 1 - s.momentum, unbiased=biased
)
CorrectedByImages = wrong(BatchBase, "memory-of-images", unbiased=lambda s, v, x: v * len(x) / (len(x) - 1))
DeviationRemembered = wrong(BatchBase, "deviation-remembered", unbiased=lambda s, v, x: BatchBase.unbiased(s, v, x).sqrt())
UpdatedTwice = wrong(BatchBase, "updated-twice", update=lambda s, *new: (BatchBase.update(s, *new), BatchBase.update(s, *new)))
NeverMoved = wrong(BatchBase, "memory-never-moves", update=lambda s, *new: None)
FirstBatchCopied = wrong(BatchBase, "first-batch-copied", share=lambda s: 1.0 if s.running_var.eq(1).all() else s.momentum)
HalfRemembered = wrong(BatchBase, "half-remembered", update=lambda s, *new: BatchBase.update(s, *new) or s.running_var.fill_(1))
ExchangedMemory = wrong(
    BatchBase,
    "memory-exchanged",
    unbiased=biased,
    update=lambda s, m, v, x: BatchBase.update(s, BatchBase.unbiased(s, v, x), m, x),
)


@planted("variance-about-running-mean")
class AboutRunningMean(BatchBase):
    def unbiased(self, var, x):
        return var + (self.mean(x) - self.before) ** 2

    def update(self, mean, var, x):
        self.before = channels(self.running_mean.clone())
        super().update(mean, var, x)


@planted("memory-adds-up")
class AddsUp(BatchBase):
    def update(self, mean, var, x):
        self.running_mean.add_(self.momentum * mean.detach().flatten())
        self.running_var.add_(self.momentum * self.unbiased(var, x).detach().flatten())


@planted("graph-kept")
class GraphKept(BatchBase):
    def update(self, mean, var, x):
        self.running_mean = self.running_mean.lerp(mean.flatten(), self.momentum)
        self.running_var = self.running_var.lerp(self.unbiased(var, x).flatten(), self.momentum)


ZeroStartBatchNorm = wrong(
    BatchBase, "variance-starts-at-zero", __init__=start(BatchBase, running_var=lambda c: nn.Buffer(torch.zeros(c)))
)
Float64Buffers = wrong(
    BatchBase,
    "float64-from-the-start",
    __init__=start(BatchBase, running_var=lambda c: nn.Buffer(torch.from_numpy(np.ones(c)))),
)
PlainAttributesBatchNorm = wrong(
    BatchBase, "buffers-not-registered", __init__=start(BatchBase, running_mean=torch.zeros, running_var=torch.ones)
)
IntegerBuffers = wrong(
    BatchBase,
    "integer-buffers",
    __init__=start(BatchBase, running_mean=lambda c: nn.Buffer(torch.tensor([0] * c))),
    update=lambda s, mean, var, x: s.running_mean.copy_(0.9 * s.running_mean + 0.1 * mean.detach().flatten()),
)
NotSaved = wrong(
    BatchBase,
    "buffers-not-saved",
    __init__=start(BatchBase, running_mean=lambda c: nn.Buffer(torch.zeros(c), persistent=False)),
)
LearnedStatistics = wrong(
    BatchBase, "running-learned", __init__=start(BatchBase, running_mean=lambda c: nn.Parameter(torch.zeros(c)))
)

# What normalizes in training and in evaluation
RunningInTrainingBatchNorm = wrong(
    BatchBase,
    "running-in-training",
    normalize=lambda s, x: (s.training and s.measure(x)) or s.divide(x - s.running()[0], s.running()[1]),
)
RunningMeanInTraining = wrong(
    BatchBase,
    "running-mean-in-training",
    normalize=lambda s, x: (
        (s.training and s.measure(x)) or s.divide(x - s.running()[0], s.var(x) if s.training else s.running()[1])
    ),
)
BatchInEvaluationBatchNorm = wrong(
    BatchBase, "batch-in-evaluation", normalize=lambda s, x: (s.training and s.measure(x)) or Base.normalize(s, x)
)
MovesInEvaluationBatchNorm = wrong(
    BatchBase,
    "memory-moves-in-evaluation",
    normalize=lambda s, x: (not s.training and s.measure(x)) or BatchBase.normalize(s, x),
)
ModesExchanged = wrong(BatchBase, "modes-exchanged", is_training=lambda s: not s.training)
GradModeBatchNorm = wrong(BatchBase, "mode-from-grad", is_training=lambda s: torch.is_grad_enabled())
AlwaysEvaluation = wrong(BatchBase, "always-evaluation", is_training=lambda s: False)


def in_evaluation(mistake, **parts):
    """Make a batch norm with parts that are its own in evaluation alone."""

    def switch(name, part):
        right = getattr(BatchBase, name)
        return lambda s, *values: (right if s.training else part)(s, *values)

    return wrong(BatchBase, mistake, **{name: switch(name, part) for name, part in parts.items()})


HalfBatchInEvaluation = in_evaluation("half-batch-in-evaluation", divide=lambda s, x, v: Base.divide(s, x, s.moments(x)[1]))
CorrectedInEvaluationBatchNorm = in_evaluation(
    "corrected-in-evaluation", divide=lambda s, x, v: Base.divide(s, x, s.unbiased(v, x))
)
NoRootInEvaluation = in_evaluation("other-formula-in-evaluation", divide=lambda s, x, v: x / (v + s.eps))
NoEpsInEvaluation = in_evaluation("eps-missing-in-evaluation", divide=lambda s, x, v: x / v.sqrt())
NoAffineInEvaluation = in_evaluation("affine-missing-in-evaluation", affine=lambda s, y: y)

# Gradients, input, hooks
NoGradient = wrong(Base, "no-gradient", forward=torch.no_grad()(Base.forward))
DataOfWeight = wrong(
    Base, "parameter-without-gradient", affine=lambda s, y: y * channels(s.weight.data) + channels(s.bias.data)
)
DetachedBatchNorm = wrong(BatchBase, "detached-statistics", moments=lambda s, x: [each.detach() for each in Base.moments(s, x)])
DetachedMeanInstanceNorm = wrong(Base, "detached-mean", mean=lambda s, x: mean(x).detach())
DetachedVarianceLayerNorm = wrong(LayerBase, "detached-variance", divide=lambda s, x, v: Base.divide(s, x, v.detach()))
InPlaceInstanceNorm = wrong(Base, "input-changed", normalize=lambda s, x: Base.normalize(s, x.sub_(mean(x))))
CallInstanceNorm = wrong(Base, "call-overridden", __call__=lambda s, x: s.forward(x))
DropsInEvaluation = wrong(Base, "random-output", forward=lambda s, x: F.dropout(Base.forward(s, x), 0.1))

# Gates. The last makes a new parameter in each forward pass: the optimizer holds the old one.
ReversedGateBIN = wrong(GateBase, "gate-reversed", mix=lambda s: 1 - channels(s.gate))
GateOfBoth = wrong(GateBase, "gate-of-both", normalize=lambda s, x: s.mix() * (BatchBase.normalize(s, x) + s.instance(x)))
ClampedGateBIN = wrong(GateBase, "gate-clamped", True, mix=lambda s: channels(s.gate.clamp(0, 1)))


@planted("statistics-blended")
class BlendedStatistics(GateBase):
    def normalize(self, x):
        moments = self.moments(x) if self.training else self.running()
        if self.training:
            self.update(*moments, x)
        gate = self.mix()
        mean_, var_ = (gate * of_batch + (1 - gate) * own for of_batch, own in zip(moments, (mean(x), var(x)), strict=True))
        return self.divide(x - mean_, var_)


@planted("norms-chained")
class ChainedBIN(GateBase):
    def normalize(self, x):
        batch, gate = BatchBase.normalize(self, x), self.mix()
        return gate * batch + (1 - gate) * self.instance(batch)


InstanceDeviationBIN = wrong(GateBase, "instance-deviation-for-batch", divide=lambda s, x, v: x / (var(x) + s.eps).sqrt())
ReversedAndClampedGateBIN = wrong(GateBase, "gate-reversed", mix=lambda s: 1 - channels(s.gate.clamp(0, 1)))
ClampedAtTheStartBIN = wrong(
    GateBase, "parameters-not-registered", make_gate=lambda s, c: setattr(s, "gate", nn.Parameter(torch.ones(c)).clamp(0, 1))
)
SigmoidGateBIN = wrong(GateBase, "gate-sigmoid", True, mix=lambda s: channels(s.gate.sigmoid()))
ConstantGateBIN = wrong(GateBase, "gate-frozen", make_gate=lambda s, c: None, mix=lambda s: 0.5)
ZeroGateBIN = wrong(GateBase, "start-values", True, make_gate=lambda s, c: setattr(s, "gate", nn.Parameter(torch.zeros(c))))
ScalarGateBIN = wrong(GateBase, "parameter-shape", True, make_gate=lambda s, c: setattr(s, "gate", nn.Parameter(torch.ones(1))))
BatchInEvaluationBIN = wrong(GateBase, "batch-in-evaluation", is_training=lambda s: True)
RewrappedGateBIN = wrong(
    GateBase, "gate-frozen", mix=lambda s: setattr(s, "gate", nn.Parameter(s.gate.clamp(0, 1))) or channels(s.gate)
)

# In the styles of others


@planted("one-image-refused")
class Squeezed(LayerBase):
    def normalize(self, x):
        y = x.flatten(1)
        mean, var = (each.squeeze()[:, None, None, None] for each in (y.mean(1), y.var(1, correction=0)))
        return self.divide(x - mean, var)


@planted("interleaved-groups")
class InterleavedGroupNorm(GroupBase):
    def normalize(self, x):
        grouped = x.unflatten(1, (-1, self.num_groups)).transpose(1, 2)
        return Base.normalize(self, grouped).transpose(1, 2).reshape(x.shape)


@planted("scrambled-reshape")
class ScrambledBatchNorm(BatchBase):
    def normalize(self, x):
        if not self.training:
            return super().normalize(x)
        rows = x.reshape(x.shape[1], -1)
        mean, var = rows.mean(1, keepdim=True), rows.var(1, keepdim=True, correction=0)
        self.update(mean, var, x)
        return self.divide(rows - mean, var).reshape(x.shape)


@planted("parameter-shape", True, meant="ln")
class PixelwiseLayerNorm(nn.LayerNorm):
    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)


@planted("extra-parameters", True)
class LearnedEpsInstanceNorm(Base):
    def __init__(self, num_channels):
        super().__init__(num_channels)
        self.eps = nn.Parameter(torch.tensor([1e-5]))


@planted("fixed-groups", meant="gn")
class FixedGroups(nn.GroupNorm):
    def __init__(self, num_groups, num_channels):
        super().__init__(4, num_channels)


@planted("fixed-groups", meant="gn")
class EightGroups(nn.GroupNorm):
    """As many as C/G is with the two that the check asks for."""

    def __init__(self, num_groups, num_channels):
        super().__init__(8, num_channels)


@planted("wrong-axes", meant="gn")
class GroupsIgnored(nn.InstanceNorm2d):
    def __init__(self, num_groups, num_channels):
        super().__init__(num_channels, affine=True)


@planted("shared-between-layers")
class ClassParameters(Base):
    weight, bias = nn.Parameter(torch.ones(16)), nn.Parameter(torch.zeros(16))

    def __init__(self, num_features):
        nn.Module.__init__(self)
        self.eps = 1e-5


@planted("moving-average-of-instances")
class MovingAverageInstanceNorm(Base):
    """With a row for each image of the batch."""

    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps)
        self.momentum, self.mean_, self.var_ = momentum, torch.zeros(()), torch.ones(())

    def normalize(self, x):
        if not self.training:
            return self.divide(x - self.mean_, self.var_)
        mean, var = self.moments(x)
        self.mean_ = (1 - self.momentum) * self.mean_ + self.momentum * mean.detach()
        self.var_ = (1 - self.momentum) * self.var_ + self.momentum * var.detach()
        return self.divide(x - mean, var)


_STATISTICS = {}


@planted("shared-between-layers")
class SharedDict(BatchBase):
    def update(self, mean, var, x):
        _STATISTICS["mean"] = 0.9 * _STATISTICS.get("mean", 0.0) + 0.1 * mean.detach()
        _STATISTICS["var"] = 0.9 * _STATISTICS.get("var", 1.0) + 0.1 * var.detach()

    def normalize(self, x):
        if self.training or not _STATISTICS:
            return super().normalize(x)
        return self.divide(x - _STATISTICS["mean"], _STATISTICS["var"])


@planted("images-in-a-group")
class GroupsOfImages(GroupBase):
    def normalize(self, x):
        return F.layer_norm(y := x.reshape(self.num_groups, -1), y.shape[1:], eps=self.eps).reshape(x.shape)


@planted("first-group-only")
class FirstGroupOnly(GroupBase):
    def normalize(self, x):
        mean, var = Base.moments(self, self.split(x)[:, :1])
        return self.divide(x - mean[:, 0], var[:, 0])


@planted("left-out", meant="gn")
class LastGroupLeft(Base):
    def __init__(self, num_channels, num_groups=4):
        super().__init__(num_channels)
        self.num_groups = num_groups

    def normalize(self, x):
        out, size = x.clone(), x.shape[1] // self.num_groups
        for start in range(0, x.shape[1] - size, size):
            out[:, start : start + size] = F.group_norm(x[:, start : start + size], 1)
        return out


@planted("reshape-for-permute", meant="bn")
class ReshapedColumns(nn.BatchNorm1d):
    def __init__(self, c):
        super().__init__(c)

    def forward(self, x):
        return super().forward(x.reshape(-1, self.num_features)).reshape(x.shape)


@planted("reshape-for-permute", meant="ln-position")
class ViewedAsChannelsLast(nn.LayerNorm):
    def __init__(self, dim):
        super().__init__(dim)

    def forward(self, x):
        n, c, h, w = x.shape
        return super().forward(x.reshape(n, h, w, c)).reshape(n, c, h, w)


@planted("parameter-made-in-forward", meant="in")
class MadeInForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, x):
        return F.instance_norm(x, weight=nn.Parameter(torch.ones(self.c)), bias=nn.Parameter(torch.zeros(self.c)))


@planted("kept-from-evaluation")
class KeptDeviation(BatchBase):
    kept = None

    def running(self):
        self.kept = self.running_var.clone() if self.kept is None else self.kept
        return channels(self.running_mean), channels(self.kept)


@planted("count-not-saved")
class CountIsNoBuffer(BatchBase):
    seen = 0

    def share(self):
        return 1.0 if self.seen == 0 else self.momentum

    def update(self, mean, var, x):
        super().update(mean, var, x)
        self.seen += 1


@planted("loading-changes")
class ForgetsOnLoading(BatchBase):
    def _load_from_state_dict(self, state_dict, *others):
        super()._load_from_state_dict({**state_dict, "running_var": torch.ones(self.num_channels)}, *others)


@planted("momentum-of-the-old")
class MomentumOfKeras(BatchBase):
    def __init__(self, num_channels, eps=1e-5, momentum=0.99):
        super().__init__(num_channels, eps, momentum)


@planted("one-tensor-for-both")
class OneTensorForBoth(BatchBase):
    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps, momentum)
        self.running_mean = self.running_var


@planted("buffers-not-registered")
class NumPyMemory(BatchBase):
    __init__ = start(BatchBase, running_mean=np.zeros, running_var=np.ones)

    def update(self, mean, var, x):
        self.running_mean += self.momentum * (mean.detach().numpy().ravel() - self.running_mean)
        self.running_var += self.momentum * (self.unbiased(var, x).detach().numpy().ravel() - self.running_var)

    def running(self):
        return [channels(torch.from_numpy(each).float()) for each in (self.running_mean, self.running_var)]


#: Layers that fail -> what the check must say.
BROKEN = {}


def broken(says, forward):
    layer = type("", (Base,), {"forward": forward})
    BROKEN[layer] = says
    return layer


def assert_three(self, x):
    assert x.shape[1] == 3, "three channels"
    return x


def loop(self, x):
    while True:
        x = x + 0


FailsByAssert = broken("AssertionError: three channels, line", assert_three)
FailsByKey = broken('x * {}["scale"]', lambda s, x: x * {}["scale"])
FailsByName = broken("name 'scal' is not defined", lambda s, x: x * scal)  # noqa: F821
FailsByZero = broken("ZeroDivisionError", lambda s, x: x * (1 / (len(x) - len(x))))
KeepdimForgotten = broken("use keepdim=True", lambda s, x: (x - x.mean(HW)) / x.var(HW).sqrt())
NoBuffersGiven = broken("registered as buffers", lambda s, x: F.batch_norm(x, None, None, s.weight, s.bias, s.training))
NeverReturns = broken("within 0.5 seconds", loop)
HangsInC = broken("within 0.5 seconds", lambda s, x: x + sum(iter(int, 1)))
EndsTheProcess = broken("exit code 3", lambda s, x: os._exit(3))

for _name, _layer in list(vars(sys.modules[__name__]).items()):
    if isinstance(_layer, type):
        _layer.__name__ = _name
BROKEN = {layer.__name__: says for layer, says in BROKEN.items()}
