"""Wrong layers, each with one mistake that people really make; the check must name every one of them."""

import torch
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


# Axes and groups


class GroupNormOverRows(GroupBase):
    """The (1, 2, 3) of a five-dimensional map: the groups have no say."""

    dims = (1, 2, 3)


class BatchNormOverEverything(BatchBase):
    dims = (0, 1, 2, 3)


class InstanceNormOverBatch(Base):
    dims = (0, 2, 3)


class LayerNormOverChannels(Base):
    dims = (1,)


class InterleavedGroupNorm(GroupBase):
    def normalize(self, x):
        n, c, h, w = x.shape
        grouped = x.reshape(n, c // self.num_groups, self.num_groups, h, w).transpose(1, 2)
        return Base.normalize(self, grouped).transpose(1, 2).reshape(x.shape)


class SwappedGroupNorm(GroupBase):
    def split(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, c // self.num_groups, self.num_groups, h, w)


class ScrambledBatchNorm(BatchBase):
    def normalize(self, x):
        if not self.training:
            return super().normalize(x)
        rows = x.reshape(x.shape[1], -1)
        mean, var = rows.mean(1, keepdim=True), rows.var(1, keepdim=True, correction=0)
        self.update(mean, var, x)
        return self.divide(rows - mean, var).reshape(x.shape)


# Variance and ε


class UnbiasedInstanceNorm(Base):
    def moments(self, x):
        return x.mean(self.dims, keepdim=True), x.var(self.dims, keepdim=True)


class UnbiasedGroupNorm(GroupBase):
    def moments(self, x):
        return x.mean(self.dims, keepdim=True), x.var(self.dims, keepdim=True)


class UnbiasedBatchNorm(BatchBase):
    def moments(self, x):
        return x.mean(self.dims, keepdim=True), x.var(self.dims, keepdim=True)

    def unbiased(self, var, x):
        return var


class MeanOfVariancesBatchNorm(BatchBase):
    def moments(self, x):
        return x.mean(self.dims, keepdim=True), x.var((2, 3), correction=0, keepdim=True).mean(0, keepdim=True)


class EpsOnDeviationBatchNorm(BatchBase):
    def divide(self, centred, var):
        return centred / (var.sqrt() + self.eps)


class EpsOutsideInstanceNorm(Base):
    def divide(self, centred, var):
        return centred / torch.sqrt(var) + self.eps


class NoEpsLayerNorm(Base):
    dims = (1, 2, 3)

    def divide(self, centred, var):
        return centred / torch.sqrt(var)


class SquaredEpsBatchNorm(BatchBase):
    def divide(self, centred, var):
        return centred / torch.sqrt(var + self.eps**2)


class VarianceForDeviationInstanceNorm(Base):
    def divide(self, centred, var):
        return centred / (var + self.eps)


class IgnoredEpsInstanceNorm(Base):
    def divide(self, centred, var):
        return centred / torch.sqrt(var + 1e-3)


class CancellingLayerNorm(Base):
    dims = (1, 2, 3)

    def moments(self, x):
        mean = x.mean(self.dims, keepdim=True)
        return mean, ((x**2).mean(self.dims, keepdim=True) - mean**2).clamp_min(0)


class LearnedEpsInstanceNorm(Base):
    def __init__(self, num_channels):
        super().__init__(num_channels)
        self.eps = nn.Parameter(torch.tensor([1e-5]))


# Affine map


class NoAffineInstanceNorm(Base):
    def affine(self, normalized):
        return normalized


class NoWeightLayerNorm(Base):
    dims = (1, 2, 3)

    def affine(self, normalized):
        return normalized + channels(self.bias)


class NoBiasBatchNorm(BatchBase):
    def affine(self, normalized):
        return normalized * channels(self.weight)


class SwappedAffineInstanceNorm(Base):
    def affine(self, normalized):
        return normalized * channels(self.bias) + channels(self.weight)


class BiasFirstInstanceNorm(Base):
    def affine(self, normalized):
        return (normalized + channels(self.bias)) * channels(self.weight)


class PlainTensorsInstanceNorm(Base):
    def __init__(self, num_channels, eps=1e-5):
        nn.Module.__init__(self)
        self.num_channels, self.eps = num_channels, eps
        self.weight = torch.ones(num_channels, requires_grad=True)
        self.bias = torch.zeros(num_channels, requires_grad=True)


class BroadcastShapeBatchNorm(BatchBase):
    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps, momentum)
        self.weight = nn.Parameter(torch.ones(1, num_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, num_channels, 1, 1))


class PixelwiseLayerNorm(nn.LayerNorm):
    """(C, H, W) weights: bound to one image size."""

    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)


# Running statistics


class ReversedMomentumBatchNorm(BatchBase):
    def share(self):
        return 1 - self.momentum


class BiasedMemoryBatchNorm(BatchBase):
    def unbiased(self, var, x):
        return var


class ZeroStartBatchNorm(BatchBase):
    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps, momentum)
        self.register_buffer("running_var", torch.zeros(num_channels))


class PlainAttributesBatchNorm(BatchBase):
    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps, momentum)
        del self.running_mean, self.running_var
        self.running_mean, self.running_var = torch.zeros(num_channels), torch.ones(num_channels)


class RunningInTrainingBatchNorm(BatchBase):
    def normalize(self, x):
        if self.training:
            self.update(*self.moments(x), x)
        return self.divide(x - channels(self.running_mean), channels(self.running_var))


class BatchInEvaluationBatchNorm(BatchBase):
    def normalize(self, x):
        mean, var = self.moments(x)
        if self.training:
            self.update(mean, var, x)
        return self.divide(x - mean, var)


class CorrectedInEvaluationBatchNorm(BatchBase):
    def normalize(self, x):
        if self.training:
            return super().normalize(x)
        return self.divide(x - channels(self.running_mean), self.unbiased(channels(self.running_var), x))


class MovesInEvaluationBatchNorm(BatchBase):
    def normalize(self, x):
        mean, var = self.moments(x)
        self.update(mean, var, x)
        if not self.training:
            mean, var = channels(self.running_mean), channels(self.running_var)
        return self.divide(x - mean, var)


class GradModeBatchNorm(BatchBase):
    def is_training(self):
        return torch.is_grad_enabled()


class MovingAverageInstanceNorm(Base):
    """Averages with a row per image of the batch."""

    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__(num_channels, eps)
        self.momentum = momentum
        self.mean, self.var = torch.zeros(()), torch.ones(())

    def normalize(self, x):
        if self.training:
            mean, var = self.moments(x)
            self.mean = (1 - self.momentum) * self.mean + self.momentum * mean.detach()
            self.var = (1 - self.momentum) * self.var + self.momentum * var.detach()
            return self.divide(x - mean, var)
        return self.divide(x - self.mean, self.var)


# Gradients, input, hooks


class DetachedBatchNorm(BatchBase):
    def moments(self, x):
        return tuple(each.detach() for each in super().moments(x))


class DetachedMeanInstanceNorm(Base):
    def moments(self, x):
        mean, var = super().moments(x)
        return mean.detach(), var


class DetachedVarianceLayerNorm(Base):
    dims = (1, 2, 3)

    def moments(self, x):
        mean, var = super().moments(x)
        return mean, var.detach()


class InPlaceInstanceNorm(Base):
    def normalize(self, x):
        mean, var = self.moments(x)
        x -= mean
        return x / torch.sqrt(var + self.eps)


class CallInstanceNorm(Base):
    def __call__(self, x):
        return self.forward(x)


# Gates


class ReversedGateBIN(GateBase):
    def mix(self):
        return 1 - channels(self.gate)


class ClampedGateBIN(GateBase):
    def mix(self):
        return channels(self.gate.clamp(0, 1))


class SigmoidGateBIN(GateBase):
    def mix(self):
        return channels(torch.sigmoid(self.gate))


class ConstantGateBIN(GateBase):
    def make_gate(self, num_channels):
        self.rho = 0.5

    def mix(self):
        return self.rho


class RewrappedGateBIN(GateBase):
    """A new parameter in each forward pass: the optimizer holds the old one."""

    def mix(self):
        self.gate = nn.Parameter(self.gate.clamp(0, 1))
        return channels(self.gate)


class ZeroGateBIN(GateBase):
    def make_gate(self, num_channels):
        self.rho = nn.Parameter(torch.zeros(num_channels))

    def mix(self):
        return channels(self.rho)


class ScalarGateBIN(GateBase):
    def make_gate(self, num_channels):
        self.rho = nn.Parameter(torch.ones(1))

    def mix(self):
        return self.rho


class BatchInEvaluationBIN(GateBase):
    def is_training(self):
        return True


# Two at a time, as in public solutions


class BiasedAndReversedBatchNorm(ReversedMomentumBatchNorm):
    def unbiased(self, var, x):
        return var


class UnbiasedEpsOnDeviationInstanceNorm(UnbiasedInstanceNorm):
    def divide(self, centred, var):
        return centred / (var.sqrt() + self.eps)


class _Batch(nn.Module):
    """Batch norm with the steps that people get wrong as methods."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.eps, self.momentum = eps, momentum

    def statistics(self, x):
        return x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)

    def remembered(self, x, mean, var):
        n = x.numel() / x.shape[1]
        return var * n / (n - 1)

    def remember(self, x, mean, var):
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(self.remembered(x, mean, var), self.momentum)

    def forward(self, x):
        if self.training:
            mean, var = self.statistics(x)
            self.remember(x, mean, var)
        else:
            mean, var = self.running_mean, self.running_var
        return self.apply_affine((x - mean[:, None, None]) / (var[:, None, None] + self.eps).sqrt())

    def apply_affine(self, y):
        return y * self.weight[:, None, None] + self.bias[:, None, None]


class GraphKept(_Batch):
    def remember(self, x, mean, var):
        self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
        self.running_var = (1 - self.momentum) * self.running_var + self.momentum * self.remembered(x, mean, var)


class CorrectedByImages(_Batch):
    def remembered(self, x, mean, var):
        return var * len(x) / (len(x) - 1)


class DeviationRemembered(_Batch):
    def remembered(self, x, mean, var):
        return super().remembered(x, mean, var).sqrt()


class AboutRunningMean(_Batch):
    def remember(self, x, mean, var):
        with torch.no_grad():
            self.running_var.lerp_(var + (mean - self.running_mean).square(), self.momentum)
            self.running_mean.lerp_(mean, self.momentum)


class FirstBatchCopied(_Batch):
    started = False

    def remember(self, x, mean, var):
        with torch.no_grad():
            share = self.momentum if self.started else 1.0
            self.started = True
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(self.remembered(x, mean, var), share)


class UpdatedTwice(_Batch):
    def remember(self, x, mean, var):
        super().remember(x, mean, var)
        super().remember(x, mean, var)


class NeverMoved(_Batch):
    def remember(self, x, mean, var):
        pass


class Float64Buffers(_Batch):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        self.running_mean = self.running_mean.double()
        self.running_var = self.running_var.double()

    def remember(self, x, mean, var):
        super().remember(x, mean.double(), var.double())


class FirstImageOnly(_Batch):
    def statistics(self, x):
        return super().statistics(x[:1])

    def remembered(self, x, mean, var):
        return super().remembered(x[:1], mean, var)


class WeightTimesX(_Batch):
    def forward(self, x):
        super().forward(x)
        return self.apply_affine(x)


class NoEpsInEvaluation(_Batch):
    def forward(self, x):
        if self.training:
            return super().forward(x)
        return self.apply_affine((x - self.running_mean[:, None, None]) / self.running_var[:, None, None].sqrt())


class NoAffineInEvaluation(_Batch):
    def apply_affine(self, y):
        return super().apply_affine(y) if self.training else y


class ActivationInside(_Batch):
    def apply_affine(self, y):
        return super().apply_affine(y).relu()


_STATISTICS = {}


class SharedDict(_Batch):
    """The statistics of all layers in one dict of the module."""

    def remember(self, x, mean, var):
        _STATISTICS["mean"] = 0.9 * _STATISTICS.get("mean", 0.0) + 0.1 * mean.detach()
        _STATISTICS["var"] = 0.9 * _STATISTICS.get("var", 1.0) + 0.1 * var.detach()

    def forward(self, x):
        if self.training or not _STATISTICS:
            return super().forward(x)
        y = (x - _STATISTICS["mean"][:, None, None]) / (_STATISTICS["var"][:, None, None] + self.eps).sqrt()
        return self.apply_affine(y)


class ClassParameters(nn.Module):
    weight = nn.Parameter(torch.ones(16))
    bias = nn.Parameter(torch.zeros(16))

    def __init__(self, num_features):
        super().__init__()

    def forward(self, x):
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        return (x - mean) / (var + 1e-5).sqrt() * self.weight[:, None, None] + self.bias[:, None, None]


class FixedGroups(nn.GroupNorm):
    def __init__(self, num_groups, num_channels):
        super().__init__(4, num_channels)


class MeanKept(nn.Module):
    def __init__(self, c, eps=1e-5):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))
        self.eps = eps

    def forward(self, x):
        y = x * (x.square().mean((1, 2, 3), keepdim=True) + self.eps).rsqrt()
        return y * self.weight[:, None, None] + self.bias[:, None, None]


class TwoAffinesBIN(_Batch):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        self.gate = nn.Parameter(torch.ones(num_features))

    def apply_affine(self, y):
        return super().apply_affine(super().apply_affine(y))

    def forward(self, x):
        if self.training:
            mean, var = self.statistics(x)
            self.remember(x, mean, var)
        else:
            mean, var = self.running_mean, self.running_var
        batch = (x - mean[:, None, None]) / (var[:, None, None] + self.eps).sqrt()
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        instance = (x - mean) / (var + self.eps).sqrt()
        gate = self.gate[:, None, None]
        return self.apply_affine(gate * batch + (1 - gate) * instance)


class FailsByAssert(_Batch):
    def forward(self, x):
        assert x.shape[1] == 3, "three channels"
        return x


class FailsByKey(_Batch):
    def forward(self, x):
        return x * {}["scale"]


class FailsByName(_Batch):
    def forward(self, x):
        return x * scal  # noqa: F821


class FailsByZero(_Batch):
    def forward(self, x):
        return x * (1 / (len(x) - len(x)))


class KeepdimForgotten(_Batch):
    def forward(self, x):
        return (x - x.mean((2, 3))) / x.var((2, 3)).sqrt()


class NeverReturns(_Batch):
    def forward(self, x):
        while True:
            x = x + 0
