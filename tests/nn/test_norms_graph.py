"""What the norms ask of torch: no native normalization, nothing that keeps a graph from being captured."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, InstanceNorm
from normzoo.nn.registry import NORM_LAYERS

C = 8
LAYERS = {
    **{key: partial(layer, C) for key, layer in NORM_LAYERS.items()},
    "bn-cumulative": partial(BatchNorm, C, momentum=None),
    "in-tracked": partial(InstanceNorm, C, track_running_stats=True),
    "bin-cumulative": partial(BatchInstanceNorm, C, momentum=None),
}
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
ALL = pytest.mark.parametrize("name", LAYERS)


class Spy(TorchDispatchMode):
    """Notes the name of every ATen operation, forward and backward."""

    def __init__(self):
        super().__init__()
        self.operations = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def operations(layer):
    """What one forward and backward pass asks of ATen."""
    x = torch.randn(4, C, 5, 7, requires_grad=True)
    with Spy() as spy:
        layer(x).sum().backward()
    return spy.operations


def normalizations(names):
    """native_batch_norm, cudnn_batch_norm, native_group_norm, native_layer_norm_backward, ..."""
    return {name for name in names if "norm" in name}


def host_syncs(names):
    """Operations that wait for the device to read a number from it: a CUDA graph cannot hold them."""
    return names & {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "unique2", "masked_select"}


@MODES
@ALL
def test_no_native_normalization_is_called(name, training):
    assert not normalizations(operations(LAYERS[name]().train(training)))


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm2d(C), nn.BatchNorm2d(C).eval(), nn.InstanceNorm2d(C), nn.GroupNorm(2, C), nn.LayerNorm([C, 5, 7])],
    ids=repr,
)
def test_spy_sees_torchs_normalizations(layer):
    assert normalizations(operations(layer))


@MODES
@ALL
def test_nothing_waits_for_the_device(name, training):
    layer = LAYERS[name]().train(training)
    assert not host_syncs(operations(layer))
    assert layer.to("meta")(torch.empty(4, C, 5, 7, device="meta")).shape == (4, C, 5, 7)  # there is no number to read


def test_spy_sees_torchs_host_sync():
    assert host_syncs(operations(nn.BatchNorm2d(C, momentum=None)))


@ALL
def test_buffers_stay_where_a_captured_graph_writes(name):
    layer = LAYERS[name]()
    before = {key: (id(buffer), buffer.data_ptr()) for key, buffer in layer.named_buffers()}
    for _ in range(2):
        operations(layer)
    assert {key: (id(buffer), buffer.data_ptr()) for key, buffer in layer.named_buffers()} == before
    assert not any(buffer.requires_grad for buffer in layer.buffers())


def step(layer, module, x):
    """Output, input gradient, state and parameter gradients of one pass."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    assert x.grad is not None
    grads = {f"{name}.grad": p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {"output": y.detach(), "input.grad": x.grad, **copy.deepcopy(module.state_dict()), **grads}


@MODES
def test_all_compile_without_graph_break(training):
    torch.manual_seed(0)
    torch._dynamo.reset()
    eager = nn.Sequential(*(make() for make in LAYERS.values())).train(training)
    module = copy.deepcopy(eager)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, C, 4, 5)
    torch.testing.assert_close(step(compiled, module, x), step(eager, eager, x))


@MODES
def test_all_export_with_a_dynamic_batch(training):
    torch.manual_seed(0)
    layers = nn.Sequential(*(make() for make in LAYERS.values())).train(training)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(copy.deepcopy(layers), (torch.randn(4, C, 4, 5),), dynamic_shapes=({0: batch},))
    exported = program.module()
    for n in (4, 7):
        x = torch.randn(n, C, 4, 5)
        torch.testing.assert_close(exported(x), layers(x))
    torch.testing.assert_close(dict(exported.state_dict()), dict(layers.state_dict()))
