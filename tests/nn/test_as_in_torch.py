"""What a layer takes, holds and refuses, as torch's own do: arguments, state dicts, input."""

import inspect
import itertools

import pytest
import torch
from torch import nn

from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import buffers, randomize

C = 8
ALL = pytest.mark.parametrize("key", NORM_LAYERS)
REMEMBERING = pytest.mark.parametrize("norm_layer", [BatchNorm, BatchInstanceNorm])
TORCHS = {
    BatchNorm: nn.BatchNorm2d,
    BatchInstanceNorm: nn.BatchNorm2d,
    InstanceNorm: nn.InstanceNorm2d,
    GroupNorm: nn.GroupNorm,
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def options(layer):
    """A constructor's arguments behind the channels, and how they are given."""
    names = ("num_features", "num_channels", "num_groups")
    return [(p.name, p.kind) for p in inspect.signature(layer).parameters.values() if p.name not in names]


@pytest.mark.parametrize("ours", TORCHS)
def test_constructor_takes_torchs_options_in_torchs_order(ours):
    assert next(iter(inspect.signature(ours).parameters)) == "num_channels"
    assert options(ours) == options(TORCHS[ours])


def test_layer_norm_takes_what_group_norm_takes_but_groups():
    assert options(LayerNorm) == options(GroupNorm)


def test_no_norm_takes_what_any_other_takes():
    for layer in NORM_LAYERS.values():
        given = [p for p in inspect.signature(layer).parameters.values() if p.default is not p.empty]
        by_place = [p.default for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert NoNorm(C, *by_place, **{p.name: p.default for p in given[len(by_place) :]}).state_dict() == {}
        NoNorm(C, **{p.name: p.default for p in given})


@ALL
def test_layer_without_bias_has_its_weight_alone(key):
    layer, full = NORM_LAYERS[key](C, bias=False), NORM_LAYERS[key](C)
    assert full.state_dict().keys() - layer.state_dict().keys() == {"bias"} & full.state_dict().keys()
    layer.reset_parameters() if key != "nn" else None
    x = torch.randn(4, C, 3, 3)
    torch.testing.assert_close(layer(x), full(x))
    assert "bias=False" in repr(layer) or key == "nn"


def built_without_memory(key, state):
    with torch.device("meta"):
        layer = NORM_LAYERS[key](C)
    layer.load_state_dict(state, assign=True)
    return layer


def emptied(key, state):
    layer = NORM_LAYERS[key](C, device="meta").to_empty(device="cpu")
    layer.load_state_dict(state)
    return layer


def skipped(key, state):
    layer = nn.utils.skip_init(NORM_LAYERS[key], C)
    layer.load_state_dict(state)
    return layer


@pytest.mark.parametrize("build", [built_without_memory, emptied, skipped])
@ALL
def test_layer_built_without_memory_is_whole_once_it_is_loaded(key, build):
    whole = randomize(NORM_LAYERS[key](C))
    layer = build(key, whole.state_dict())
    x = torch.randn(4, C, 3, 3)
    for training in (True, False):
        torch.testing.assert_close(layer.train(training)(x), whole.train(training)(x), rtol=0, atol=0)


@ALL
def test_layer_built_without_memory_is_whole_once_it_is_reset(key):
    layer = nn.Sequential(NORM_LAYERS[key](C, device="meta")).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in itertools.chain(layer.parameters(), layer.buffers()):
            tensor.fill_(7)
    for module in layer:
        if any(True for _ in module.parameters()):
            module.reset_parameters()
    torch.testing.assert_close(layer[0].state_dict(), NORM_LAYERS[key](C).state_dict(), rtol=0, atol=0)
    x = torch.randn(4, C, 3, 3)
    torch.testing.assert_close(layer(x), NORM_LAYERS[key](C)(x), rtol=0, atol=0)


@REMEMBERING
def test_states_from_before_batches_were_counted_load(norm_layer):
    state = dict(randomize(norm_layer(C)).state_dict())
    del state["num_batches_tracked"]
    layer = norm_layer(C)
    layer.load_state_dict(state)
    assert layer.num_batches_tracked == 0
    torch.testing.assert_close(layer.running_mean, state["running_mean"])


def test_states_of_today_must_be_whole_as_in_torch():
    state = BatchNorm(C).state_dict()
    assert state._metadata[""]["version"] == nn.BatchNorm2d(C).state_dict()._metadata[""]["version"] == 2
    del state["num_batches_tracked"]
    for layer in (BatchNorm(C), nn.BatchNorm2d(C)):
        with pytest.raises(RuntimeError, match=r"Missing key\(s\).*num_batches_tracked"):
            layer.load_state_dict(state)


@ALL
def test_layer_starts_and_restarts_as_the_identity_map_without_memory(key):
    layer, fresh = NORM_LAYERS[key](C), NORM_LAYERS[key](C)
    start = {"weight": 1, "bias": 0, "gate": 1, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    for name, tensor in fresh.state_dict().items():
        assert tensor.eq(start[name]).all(), name
    randomize(layer)(torch.randn(2, C, 3, 3))
    for reset in ("reset_parameters", "reset_running_stats"):
        getattr(layer, reset, lambda: None)()
    torch.testing.assert_close(layer.state_dict(), fresh.state_dict(), rtol=0, atol=0)


@REMEMBERING
def test_momentum_none_averages_all_batches(norm_layer):
    layer = norm_layer(C, momentum=None)
    batches = torch.randn(5, 4, C, 3, 3) * torch.arange(1, 6).view(5, 1, 1, 1, 1)
    for batch in batches:
        layer(batch)
    assert layer.num_batches_tracked == 5
    torch.testing.assert_close(layer.running_mean, batches.mean((1, 3, 4)).mean(0))
    torch.testing.assert_close(layer.running_var, batches.var((1, 3, 4)).mean(0))  # unbiased


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("key", [key for key in NORM_LAYERS if key != "nn"])
def test_numbers_that_are_not_floating_point_are_refused(key, dtype, training):
    layer = NORM_LAYERS[key](C).train(training)
    before = buffers(layer)
    with pytest.raises(
        TypeError, match=rf"expected floating-point input, got {dtype}\. Convert it first, for example by x\.float\(\)"
    ):
        layer(torch.ones(2, C, 3, 3).to(dtype))
    torch.testing.assert_close(buffers(layer), before, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "untracked"])
def test_instance_norm_takes_a_single_image_as_torchs_does(training, tracked):
    theirs = randomize(nn.InstanceNorm2d(C, affine=True, track_running_stats=tracked).double()).train(training)
    ours = InstanceNorm(C, track_running_stats=tracked).double().train(training)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(C, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(buffers(ours), buffers(theirs))
