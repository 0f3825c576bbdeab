"""What every norm remembers: parameters, running statistics, other images."""

import copy

import pytest
import torch
from torch import nn

from normzoo.nn.batch_instance_norm import BatchInstanceNorm
from normzoo.nn.norms import BatchNorm
from normzoo.nn.registry import NORM_LAYERS
from tests.support.norm_state import buffers, randomize, remembers

C = 8
STATE = {  # torch's names
    "nn": [],
    "bn": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    "in": ["weight", "bias"],
    "bin": ["weight", "bias", "gate", "running_mean", "running_var", "num_batches_tracked"],
    "gn": ["weight", "bias"],
    "ln": ["weight", "bias"],
}
ALL = pytest.mark.parametrize("key", NORM_LAYERS)
REMEMBERING = pytest.mark.parametrize("norm_layer", [BatchNorm, BatchInstanceNorm])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("key", STATE)
def test_state_dict_has_torchs_names(key: str) -> None:
    assert list(NORM_LAYERS[key](C).state_dict()) == STATE[key]


@ALL
def test_layer_starts_and_restarts_as_the_identity_map_without_memory(key: str) -> None:
    layer, fresh = NORM_LAYERS[key](C), NORM_LAYERS[key](C)
    start = {"weight": 1, "bias": 0, "gate": 1, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    for name, tensor in fresh.state_dict().items():
        assert tensor.eq(start[name]).all(), name
    randomize(layer)(torch.randn(2, C, 3, 3))
    for reset in ("reset_parameters", "reset_running_stats"):
        getattr(layer, reset, lambda: None)()
    torch.testing.assert_close(layer.state_dict(), fresh.state_dict(), rtol=0, atol=0)


@ALL
def test_every_parameter_gets_a_gradient(key: str) -> None:
    layer = randomize(NORM_LAYERS[key](C))
    x = torch.randn(4, C, 5, 7, requires_grad=True)
    (layer(x) * torch.randn_like(x)).sum().backward()
    for name, tensor in [("input", x), *layer.named_parameters()]:
        assert tensor.grad is not None, name
        assert tensor.grad.ne(0).all(), name


@ALL
def test_copy_is_independent_and_equal(key: str) -> None:
    layer = randomize(NORM_LAYERS[key](C))
    twin = copy.deepcopy(layer)
    x = torch.randn(2, C, 4, 4)
    torch.testing.assert_close(twin(x), layer(x), rtol=0, atol=0)
    torch.testing.assert_close(twin.state_dict(), layer.state_dict(), rtol=0, atol=0)
    for one, other in zip(twin.state_dict().values(), layer.state_dict().values(), strict=True):
        assert one.data_ptr() != other.data_ptr()


@REMEMBERING
def test_momentum_none_averages_all_batches(norm_layer: type[BatchNorm]) -> None:
    layer = norm_layer(C, momentum=None)
    batches = torch.randn(5, 4, C, 3, 3) * torch.arange(1, 6).view(5, 1, 1, 1, 1)
    for batch in batches:
        layer(batch)
    assert layer.num_batches_tracked == 5
    torch.testing.assert_close(layer.running_mean, batches.mean((1, 3, 4)).mean(0))
    torch.testing.assert_close(layer.running_var, batches.var((1, 3, 4)).mean(0))  # unbiased


@REMEMBERING
def test_momentum_weighs_the_new_batch(norm_layer: type[BatchNorm]) -> None:
    layer = norm_layer(C, momentum=0.25)
    x = 3 * torch.randn(4, C, 3, 3) + 2
    layer(x)
    assert layer.num_batches_tracked == 1
    torch.testing.assert_close(layer.running_mean, 0.25 * x.mean((0, 2, 3)))
    torch.testing.assert_close(layer.running_var, 0.75 + 0.25 * x.var((0, 2, 3)))


@ALL
def test_evaluation_changes_nothing(key: str) -> None:
    layer = randomize(NORM_LAYERS[key](C)).eval()
    before = buffers(layer)
    layer(torch.randn(2, C, 4, 4))
    torch.testing.assert_close(buffers(layer), before, rtol=0, atol=0)


@REMEMBERING
def test_untracked_layer_has_no_memory_and_evaluates_on_its_batch(norm_layer: type[BatchNorm]) -> None:
    layer = norm_layer(C, track_running_stats=False)
    x = 3 * torch.randn(4, C, 3, 3) + 2
    assert not list(layer.buffers())
    torch.testing.assert_close(layer.eval()(x), norm_layer(C).train()(x), rtol=0, atol=0)


@ALL
def test_layer_without_affine_map_has_no_weight_and_no_bias(key: str) -> None:
    layer, full = NORM_LAYERS[key](C, affine=False), NORM_LAYERS[key](C)
    x = torch.randn(4, C, 3, 3)
    assert not {"weight", "bias"} & layer.state_dict().keys()
    torch.testing.assert_close(layer(x), full(x))


@ALL
def test_evaluation_treats_every_image_by_itself(key: str) -> None:
    layer = randomize(NORM_LAYERS[key](C)).double().eval()
    x = torch.randn(4, C, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.cat([layer(image[None]) for image in x]))


@ALL
def test_training_looks_across_images_only_where_there_is_memory(key: str) -> None:
    layer = NORM_LAYERS[key](C).double()
    if isinstance(layer, BatchInstanceNorm):
        nn.init.constant_(layer.gate, 0.5)
    x = torch.randn(4, C, 5, 5, dtype=torch.float64)
    other = torch.cat([x[:1], 5 * x[1:] + 1])
    assert torch.allclose(layer(x)[0], layer(other)[0]) != remembers(layer)
