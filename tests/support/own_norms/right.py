"""Right layers in other people's styles, written anew: none of them may be blamed."""

import torch
from torch import nn
from torch.nn import BatchNorm2d, GroupNorm, InstanceNorm2d  # noqa: F401 - checked by name

import normzoo
from normzoo import BatchInstanceNorm, BatchNorm, InstanceNorm, LayerNorm, NoNorm  # noqa: F401 - checked by name

ZooGroupNorm = normzoo.GroupNorm


class AnnotatedBatchNorm(nn.Module):
    """In the style of annotated papers: `channels`, `scale`, `shift`, buffers `exp_…` that are replaced."""

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


class AnnotatedGroupNorm(nn.Module):
    """Groups first, as torch has it."""

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

    def __init__(self, num_channels, num_groups=32, eps=1e-5, affine=True):
        super().__init__(num_groups, num_channels, eps=eps, affine=affine)


class GroupNorm1(nn.GroupNorm):
    """Layer norm of the group-norm paper."""

    def __init__(self, num_channels, **kwargs):
        super().__init__(1, num_channels, **kwargs)


class OwnInstanceNorm(nn.Module):
    """With ε written into the code, and a linear algebra flavour."""

    def __init__(self, nf):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        var, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(var + 1e-5) * self.gamma[:, None, None] + self.beta[:, None, None]


class OfficialStyleBIN(nn.Module):
    """Batch-instance norm by two calls of torch's function."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.gate = nn.Parameter(torch.ones(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        batch = nn.functional.batch_norm(
            x, self.running_mean, self.running_var, None, None, self.training, self.momentum, self.eps
        )
        instance = nn.functional.instance_norm(x, eps=self.eps)
        gate = self.gate.view(1, -1, 1, 1)
        mixed = gate * batch + (1 - gate) * instance
        return mixed * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
