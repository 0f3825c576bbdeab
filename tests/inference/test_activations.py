"""What goes on inside a network: moments around each norm, feature maps, gates."""

import numpy as np
import pytest
import torch

from normzoo.errors import ConfigError
from normzoo.inference.activations import blocks, feature_maps, layer_activations, layer_gates, norm_layers
from normzoo.inference.predict import as_batch
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import ResNet
from tests.support.toy_models import make_model, make_photo

LAYERS = [
    "stem, norm 1",
    *[f"stage {stage}, block 1, norm {norm}" for stage in (1, 2, 3) for norm in (1, 2)],
]


@pytest.mark.parametrize("norm", [*NORM_LAYERS, "torch-bn"])
def test_every_norm_layer_is_seen_once_in_order_of_depth(norm):
    seen = layer_activations(make_model(norm), make_photo())
    assert [layer.layer for layer in seen] == LAYERS == list(norm_layers(make_model(norm).network))


def test_no_normalization_leaves_the_moments_as_they_are():
    assert all(layer.before == layer.after for layer in layer_activations(make_model("nn"), make_photo()))


@pytest.mark.parametrize("norm", ["in", "gn", "ln"])
def test_what_normalizes_each_picture_puts_it_at_mean_0_and_spread_1(norm):
    for layer in layer_activations(make_model(norm), make_photo()):
        assert layer.before.sd > 0
        assert layer.after.mean == pytest.approx(0, abs=1e-3)
        assert layer.after.sd == pytest.approx(1, abs=0.1)


def test_the_moments_are_those_of_the_tensors():
    model, photo = make_model("bn"), make_photo()
    first = layer_activations(model, photo)[0]
    with torch.inference_mode():
        before = model.network.conv1(as_batch([photo], model.config))
        after = model.network.norm1(before)
    assert (first.before.mean, first.before.sd) == pytest.approx((float(before.mean()), float(before.std(correction=0))))
    assert (first.after.mean, first.after.sd) == pytest.approx((float(after.mean()), float(after.std(correction=0))))


def test_looking_inside_leaves_the_network_as_it_was():
    model = make_model("bin")
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    layer_activations(model, make_photo())
    feature_maps(model, make_photo(), "stage 3, block 1")
    assert not any(module._forward_hooks for module in model.network.modules())
    for name, value in model.network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_the_maps_of_the_last_block_are_what_the_network_pools():
    model, photo = make_model("gn"), make_photo()
    maps = feature_maps(model, photo, list(blocks(model.network))[-1])
    with torch.inference_mode():
        features = model.network.features(as_batch([photo], model.config))[0].numpy()
    np.testing.assert_array_equal(maps.values, features)
    assert maps.values.shape == (64, 4, 4)


def test_silent_maps_are_counted():
    model = make_model("bn")
    with torch.no_grad():
        last = model.network.stages[2][0]
        last.norm2.weight[:5] = 0
        last.norm2.bias[:5] = -1e6
    assert feature_maps(model, make_photo(), "stage 3, block 1").silent >= 5


@pytest.mark.parametrize("block", ["stage 4, block 1", "", None, 3, ["stage 1, block 1"]])
def test_an_unknown_block_is_refused(block):
    with pytest.raises(ConfigError, match="Choose one of: stage 1, block 1; stage 2, block 1; stage 3, block 1"):
        feature_maps(make_model("bn"), make_photo(), block)


def test_gates_are_told_layer_by_layer():
    network = ResNet(8, "bin", 3)
    with torch.no_grad():
        network.norm1.gate.copy_(torch.tensor([0.0] * 4 + [1.0] * 8 + [0.25] * 4))
    gates = layer_gates(network)
    assert [layer.layer for layer in gates] == LAYERS
    assert (gates[0].mean, gates[0].share_at_0, gates[0].share_at_1) == pytest.approx((9 / 16, 0.25, 0.5))
    assert gates[1].mean == gates[1].share_at_1 == 1


@pytest.mark.parametrize("norm", [key for key in NORM_LAYERS if not hasattr(NORM_LAYERS[key](8), "gate")])
def test_what_has_no_gates_has_none(norm):
    assert layer_gates(ResNet(8, norm, 3)) == []


def test_a_norm_of_ones_own_with_gates_is_seen_too():
    class Gated(torch.nn.Module):
        def __init__(self, num_channels: int) -> None:
            super().__init__()
            self.gate = torch.nn.Parameter(torch.full((num_channels,), 0.5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.gate.view(1, -1, 1, 1)

    assert [layer.mean for layer in layer_gates(ResNet(8, Gated, 3))] == [0.5] * len(LAYERS)
