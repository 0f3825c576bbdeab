"""What goes on inside a network: moments around each norm, feature maps, gates, one value, class activation, interventions."""

import math
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError
from normzoo.inference.predict import as_batch, predict
from normzoo.inference.value_trace import (
    BORDERS,
    OTHERWISE_GATE,
    Position,
    activation_maps,
    activations_before,
    altered,
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
from normzoo.nn.norms import gates
from normzoo.nn.registry import NORM_LAYERS, NORM_RECORDS, NormRecord
from normzoo.nn.resnet import ResNet
from tests.support.toy_models import CLASSES, IMAGE_SIZE, make_model, make_photo

ALL_LAYERS = ["stem, norm 1", *[f"stage {stage}, block 1, norm {norm}" for stage in (1, 2, 3) for norm in (1, 2)]]
LAYERS = ["stem, norm 1", "stage 2, block 1, norm 1", "stage 3, block 1, norm 2"]


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
    """The layer, and what four photos are before it."""
    photo = make_photo()
    photos = [photo, photo.point(lambda level: level // 2), photo.rotate(180), photo.point(lambda level: 255 - level // 3)]
    return norm_layers(model.network)[layer], activations_before(model, as_batch(photos, model.config), layer).clone()


def values_at(model, layer, *position):
    return normalized_values(*seen_by(model, layer), Position(*position))


@pytest.mark.parametrize("norm", [*NORM_LAYERS, "torch-bn"])
def test_every_norm_layer_is_seen_once_in_order_of_depth_and_the_network_stays_as_it_was(norm):
    model = make_model(norm)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    seen = layer_activations(model, make_photo())
    feature_maps(model, make_photo(), "stage 3, block 1")
    assert [layer.layer for layer in seen] == ALL_LAYERS == list(norm_layers(model.network))
    assert not any(module._forward_hooks for module in model.network.modules())
    torch.testing.assert_close(dict(model.network.state_dict()), before, rtol=0, atol=0)


def test_the_moments_are_those_of_the_tensors():
    model, photo = make_model("bn"), make_photo()
    first = layer_activations(model, photo)[0]
    with torch.inference_mode():
        before = model.network.conv1(as_batch([photo], model.config))
        after = model.network.norm1(before)
    for found, values in ((first.before, before), (first.after, after)):
        assert (found.mean, found.sd) == pytest.approx((float(values.mean()), float(values.std(correction=0))))


def test_the_maps_of_the_last_block_are_what_the_network_pools_and_silent_ones_are_counted():
    model, photo = make_model("gn"), make_photo()
    with torch.no_grad():
        model.network.stages[2][0].norm2.weight[:5] = 0
        model.network.stages[2][0].norm2.bias[:5] = -1e6
    maps = feature_maps(model, photo, list(blocks(model.network))[-1])
    with torch.inference_mode():
        features = model.network.features(as_batch([photo], model.config))[0].numpy()
    np.testing.assert_array_equal(maps.values, features)
    assert maps.values.shape == (64, 4, 4)
    assert maps.silent >= 5


@pytest.mark.parametrize("block", ["stage 4, block 1", "", None, 3, ["stage 1, block 1"]])
def test_an_unknown_block_is_refused(block):
    with pytest.raises(ConfigError, match="Choose one of: stage 1, block 1; stage 2, block 1; stage 3, block 1"):
        feature_maps(make_model("bn"), make_photo(), block)


def test_gates_are_told_layer_by_layer():
    network = ResNet(8, "bin", 3)
    with torch.no_grad():
        network.norm1.gate.copy_(torch.tensor([0.0] * 4 + [1.0] * 8 + [0.25] * 4))
    found = layer_gates(network)
    assert [layer.layer for layer in found] == ALL_LAYERS
    assert [layer.mean for layer in found[:2]] == pytest.approx([9 / 16, 1])


def by_hand(arithmetic):
    """Both sides of a line of arithmetic, computed from nothing but its letters."""
    left, right = arithmetic.replace("−", "-").replace("×", "*").replace("√", "math.sqrt").split(" = ")
    assert re.fullmatch(r"[-+*/(). \dmathsqr]+", left)
    return eval(left, {"math": math}), float(right)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("network", [*NORM_LAYERS, "torch-bn"])
def test_the_line_computed_from_its_numbers_is_what_the_layer_gives_to_4_digits(network, layer):
    model = stirred_model(network)
    its_layer, x = seen_by(model, layer)
    before = {name: tensor.clone() for name, tensor in its_layer.state_dict().items()}
    for position in (Position(0, 3, 1, 0), Position(2, x.shape[1] - 1, 0, 2)):
        values = normalized_values(its_layer, x, position)
        torch.testing.assert_close(dict(its_layer.state_dict()), before)
        assert list(values) == list(NORM_LAYERS)
        for key, norm in norms_like(its_layer, x.shape[1]).items():
            module = norm.float()(x)[position].item()
            assert [*by_hand(values[key].arithmetic), values[key].result] == pytest.approx(
                [module] * 3, abs=0.6e-4 * max(1, abs(module))
            )
    if network in NORM_LAYERS:  # with the layer itself
        assert values[network].result == pytest.approx(its_layer.train()(x)[position].item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("network", ["bn", "bin"])
@pytest.mark.parametrize("layer", LAYERS)
def test_running_statistics_give_what_the_layer_answers(network, layer):
    its_layer, x = seen_by(stirred_model(network), layer)
    position = Position(3, 5, 1, 1)
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
    _, x = seen_by(make_model("bn"), LAYERS[0])
    value = values_at(make_model("bn"), LAYERS[0], 2, 5, 1, 1)[norm]
    assert [shared.photos for shared in value.sets] == photos
    assert [shared.channels for shared in value.sets] == channels
    for shared, term in zip(value.sets, value.terms, strict=True):
        assert shared.values.size == len(shared.photos) * len(shared.channels) * 16 * 16
        assert x[2, 5, 1, 1].item() in shared.values
        assert (term.mean, term.var) == pytest.approx((shared.values.mean(), shared.values.var()))


def test_a_network_without_norms_has_no_weight_and_bias_and_without_gates_both_count_half():
    values = values_at(make_model("nn"), LAYERS[0], 0, 0, 1, 1)
    assert "×" not in values["gn"].arithmetic
    assert [term.share for term in values["bin"].terms] == [OTHERWISE_GATE, OTHERWISE_GATE]


@pytest.mark.parametrize("axes", [(), (("H", "W"), ("C", "H", "W"), ("N", "H", "W"))])
def test_a_norm_with_another_formula_lights_what_it_names_and_has_no_line(axes, monkeypatch):
    class Odd(nn.Module):
        def __init__(self, num_channels):
            super().__init__()

        def forward(self, x):
            return x.tanh() + 3

    monkeypatch.setitem(NORM_LAYERS, "odd", Odd)
    if axes:
        monkeypatch.setitem(NORM_RECORDS, "odd", NormRecord("odd", pooled_axes=axes))
    value = values_at(make_model("gn"), LAYERS[0], 0, 0, 1, 1)["odd"]
    assert (tuple(shared.axes for shared in value.sets), value.arithmetic) == (axes, "")


def test_batch_norm_keeps_how_far_a_photo_is_from_the_others_and_instance_norm_does_not():
    layer, x = seen_by(stirred_model("bn"), LAYERS[0])
    maps, before = standardized_maps(layer, x, 4), photo_gaps(x[:, 4].double().numpy())
    assert np.abs(before).max() > 0.1
    for norm, expected in (("bn", before), ("nn", before), ("in", 0)):
        np.testing.assert_allclose(photo_gaps(maps[norm]), expected, rtol=1e-6, atol=1e-9)
    assert photo_gaps(np.zeros((4, 2, 2))).tolist() == [0, 0, 0, 0]
    assert photo_gaps(np.random.default_rng(0).random((1, 2, 2))).tolist() == [0]


def test_numbers_are_shown_without_an_exponent_and_with_a_true_minus():
    assert [shown(number) for number in (1e-5, -0.25, 3.0, 120000.0)] == ["0.00001", "−0.25", "3", "120000"]


@pytest.mark.parametrize("label", [None, *CLASSES])
@pytest.mark.parametrize("norm", [*NORM_LAYERS, "torch-bn"])
def test_the_evidence_for_a_class_sums_to_the_logit_without_its_bias(norm, label):
    model, photo = make_model(norm), make_photo()
    with torch.no_grad():
        model.network.fc.bias.copy_(torch.tensor([0.7, -1.3, 0.2]))  # as a trained one has
        logits = model.network(as_batch([photo], model.config))[0]
    found, own = activation_maps({norm: model}, photo, label)[norm], predict({norm: model}, photo)[norm]
    k = CLASSES.index(label or own.label)
    assert (found.label, found.probability) == (CLASSES[k], pytest.approx(own.probabilities[k]))
    assert found.evidence.shape == (IMAGE_SIZE // 4, IMAGE_SIZE // 4)
    assert [found.evidence.sum() + found.bias, found.logit] == pytest.approx([float(logits[k])] * 2, abs=1e-5)
    assert found.bias == pytest.approx(float(model.network.fc.bias.detach()[k]))


@pytest.mark.parametrize("label", ["<b>", "", 3])
def test_an_unknown_class_is_refused_without_repeating_it(label):
    with pytest.raises(ConfigError, match=r"^Unknown class\. Choose one of the 3 classes, such as 'alp'\.$"):
        activation_maps({"bn": make_model("bn")}, make_photo(), label)


@pytest.mark.parametrize(("shift", "low", "high"), [(-1, 0, 0), (-0.5, 0.05, 0.45), (0.5, 0.55, 0.95), (1, 1, 1)])
def test_gates_go_from_all_instance_over_as_learned_to_all_batch(shift, low, high):
    values = torch.cat([gate.detach() for gate in gates(altered(stirred_model("bin"), shift).network)])
    assert low - 1e-6 <= values.min() <= values.max() <= high + 1e-6


def test_all_batch_and_all_instance_are_those_norms():
    model, x = stirred_model("bin"), torch.randn(3, 16, 8, 8)
    norm = altered(model, -1).network.norm1
    weight, bias = norm.weight.detach(), norm.bias.detach()
    torch.testing.assert_close(norm(x), nn.functional.instance_norm(x, weight=weight, bias=bias))
    norm = altered(model, 1).network.norm1
    torch.testing.assert_close(norm(x), nn.functional.batch_norm(x, norm.running_mean, norm.running_var, weight, bias))
    assert altered(model, 0, "zeros") is model
    gn = make_model("gn")
    assert altered(gn, 0.5) is gn  # it has no gates


@pytest.mark.parametrize(("border", "count"), [("first", 1), ("all", 7)])
def test_a_replicated_border_is_seen_at_a_photo_of_one_colour(border, count):
    network = altered(make_model("in"), border=border).network
    assert sum(module.padding_mode == "replicate" for module in network.modules() if isinstance(module, nn.Conv2d)) == count
    flat = torch.ones(1, 3, 16, 16)
    assert network.conv1(flat).flatten(2).std(2).max() < 1e-6
    assert make_model("in").network.conv1(flat).flatten(2).std(2).max() > 1e-3


def test_two_visitors_at_once_do_not_touch_each_others_network():
    model = make_model("bin")
    for gate in gates(model.network):
        gate.data.uniform_(0.2, 0.7)
    stored = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    asked = [(shift, border) for shift in (-1, 0, 0.3, 1) for border in BORDERS] * 4

    @torch.no_grad()
    def logits(one):
        changed = altered(model, *one)
        return changed.network(as_batch([make_photo()], changed.config))

    alone = {one: logits(one) for one in set(asked)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(logits, asked))
    for one, answer in zip(asked, together, strict=True):
        assert torch.equal(answer, alone[one]), one
    torch.testing.assert_close(dict(model.network.state_dict()), stored, rtol=0, atol=0)
    assert all(module.padding_mode == "zeros" for module in model.network.modules() if isinstance(module, nn.Conv2d))
    assert len({tuple(answer.flatten().tolist()) for answer in alone.values()}) == len(alone)


@pytest.mark.parametrize(
    "wrong", [{"gate_shift": 2}, {"gate_shift": True}, {"gate_shift": "0"}, {"border": "round"}, {"border": []}]
)
def test_what_cannot_be_turned_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"from -1 to 1\.|Choose one of: zeros, first, all\."):
        altered(make_model("bin"), **wrong)
