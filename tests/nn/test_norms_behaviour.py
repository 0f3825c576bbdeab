"""What every norm takes, holds and refuses: arguments, state dicts, input of any precision, memory format or size."""

import copy
import inspect
from functools import partial

import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm, gates
from normzoo.nn.registry import NORM_LAYERS, get_norm_layer
from tests.support.toy_models import buffers, randomize, remembers

C = 8
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
ALL = pytest.mark.parametrize("key", NORM_LAYERS)
REMEMBERING = pytest.mark.parametrize("norm_layer", [BatchNorm, BatchInstanceNorm])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@MODES
@ALL
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_statistics_are_in_float32(key, training, autocast, dtype):
    layer = randomize(NORM_LAYERS[key](C)).train(training)
    twin = copy.deepcopy(layer)
    x = (30 + 0.5 * torch.randn(4, C, 5, 7)).to(dtype)  # squares and means would not survive 8 bits
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = layer(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y, twin(x.float()).to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(buffers(layer), buffers(twin), rtol=0, atol=0)


@ALL
def test_float16_input_does_not_overflow(key):
    x = (1000 * torch.randn(4, C, 5, 7)).half()  # x² is past 65,504
    layer = NORM_LAYERS[key](C)
    torch.testing.assert_close(layer(x), layer(x.float()).half(), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@ALL
def test_layer_is_built_in_the_dtype_asked_for(key, dtype):
    built, cast = NORM_LAYERS[key](C, device="cpu", dtype=dtype), NORM_LAYERS[key](C).to(dtype)
    x = torch.randn(4, C, 5, 7).to(dtype)
    y = built(x)
    assert y.dtype == dtype
    assert y.isfinite().all()
    torch.testing.assert_close(y, cast(x), rtol=0, atol=0)
    torch.testing.assert_close(built.state_dict(), cast.state_dict(), rtol=0, atol=0)


@MODES
@ALL
def test_channels_last_in_channels_last_out(key, training):
    layer = randomize(NORM_LAYERS[key](C)).train(training)
    x = torch.randn(4, C, 5, 7).to(memory_format=torch.channels_last).requires_grad_()
    y = layer(x)
    y.backward(torch.randn_like(y))
    assert x.grad is not None
    for tensor in (y, x.grad):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert layer(x.detach().contiguous()).is_contiguous()


@MODES
@pytest.mark.parametrize("make", [*NORM_LAYERS.values(), partial(InstanceNorm, track_running_stats=True)], ids=str)
def test_batch_without_images_teaches_nothing(make, training):
    layer = randomize(make(C)).train(training)
    before = buffers(layer)
    x = torch.zeros(0, C, 5, 7, requires_grad=True)
    y = layer(x)
    assert y.shape == x.shape
    y.sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.eq(0).all(), name
    if remembers(layer) and not isinstance(layer, InstanceNorm):
        before["num_batches_tracked"] += training  # as torch counts
    torch.testing.assert_close(buffers(layer), before, rtol=0, atol=0)


@REMEMBERING
def test_one_value_per_channel_is_refused_where_the_batch_is_used(norm_layer):
    lone = torch.randn(1, C, 1, 1)
    tracked, untracked = norm_layer(C), norm_layer(C, track_running_stats=False)
    before = buffers(tracked)
    for layer in (tracked, untracked, untracked.eval()):
        with pytest.raises(ValueError, match=r"expected more than 1 .*got input of shape \(1, 8, 1, 1\)"):
            layer(lone)
    torch.testing.assert_close(buffers(tracked), before, rtol=0, atol=0)


def test_one_value_per_channel_is_fine_with_running_statistics():
    layer = randomize(BatchNorm(C)).eval()
    theirs = nn.BatchNorm2d(C).eval()
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(1, C, 1, 1)
    torch.testing.assert_close(layer(x), theirs(x))


@MODES
@pytest.mark.parametrize("norm_layer", [InstanceNorm, BatchInstanceNorm])
def test_single_pixel_is_refused_by_norms_over_the_pixels_of_one_channel(norm_layer, training):
    with pytest.raises(ValueError, match=r"expected more than 1 pixel .*got input of shape \(4, 8, 1, 1\)"):
        norm_layer(C).train(training)(torch.randn(4, C, 1, 1))


@pytest.mark.parametrize("key", [key for key in NORM_LAYERS if key != "nn"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [((C, 5), r"expected 4D input \(N, C, H, W\), got 2D\."), ((2, 3, 5, 5), r"expected 8 channels, got 3\.")],
)
def test_wrong_input_is_refused(key, shape, message):
    with pytest.raises(ValueError, match=message):
        NORM_LAYERS[key](C)(torch.randn(shape))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BatchNorm(0), "num_channels must be at least 1, got 0."),
        (lambda: InstanceNorm(C, eps=0), "eps must be positive, got 0."),
        (lambda: GroupNorm(C, 3), "num_groups must divide num_channels (8), got 3."),
        (lambda: GroupNorm(C, 0), "num_groups must divide num_channels (8), got 0."),
        (lambda: get_norm_layer("grup"), f"Unknown norm 'grup'. Choose one of: {', '.join(NORM_LAYERS)}."),
    ],
)
def test_bad_argument_says_what_is_allowed(build, message):
    with pytest.raises(ConfigError) as error:
        build()
    assert str(error.value) == message


def test_gates_are_found_in_any_depth():
    layers = nn.ModuleDict({"deep": nn.Sequential(BatchInstanceNorm(C), BatchNorm(C)), "gate": BatchInstanceNorm(4)})
    assert [gate.numel() for gate in gates(layers)] == [C, 4]
    assert not gates(BatchNorm(C))


TORCHS = {
    BatchNorm: nn.BatchNorm2d,
    BatchInstanceNorm: nn.BatchNorm2d,
    InstanceNorm: nn.InstanceNorm2d,
    GroupNorm: nn.GroupNorm,
    LayerNorm: nn.GroupNorm,
}


def options(layer):
    """A constructor's arguments behind the channels, and how they are given."""
    names = ("num_features", "num_channels", "num_groups")
    return [(p.name, p.kind) for p in inspect.signature(layer).parameters.values() if p.name not in names]


@pytest.mark.parametrize("ours", TORCHS)
def test_constructor_takes_torchs_options_in_torchs_order(ours):
    assert next(iter(inspect.signature(ours).parameters)) == "num_channels"
    assert options(ours) == options(TORCHS[ours])


def test_no_norm_takes_what_any_other_takes():
    for layer in NORM_LAYERS.values():
        given = [p for p in inspect.signature(layer).parameters.values() if p.default is not p.empty]
        by_place = [p.default for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert NoNorm(C, *by_place, **{p.name: p.default for p in given[len(by_place) :]}).state_dict() == {}
        NoNorm(C, **{p.name: p.default for p in given})


@ALL
def test_layer_built_without_memory_is_whole_once_it_is_loaded(key):
    whole = randomize(NORM_LAYERS[key](C))
    with torch.device("meta"):
        layer = NORM_LAYERS[key](C)
    layer.load_state_dict(whole.state_dict(), assign=True)
    x = torch.randn(4, C, 3, 3)
    for training in (True, False):
        torch.testing.assert_close(layer.train(training)(x), whole.train(training)(x), rtol=0, atol=0)


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
