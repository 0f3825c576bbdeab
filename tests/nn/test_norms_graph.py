"""The layers in the hands of torch and other tools: no native normalization, nothing that keeps a graph from being captured."""

import copy
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import replace_all_batch_norm_modules_
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils._python_dispatch import TorchDispatchMode

from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, InstanceNorm
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import buffers, randomize

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


KEYS = pytest.mark.parametrize("key", NORM_LAYERS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("norm_layer", [BatchNorm, BatchInstanceNorm, InstanceNorm])
def test_statistics_stay_once_they_are_no_longer_tracked(norm_layer):
    layer = randomize(norm_layer(C, track_running_stats=True))
    layer.track_running_stats = False
    before, x = buffers(layer), torch.randn(4, C, 3, 3)
    y = layer(x)
    torch.testing.assert_close(buffers(layer), before, rtol=0, atol=0)
    layer.track_running_stats = True
    torch.testing.assert_close(layer(x), y, rtol=0, atol=0)
    assert not layer.running_mean.equal(before["running_mean"])


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_no_longer_tracking_means_what_it_means_in_torch(training):
    ours, theirs = BatchNorm(C).double(), randomize(nn.BatchNorm2d(C).double())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, C, 3, 3, dtype=torch.float64)
    for layer in (ours, theirs):
        layer.train(training).track_running_stats = False
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))


def test_tools_know_the_layers_by_their_classes():
    """Which freeze, measure anew, fuse or replace batch norms, and initialize or decay the weights of norms apart."""
    bases = {key: layer.__mro__ for key, layer in NORM_LAYERS.items()}
    assert {key for key, found in bases.items() if _BatchNorm in found} == {"bn"}, "BIN's gate would be lost"
    assert {key for key, found in bases.items() if nn.BatchNorm2d in found} == {"bn"}
    assert {key for key, found in bases.items() if _NormBase in found} == {"bn", "in", "bin"}
    assert {key for key, found in bases.items() if nn.GroupNorm in found} == {"gn", "ln"}


def test_models_trained_side_by_side_can_do_without_statistics():
    network = replace_all_batch_norm_modules_(nn.Sequential(BatchNorm(C)))
    x = torch.randn(3, 4, C, 3, 3)
    torch.testing.assert_close(torch.func.vmap(network)(x), torch.stack([network(each) for each in x]))


def test_batch_norm_folds_into_the_convolution_before_it():
    network, x = nn.Sequential(nn.Conv2d(3, C, 3), randomize(BatchNorm(C))).eval(), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(nn.utils.fuse_conv_bn_eval(*network)(x), network(x))


def test_bin_refuses_to_be_folded_into_a_convolution() -> None:
    network = nn.Sequential(nn.Conv2d(3, C, 3), randomize(BatchInstanceNorm(C, eps=1e-3))).eval()
    assert network[1].eps == 1e-3
    with pytest.raises(ConfigError, match="no instance statistics"):
        nn.utils.fuse_conv_bn_eval(*network)


@KEYS
def test_traced_network_remembers_as_the_network_does(key):
    network = nn.Sequential(nn.Conv2d(3, C, 3), randomize(NORM_LAYERS[key](C)))
    traced, x = torch.fx.symbolic_trace(copy.deepcopy(network)), torch.randn(4, 3, 6, 6)
    torch.testing.assert_close(buffers(traced), buffers(network), rtol=0, atol=0)  # tracing alone is no batch
    for training in (True, True, False):
        torch.testing.assert_close(traced.train(training)(x), network.train(training)(x), rtol=0, atol=0)
    torch.testing.assert_close(buffers(traced), buffers(network), rtol=0, atol=0)
    with pytest.raises(ValueError, match="expected 8 channels"):
        torch.fx.symbolic_trace(nn.Sequential(BatchNorm(C)))(torch.randn(2, 3, 4, 4))


@pytest.mark.parametrize("key", [key for key in NORM_LAYERS if key != "nn"])
def test_script_is_refused_in_a_sentence_and_a_trace_is_right(key):
    network = nn.Sequential(nn.Conv2d(3, C, 3), randomize(NORM_LAYERS[key](C))).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's scripts and traces are deprecated
        with pytest.raises(ConfigError, match=r"torch\.jit\.trace"):
            torch.jit.script(network)
        traced = torch.jit.trace(network, torch.randn(2, 3, 6, 6))
    x = torch.randn(5, 3, 9, 7)
    torch.testing.assert_close(traced(x), network(x))


@pytest.mark.process  # the new exporter takes seconds
@pytest.mark.parametrize("is_new", [False, True], ids=["old", "new"])
def test_onnx_answers_as_torch_with_all_norms(is_new: bool, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    import onnxruntime

    blocks = [nn.Sequential(randomize(norm(C)), nn.ReLU(), nn.Conv2d(C, C, 1)) for norm in NORM_LAYERS.values()]
    network, path = nn.Sequential(nn.Conv2d(3, C, 3), *blocks).eval(), tmp_path / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter is deprecated, the new one has warnings of its own
        if is_new:
            sizes = ({0: torch.export.Dim.DYNAMIC},)
            torch.onnx.export(network, (torch.randn(2, 3, 9, 7),), path, dynamo=True, dynamic_shapes=sizes, verbose=False)
        else:
            example, names = torch.randn(2, 3, 9, 7), {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
            torch.onnx.export(network, (example,), str(path), dynamo=False, **names)
    session = onnxruntime.InferenceSession(path)
    for images in (2, 5):
        x = torch.randn(images, 3, 9, 7)
        (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(answer), network(x), atol=1e-5, rtol=1e-4)
