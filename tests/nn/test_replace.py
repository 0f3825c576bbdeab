"""Norms of other people's networks are exchanged for ours: what is copied, what is left, and why."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torchvision.models import convnext_tiny, densenet121, get_model, resnet18
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import FrozenBatchNorm2d

import normzoo
from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchNorm, GroupNorm
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.sync import synchronize


@pytest.mark.parametrize("make", [resnet18, densenet121])
def test_group_norm_for_batch_norm_trains_a_step(make):
    network = make(weights=None, num_classes=4)
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


def test_running_statistics_of_instances_are_kept_as_such():
    old = nn.InstanceNorm2d(8, momentum=0.3, track_running_stats=True)
    old.running_mean.fill_(5)
    new = normzoo.replace_norms(old, "in").model
    assert new.running_mean.eq(5).all()
    assert new.momentum == 0.3
    assert not normzoo.replace_norms(nn.BatchNorm2d(8), "in").model.track_running_stats
    assert normzoo.replace_norms(old, "bn").model.running_mean.eq(0).all()


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
    before = copy.deepcopy(network)(x)
    state = network.state_dict()
    result = normzoo.replace_norms(normzoo.replace_norms(network, "bn").model, key)  # what has been exchanged can be again
    assert result.replaced == dict.fromkeys(("1", "3"), NORM_LAYERS[key].__name__)
    assert result.left == {}
    assert key == "nn" or {"1.weight", "1.bias"} <= network.state_dict().keys()
    assert key != "bn" or network.load_state_dict(state)
    norm = NORM_LAYERS[key](8)
    expected = nn.functional.silu(norm(network[2](nn.functional.silu(norm(network[0](x))))))
    torch.testing.assert_close(network(x), expected)
    assert key != "bn" or torch.allclose(expected, before, atol=1e-5)


@pytest.mark.parametrize("key", [key for key in NORM_LAYERS if key != "nn"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_optimizer_made_before_trains_the_network_after(key, device):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1), nn.InstanceNorm2d(8, affine=True))
    network.to(device)
    before = dict(network.named_parameters())
    normzoo.replace_norms(network, key)
    after = dict(network.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert {name.rpartition(".")[2] for name in after.keys() - before.keys()} == ({"gate"} if key == "bin" else set())
    assert {parameter.device.type for parameter in network.parameters()} == {device}
    assert network(torch.randn(2, 3, 6, 6, device=device)).shape == (2, 8, 4, 4)


def test_hooks_move_and_can_still_be_removed():
    network, seen = nn.Sequential(BatchNormAct2d(8)), []
    handles = [
        network[0].register_forward_pre_hook(lambda module, args: seen.append("before")),
        network[0].register_forward_hook(lambda module, args, kwargs, y: seen.append(y.min().item()), with_kwargs=True),
        network[0].register_full_backward_hook(lambda module, grad_in, grad_out: seen.append("backward")),
    ]
    normzoo.replace_norms(network, "gn")
    x = torch.randn(2, 8, 3, 3, requires_grad=True)
    network(x).sum().backward()
    assert seen == ["before", 0.0, "backward"]  # what the hook sees is activated, as it was
    for handle in handles:
        handle.remove()
    network(x).sum().backward()
    assert len(seen) == 3


class Double(nn.Module):
    def forward(self, weight):
        return 2 * weight


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda norm: nn.utils.parametrize.register_parametrization(norm, "weight", Double()), "weight of"),
        (lambda norm: prune.random_unstructured(norm, "bias", 0.5), "bias of"),
        (lambda norm: norm.register_state_dict_post_hook(lambda *args: None), "state-dict hooks"),
    ],
    ids=["parametrized", "pruned", "state dict"],
)
def test_what_would_not_hold_for_another_layer_is_left(change, reason):
    network, x = nn.Sequential(nn.BatchNorm2d(8)), torch.randn(2, 8, 3, 3)
    change(network[0])
    before = network(x)
    result = normzoo.replace_norms(network, "bn")
    assert reason in result.left["0"]
    torch.testing.assert_close(network(x), before)


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        ([nn.Conv1d(8, 8, 1), nn.GroupNorm(2, 8)], True),
        ([nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8), nn.Conv1d(8, 8, 1)], True),  # flattened between them, as before attention
        ([nn.ConvTranspose3d(8, 8, 1), nn.ReLU(), nn.SyncBatchNorm(8)], True),
        ([nn.GroupNorm(2, 8), nn.Conv3d(8, 8, 1)], True),
        ([nn.Linear(8, 8), nn.GroupNorm(2, 8), nn.Linear(8, 8)], True),
        ([nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8), nn.Linear(8, 8)], False),
        ([nn.Linear(8, 8), nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 1)], False),  # the time embedding of a diffusion model
        ([nn.Conv1d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8)], False),
    ],
    ids=lambda value: "-".join(type(layer).__name__ for layer in value) if isinstance(value, list) else str(value),
)
def test_norm_for_any_number_of_dimensions_is_left_where_no_maps_are(layers, left):
    network = nn.Sequential(*layers)
    result = normzoo.replace_norms(network, "ln")
    assert (len(result.left), len(result.replaced)) == ((1, 0) if left else (0, 1))
    assert normzoo.replace_norms(network, lambda channels: nn.GroupNorm(1, channels)).left == {}  # which takes them all


@pytest.mark.parametrize(
    ("norm", "reason"),
    [
        (FrozenBatchNorm2d(4), "buffers"),
        (LayerNorm2d(4), "every position over its 4 channels"),
        (nn.LayerNorm([4, 3, 3]), "one weight per value of"),
        (nn.RMSNorm(4), "subtracts no mean"),
        (nn.LazyBatchNorm2d(), "does not know its channels yet"),
        (nn.InstanceNorm3d(4), "not for maps"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reason_is_true_of_the_layer(norm, reason):
    assert reason in normzoo.replace_norms(nn.Sequential(norm), "bn").left["0"]


def test_what_is_left_is_named_with_the_reason():
    class Activated(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    network = nn.Sequential(nn.BatchNorm2d(12), Activated(16), nn.LayerNorm(5), FrozenBatchNorm2d(16), nn.BatchNorm1d(3))
    result = normzoo.replace_norms(network, "gn")
    assert result.replaced == {}
    assert list(result.left) == ["0", "1", "2", "3", "4"]
    assert result.left["0"] == "num_groups must divide num_channels (12), got 8."
    assert result.left["1"] == "Activated overrides the forward pass of BatchNorm2d."


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
    with pytest.raises(ConfigError, match="num_groups needs group norm"):
        normzoo.replace_norms(nn.BatchNorm2d(8), "bn", num_groups=2)


TIMM = (
    "convnext_atto dla34 efficientnet_lite0 fbnetc_100 ghostnet_050 hardcorenas_a lcnet_035 mixnet_s mobilenetv3_small_050 "
    "regnetx_002 repvgg_a0 res2net50_26w_4s resnet10t resnetv2_50d_gn rexnet_100 selecsls42 seresnet18 skresnet18 tinynet_e"
)
TORCHVISION = (
    "densenet121 efficientnet_b0 googlenet mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_x_400mf shufflenet_v2_x0_5"
)


@pytest.mark.process  # takes minutes
@pytest.mark.parametrize("name", [*TORCHVISION.split(), *(f"timm/{name}" for name in TIMM.split())])
def test_networks_of_all_families_answer_and_are_saved_as_before(name):
    library, _, short = name.rpartition("/")
    if library:
        network = pytest.importorskip("timm").create_model(short, num_classes=4)
    else:
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        network = get_model(name, weights=None, num_classes=4, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    keys, held, x = list(network.state_dict()), {id(p) for p in network.parameters()}, torch.randn(1, 3, 96, 96)
    norms = [layer for layer in network.modules() if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm))]
    with torch.no_grad():
        before = network.eval()(x)
        result = normzoo.replace_norms(network, "gn", num_groups=32) if "_gn" in name else normzoo.replace_norms(network, "bn")
        torch.testing.assert_close(result.model(x), before, atol=1e-4, rtol=1e-3)
    assert len(set(norms)) == len(result.replaced)
    assert list(result.model.state_dict()) == keys
    assert {id(p) for p in result.model.parameters()} == held
    assert all("LayerNorm2d normalizes every position" in reason for reason in result.left.values())
