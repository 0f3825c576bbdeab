"""The layers among other people's tools: each re-enacts the check that the tool makes, or calls torch's own."""

import copy
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import replace_all_batch_norm_modules_
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops._utils import split_normalization_params

from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, InstanceNorm
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import buffers, randomize

C = 8
ALL = pytest.mark.parametrize("key", NORM_LAYERS)


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


def test_layer_built_without_statistics_can_be_set_to_track():  # Lightning's BackboneFinetuning, thawing
    layer, x = BatchNorm(C, track_running_stats=False), torch.randn(4, C, 3, 3)
    layer.track_running_stats = True
    torch.testing.assert_close(layer(x), nn.BatchNorm2d(C)(x))


def freeze_like_lightning(network):
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False


def freeze_like_timm(network):
    if isinstance(network, nn.BatchNorm2d | nn.SyncBatchNorm):  # timm has a module of its own for it
        scale = network.weight * (network.running_var + network.eps).rsqrt()
        frozen = nn.Conv2d(network.num_features, network.num_features, 1, groups=network.num_features)
        with torch.no_grad():
            frozen.weight.copy_(scale.view(-1, 1, 1, 1))
            frozen.bias.copy_(network.bias - network.running_mean * scale)
        return frozen.requires_grad_(False)
    for name, child in network.named_children():
        setattr(network, name, freeze_like_timm(child))
    return network


def test_batch_norms_are_found_by_those_who_freeze_them():
    network, x = nn.Sequential(nn.Conv2d(3, C, 3), randomize(BatchNorm(C))), torch.randn(2, 3, 6, 6)
    before, y = buffers(network), copy.deepcopy(network).eval()(x)
    freeze_like_lightning(network)
    network(x)
    torch.testing.assert_close(buffers(network), before, rtol=0, atol=0)
    frozen = freeze_like_timm(network)
    assert not any(isinstance(module, BatchNorm) for module in frozen.modules())
    torch.testing.assert_close(frozen(x), y)


def test_update_bn_measures_the_statistics_anew():
    network, batches = nn.Sequential(randomize(BatchNorm(C))), torch.randn(5, 4, C, 3, 3)
    update_bn(batches, network)
    assert network[0].num_batches_tracked == 5
    torch.testing.assert_close(network[0].running_mean, batches.mean((0, 1, 3, 4)))
    assert network[0].momentum == 0.1


def test_bin_is_measured_anew_as_the_readme_says():
    layer, batches = randomize(BatchInstanceNorm(C)), torch.randn(5, 4, C, 3, 3)
    layer.reset_running_stats()
    layer.momentum = None
    for batch in batches:
        layer(batch)
    torch.testing.assert_close(layer.running_mean, batches.mean((0, 1, 3, 4)))


def test_parameters_of_every_norm_are_told_from_the_others():
    norms = [layer(C) for layer in NORM_LAYERS.values()]
    found, others = split_normalization_params(nn.Sequential(nn.Conv2d(3, C, 1), *norms))
    assert {id(p) for p in found} == {id(p) for norm in norms for p in norm.parameters()}
    assert len(others) == 2


def test_usual_initialization_finds_every_affine_map():
    for key, norm_layer in NORM_LAYERS.items():  # torchvision's, with its zeros in the last norm of every block
        network = resnet18(norm_layer=norm_layer, zero_init_residual=True, num_classes=5)
        assert key == "nn" or network.layer1[0].bn2.weight.eq(0).all()


def test_bin_keeps_its_gate_where_every_batch_norm_is_replaced():
    network = nn.Sequential(BatchNorm(C), BatchInstanceNorm(C))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    assert [type(layer) for layer in converted] == [nn.SyncBatchNorm, BatchInstanceNorm]
    assert converted[0].weight.equal(network[0].weight)
    assert type(freeze_like_timm(copy.deepcopy(network))[1]) is BatchInstanceNorm


def test_models_trained_side_by_side_can_do_without_statistics():
    network = replace_all_batch_norm_modules_(nn.Sequential(BatchNorm(C)))
    x = torch.randn(3, 4, C, 3, 3)
    torch.testing.assert_close(torch.func.vmap(network)(x), torch.stack([network(each) for each in x]))


def test_batch_norm_folds_into_the_convolution_before_it():
    network, x = nn.Sequential(nn.Conv2d(3, C, 3), randomize(BatchNorm(C))).eval(), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(nn.utils.fuse_conv_bn_eval(*network)(x), network(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's quantization is about to move elsewhere
        from torch.ao.quantization import fuse_conv_bn, fuse_modules

        by_type = {"additional_fuser_method_mapping": {(nn.Conv2d, BatchNorm): fuse_conv_bn}}
        fused = fuse_modules(copy.deepcopy(network), ["0", "1"], fuse_custom_config_dict=by_type)
    assert [type(layer) for layer in fused] == [nn.Conv2d, nn.Identity]
    torch.testing.assert_close(fused(x), network(x))


def test_bin_refuses_to_be_folded_into_a_convolution() -> None:
    network = nn.Sequential(nn.Conv2d(3, C, 3), randomize(BatchInstanceNorm(C, eps=1e-3))).eval()
    assert network[1].eps == 1e-3
    with pytest.raises(ConfigError, match="no instance statistics"):
        nn.utils.fuse_conv_bn_eval(*network)


@ALL
def test_features_are_extracted_by_name(key):
    network = resnet18(norm_layer=NORM_LAYERS[key], num_classes=5).eval()
    x, seen = torch.randn(2, 3, 64, 64), []
    network.layer2[0].bn1.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    network(x)
    features = create_feature_extractor(network, ["layer1", "layer2.0.bn1"])(x)
    torch.testing.assert_close(features["layer2.0.bn1"], seen[0], rtol=0, atol=0)


@ALL
def test_traced_network_remembers_as_the_network_does(key):
    network = nn.Sequential(nn.Conv2d(3, C, 3), randomize(NORM_LAYERS[key](C)))
    traced, x = torch.fx.symbolic_trace(copy.deepcopy(network)), torch.randn(4, 3, 6, 6)
    torch.testing.assert_close(buffers(traced), buffers(network), rtol=0, atol=0)  # tracing alone is no batch
    for training in (True, True, False):
        torch.testing.assert_close(traced.train(training)(x), network.train(training)(x), rtol=0, atol=0)
    torch.testing.assert_close(buffers(traced), buffers(network), rtol=0, atol=0)
    with pytest.raises(ValueError, match="expected 8 channels"):
        torch.fx.symbolic_trace(nn.Sequential(BatchNorm(C)))(torch.randn(2, 3, 4, 4))


@ALL
def test_network_is_prepared_for_quantization(key):
    network = nn.Sequential(nn.Conv2d(3, C, 3), randomize(NORM_LAYERS[key](C)), nn.ReLU(), nn.Conv2d(C, 4, 3)).eval()
    x = torch.randn(2, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's quantization is about to move elsewhere
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import prepare_fx

        prepared = prepare_fx(copy.deepcopy(network), get_default_qconfig_mapping(), (x,))
        torch.testing.assert_close(prepared(x), network(x), rtol=0.2, atol=0.2)


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
