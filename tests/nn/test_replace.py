"""Norms of other people's networks are exchanged for ours: what is copied, what is left, and why."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import convnext_tiny, densenet121, efficientnet_b0, mobilenet_v3_small, resnet18
from torchvision.ops import FrozenBatchNorm2d, StochasticDepth

import normzoo
from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchNorm, GroupNorm
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.sync import synchronize

NETWORKS = [resnet18, mobilenet_v3_small, densenet121, efficientnet_b0]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda make: make.__name__)
def trained(request):
    """A network whose running statistics are not those of the start."""
    torch.manual_seed(0)
    network = request.param(weights=None, num_classes=4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.num_batches_tracked.fill_(7)
    return network


def copy_of(network):
    return copy.deepcopy(network)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_for_batch_norm_gives_equal_outputs(trained, training):
    network = copy_of(trained).train(training)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if type(module).__name__ == "StochasticDepth":
            module.p = 0.0
    names = [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    x = torch.randn(2, 3, 64, 64)
    before = copy_of(network).double()(x.double())
    result = normzoo.replace_norms(network, "bn")
    assert result.model is network
    assert list(result.replaced) == names
    assert result.left == {}
    assert not any(type(module) is nn.BatchNorm2d for module in network.modules())
    torch.testing.assert_close(network.double()(x.double()), before)


def test_group_norm_for_batch_norm_trains_a_step(trained):
    network = copy_of(trained).train()
    for module in network.modules():
        if isinstance(module, StochasticDepth):
            module.p = 0.0  # a branch that is dropped would learn nothing
    result = normzoo.replace_norms(network, "gn", num_groups=4)
    assert result.left == {}
    layers = [module for module in network.modules() if isinstance(module, normzoo.GroupNorm)]
    assert len(layers) == len(result.replaced) > 10
    assert {layer.num_groups for layer in layers} == {4}
    before = [layer.weight.detach().clone() for layer in layers]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = nn.functional.cross_entropy(network(torch.randn(2, 3, 64, 64)), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert all((layer.weight != start).any() for layer, start in zip(layers, before, strict=True))


@pytest.mark.parametrize("key", NORM_LAYERS)
def test_every_norm_takes_the_place_with_what_means_the_same(key):
    old = nn.BatchNorm2d(16, eps=1e-3, momentum=0.01).double().eval()
    nn.init.normal_(old.weight)
    old.running_var.fill_(3)
    old.bias.requires_grad_(False)
    new = normzoo.replace_norms(old, key).model
    assert type(new) is NORM_LAYERS[key]
    assert not new.training
    if key != "nn":
        torch.testing.assert_close(new.weight, old.weight)
        assert (new.eps, new.weight.dtype, new.bias.requires_grad) == (1e-3, torch.float64, False)
    if key in ("bn", "bin"):
        torch.testing.assert_close(new.running_var, old.running_var)
        assert new.momentum == 0.01


def test_running_statistics_of_instances_are_not_taken_for_those_of_batches():
    old = nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
    old.running_mean.fill_(5)
    assert normzoo.replace_norms(old, "bn").model.running_mean.abs().max() == 0


def test_running_statistics_of_instances_are_kept_as_such():
    old = nn.InstanceNorm2d(8, momentum=0.3, track_running_stats=True)
    old.running_mean.fill_(5)
    new = normzoo.replace_norms(old, "in").model
    assert new.running_mean.eq(5).all()
    assert new.momentum == 0.3
    assert not normzoo.replace_norms(nn.BatchNorm2d(8), "in").model.track_running_stats


@pytest.mark.parametrize("key", [key for key in NORM_LAYERS if key != "nn"])
def test_what_it_does_not_learn_it_does_not_learn_after(key):
    plain = normzoo.replace_norms(nn.BatchNorm2d(8, affine=False), key).model
    unbiased = normzoo.replace_norms(nn.BatchNorm2d(8, bias=False), key).model
    assert (plain.weight, plain.bias, unbiased.bias) == (None, None, None)
    assert unbiased.weight is not None


@pytest.mark.parametrize("key", NORM_LAYERS)
def test_every_norm_of_ours_is_exchanged_too(key):
    old = GroupNorm(16, 4)
    nn.init.normal_(old.weight)
    new = normzoo.replace_norms(old, key).model
    assert type(new) is NORM_LAYERS[key]
    assert key == "nn" or new.weight.equal(old.weight)


def test_statistics_over_processes_stay_so():
    ours, theirs = synchronize(BatchNorm(8)), nn.SyncBatchNorm(8)
    assert all(normzoo.replace_norms(old, "bin").model.sync for old in (ours, theirs))
    assert not normzoo.replace_norms(nn.BatchNorm2d(8), "bin").model.sync
    assert type(normzoo.replace_norms(theirs, "gn").model) is GroupNorm


class BatchNormAct2d(nn.BatchNorm2d):
    """timm's, as far as it matters here: it takes norms by the name of their class, and its own activate."""

    __module__ = "timm.layers.norm_act"

    def __init__(self, num_features, act_layer=nn.ReLU):
        super().__init__(num_features)
        self.drop, self.act = nn.Identity(), act_layer()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


@pytest.mark.parametrize("key", NORM_LAYERS)
def test_norm_with_an_activation_keeps_the_activation(key):
    shared = BatchNormAct2d(8, nn.SiLU)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), shared, nn.Conv2d(8, 8, 1), shared)
    x = torch.randn(2, 3, 6, 6)
    before = copy_of(network)(x)
    result = normzoo.replace_norms(network, key)
    assert result.replaced == dict.fromkeys(("1", "3"), NORM_LAYERS[key].__name__)
    assert result.left == {}
    norm = NORM_LAYERS[key](8)
    expected = nn.functional.silu(norm(network[2](nn.functional.silu(norm(network[0](x))))))
    torch.testing.assert_close(network(x), expected)
    assert key != "bn" or torch.allclose(expected, before, atol=1e-5)


def test_what_is_left_is_named_with_the_reason():
    class Activated(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    network = nn.Sequential(nn.BatchNorm2d(12), Activated(16), nn.LayerNorm(5), FrozenBatchNorm2d(16), nn.BatchNorm1d(3))
    result = normzoo.replace_norms(network, "gn")
    assert result.replaced == {}
    assert list(result.left) == ["0", "1", "2", "3", "4"]
    assert result.left["0"] == "num_groups must divide num_channels (12), got 8."
    assert result.left["1"] == "Activated does more than the BatchNorm2d that it is made from."
    assert result.left["2"] == "LayerNorm does not normalize maps (N, C, H, W) with one weight and bias per channel."


def test_the_layer_norms_of_convnext_are_left():
    result = normzoo.replace_norms(convnext_tiny(weights=None), "gn")
    assert not result.replaced
    assert len(result.left) == 23


def test_a_layer_of_ones_own_is_made_with_the_channels_alone():
    result = normzoo.replace_norms(nn.Sequential(nn.BatchNorm2d(16)), lambda channels: nn.GroupNorm(4, channels))
    assert result.model[0].num_groups == 4
    assert result.replaced == {"0": "GroupNorm"}


def test_a_shared_layer_stays_shared():
    shared = nn.BatchNorm2d(8)
    network = nn.ModuleList([nn.Sequential(shared), nn.Sequential(shared)])
    normzoo.replace_norms(network, "ln")
    assert network[0][0] is network[1][0]


def test_groups_are_for_group_norm():
    with pytest.raises(ConfigError, match="num_groups is for group norm"):
        normzoo.replace_norms(nn.BatchNorm2d(8), "bn", num_groups=2)
