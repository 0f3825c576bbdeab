"""What every norm makes of the input it is given: any precision, memory format or size, right or wrong."""

import copy

import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, GroupNorm, InstanceNorm, gates
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
def test_bfloat16_input_is_normalized_in_float32(key, training):
    layer = randomize(NORM_LAYERS[key](C)).train(training)
    twin = copy.deepcopy(layer)
    x = (30 + 0.5 * torch.randn(4, C, 5, 7)).bfloat16()  # squares and means would not survive 8 bits
    y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, twin(x.float()).bfloat16(), rtol=0, atol=0)
    torch.testing.assert_close(buffers(layer), buffers(twin), rtol=0, atol=0)


@MODES
@ALL
def test_autocast_leaves_statistics_in_float32(key, training):
    layer = randomize(NORM_LAYERS[key](C)).train(training)
    twin = copy.deepcopy(layer)
    for dtype in (torch.float32, torch.bfloat16):
        x = (30 + 0.5 * torch.randn(4, C, 5, 7)).to(dtype)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        assert y.dtype == dtype
        torch.testing.assert_close(y, twin(x), rtol=0, atol=0)
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
@ALL
def test_batch_without_images_teaches_nothing(key, training):
    layer = randomize(NORM_LAYERS[key](C)).train(training)
    before = buffers(layer)
    x = torch.zeros(0, C, 5, 7, requires_grad=True)
    y = layer(x)
    assert y.shape == x.shape
    y.sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.eq(0).all(), name
    if remembers(layer):
        before["num_batches_tracked"] += training  # as torch counts
    torch.testing.assert_close(buffers(layer), before, rtol=0, atol=0)


def test_batch_without_images_teaches_tracked_instance_norm_nothing():
    layer = randomize(InstanceNorm(C, track_running_stats=True))
    before = buffers(layer)
    layer(torch.zeros(0, C, 5, 7))
    torch.testing.assert_close(buffers(layer), before, rtol=0, atol=0)  # torch's are not numbers then


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
