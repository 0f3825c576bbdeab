"""What goes on inside a network: moments around each norm, feature maps, gates."""

import math
import re

import numpy as np
import pytest
import torch

from normzoo.errors import ConfigError
from normzoo.inference.predict import as_batch
from normzoo.inference.value_trace import (
    OTHERWISE_GATE,
    Position,
    activations_before,
    blocks,
    feature_maps,
    layer_activations,
    layer_gates,
    norm_layers,
    normalized_values,
    norms_like,
    photo_gaps,
    remembered_value,
    shown,
    standardized_maps,
)
from normzoo.nn.registry import NORM_LAYERS, NORM_RECORDS, NormRecord
from normzoo.nn.resnet import ResNet
from tests.support.toy_models import make_model, make_photo

ALL_LAYERS = [
    "stem, norm 1",
    *[f"stage {stage}, block 1, norm {norm}" for stage in (1, 2, 3) for norm in (1, 2)],
]


@pytest.mark.parametrize("norm", [*NORM_LAYERS, "torch-bn"])
def test_every_norm_layer_is_seen_once_in_order_of_depth(norm):
    seen = layer_activations(make_model(norm), make_photo())
    assert [layer.layer for layer in seen] == ALL_LAYERS == list(norm_layers(make_model(norm).network))


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
    assert [layer.layer for layer in gates] == ALL_LAYERS
    assert gates[0].mean == pytest.approx(9 / 16)
    assert gates[1].mean == 1


LAYERS = ["stem, norm 1", "stage 2, block 1, norm 1", "stage 3, block 1, norm 2"]


def four_photos():
    photo = make_photo()
    return [photo, photo.point(lambda level: level // 2), photo.rotate(180), photo.point(lambda level: 255 - level // 3)]


def stirred_model(norm):
    """A network none of whose vectors is what a new one begins with: weights, biases, gates, running statistics."""
    model = make_model(norm)
    with torch.no_grad():
        for name, tensor in model.network.state_dict().items():
            if tensor.is_floating_point() and tensor.dim() == 1:
                tensor.copy_(torch.rand_like(tensor) * (0.8 if name.endswith("gate") else 1.5) + 0.1)
                if name.endswith("bias"):
                    tensor.neg_()
    return model


def seen_by(model, layer):
    return activations_before(model, as_batch(four_photos(), model.config), layer).clone()


def by_hand(arithmetic):
    """Both sides of a line of arithmetic, computed from nothing but its letters."""
    left, right = arithmetic.replace("−", "-").replace("×", "*").replace("√", "math.sqrt").split(" = ")
    assert re.fullmatch(r"[-+*/(). \dmathsqr]+", left)
    return eval(left, {"math": math}), float(right)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("network", ["nn", "bn", "in", "bin", "gn", "ln", "torch-bn"])
def test_the_line_computed_from_its_numbers_is_what_the_layer_gives_to_4_digits(network, layer):
    model = stirred_model(network)
    x = seen_by(model, layer)
    its_layer = norm_layers(model.network)[layer]
    for position in (Position(0, 3, 1, 0), Position(2, x.shape[1] - 1, 0, 2)):
        values = normalized_values(its_layer, x, position)
        assert list(values) == list(NORM_LAYERS)
        for key, norm in norms_like(its_layer, x.shape[1]).items():
            module = norm.float()(x)[position].item()
            left, right = by_hand(values[key].arithmetic)
            tolerance = 0.6e-4 * max(1, abs(module))
            assert left == pytest.approx(module, abs=tolerance)
            assert right == pytest.approx(module, abs=tolerance)
            assert values[key].result == pytest.approx(module, abs=tolerance)


@pytest.mark.parametrize("network", ["bn", "in", "bin", "gn", "ln"])
def test_the_networks_own_norm_gives_what_its_own_layer_gives(network):
    model = stirred_model(network)
    for layer in LAYERS:
        x, position = seen_by(model, layer), Position(1, 2, 3, 1)
        its_layer = norm_layers(model.network)[layer]
        before = {name: tensor.clone() for name, tensor in its_layer.state_dict().items()}
        value = normalized_values(its_layer, x, position)[network]
        torch.testing.assert_close(dict(its_layer.state_dict()), before)
        assert value.result == pytest.approx(its_layer.train()(x)[position].item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("network", ["bn", "bin"])
@pytest.mark.parametrize("layer", LAYERS)
def test_what_is_remembered_gives_what_the_layer_answers(network, layer):
    model = stirred_model(network)
    x, position = seen_by(model, layer), Position(3, 5, 1, 1)
    its_layer = norm_layers(model.network)[layer]
    value = remembered_value(its_layer, network, x, position)
    answer = its_layer.eval()(x)[position].item()
    assert by_hand(value.arithmetic)[0] == pytest.approx(answer, abs=0.6e-4 * max(1, abs(answer)))
    assert [shared.axes for shared in value.sets] == ([("H", "W")] if network == "bin" else [])


@pytest.mark.parametrize(
    ("norm", "photos", "channels"),
    [
        ("nn", [], []),
        ("bn", [range(4)], [range(5, 6)]),
        ("in", [range(2, 3)], [range(5, 6)]),
        ("bin", [range(4), range(2, 3)], [range(5, 6), range(5, 6)]),
        ("gn", [range(2, 3)], [range(4, 6)]),
        ("ln", [range(2, 3)], [range(16)]),
    ],
)
def test_the_set_is_what_the_norm_says_of_itself(norm, photos, channels):
    model = make_model("bn")
    x = seen_by(model, LAYERS[0])
    value = normalized_values(norm_layers(model.network)[LAYERS[0]], x, Position(2, 5, 1, 1))[norm]
    assert [shared.photos for shared in value.sets] == photos
    assert [shared.channels for shared in value.sets] == channels
    for shared, term in zip(value.sets, value.terms, strict=True):
        assert shared.values.size == len(shared.photos) * len(shared.channels) * 16 * 16
        assert x[2, 5, 1, 1].item() in shared.values
        assert term.mean == pytest.approx(shared.values.mean())
        assert term.var == pytest.approx(shared.values.var())


def test_a_network_without_norms_has_no_weight_and_bias_and_without_gates_both_count_half():
    model = make_model("nn")
    values = normalized_values(norm_layers(model.network)[LAYERS[0]], seen_by(model, LAYERS[0]), Position(0, 0, 1, 1))
    assert "×" not in values["gn"].arithmetic
    assert [term.share for term in values["bin"].terms] == [OTHERWISE_GATE, OTHERWISE_GATE]


def test_a_norm_with_another_formula_has_no_line(monkeypatch):
    class Odd(torch.nn.Module):
        def __init__(self, num_channels):
            super().__init__()

        def forward(self, x):
            return x.tanh() + 3

    monkeypatch.setitem(NORM_LAYERS, "odd", Odd)
    model = make_model("gn")
    value = normalized_values(norm_layers(model.network)[LAYERS[0]], seen_by(model, LAYERS[0]), Position(0, 0, 1, 1))["odd"]
    assert (value.sets, value.arithmetic) == ((), "")


def test_a_norm_of_three_means_lights_all_of_them(monkeypatch):
    class Three(torch.nn.Module):
        def __init__(self, num_channels):
            super().__init__()

        def forward(self, x):
            return x - (x.mean((2, 3), keepdim=True) + x.mean((1, 2, 3), keepdim=True) + x.mean((0, 2, 3), keepdim=True)) / 3

    record = NormRecord("three", pooled_axes=(("H", "W"), ("C", "H", "W"), ("N", "H", "W")))
    monkeypatch.setitem(NORM_LAYERS, "three", Three)
    monkeypatch.setitem(NORM_RECORDS, "three", record)
    model = make_model("gn")
    value = normalized_values(norm_layers(model.network)[LAYERS[0]], seen_by(model, LAYERS[0]), Position(0, 0, 1, 1))["three"]
    assert tuple(shared.axes for shared in value.sets) == record.pooled_axes
    assert value.arithmetic == ""


def test_batch_norm_keeps_how_far_a_photo_is_from_the_others_and_instance_norm_does_not():
    model = stirred_model("bn")
    x = seen_by(model, LAYERS[0])
    maps = standardized_maps(norm_layers(model.network)[LAYERS[0]], x, 4)
    before = photo_gaps(x[:, 4].double().numpy())
    assert np.abs(before).max() > 0.1
    np.testing.assert_allclose(photo_gaps(maps["bn"]), before, rtol=1e-6)
    np.testing.assert_allclose(photo_gaps(maps["nn"]), before, rtol=1e-6)
    np.testing.assert_allclose(photo_gaps(maps["in"]), 0, atol=1e-9)
    assert photo_gaps(np.zeros((4, 2, 2))).tolist() == [0, 0, 0, 0]
    assert photo_gaps(np.random.default_rng(0).random((1, 2, 2))).tolist() == [0]


def test_numbers_are_shown_without_an_exponent_and_with_a_true_minus():
    assert [shown(number) for number in (1e-5, -0.25, 3.0, 120000.0)] == ["0.00001", "−0.25", "3", "120000"]
