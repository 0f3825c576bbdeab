"""Gates and borders turned by hand: what changes, and that nobody else's network does."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from normzoo.errors import ConfigError
from normzoo.images.corruptions import CORRUPTIONS, corrupt
from normzoo.images.preprocess import to_pixels
from normzoo.inference.interventions import ALL_SEVERITIES, BORDERS, altered, check_corruption, corrupted, severity_curves
from normzoo.inference.predict import as_batch, predict
from normzoo.nn.norms import gates
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import CLASSES, IMAGE_SIZE, make_model, make_photo


def bin_model():
    model = make_model("bin")
    with torch.no_grad():
        for gate in gates(model.network):
            gate.uniform_(0.2, 0.7)
    return model


@torch.no_grad()
def logits(model):
    return model.network(as_batch([make_photo()], model.config))


@pytest.mark.parametrize(("shift", "low", "high"), [(-1, 0, 0), (-0.5, 0.1, 0.35), (0.5, 0.6, 0.85), (1, 1, 1)])
def test_gates_go_from_all_instance_over_as_learned_to_all_batch(shift, low, high):
    values = torch.cat([gate.detach() for gate in gates(altered(bin_model(), shift).network)])
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6


def test_all_batch_and_all_instance_are_those_norms():
    model = bin_model()
    x = torch.randn(3, 16, 8, 8)
    norm = altered(model, -1).network.norm1
    weight, bias = norm.weight.detach(), norm.bias.detach()
    torch.testing.assert_close(norm(x), nn.functional.instance_norm(x, weight=weight, bias=bias))
    norm = altered(model, 1).network.norm1
    torch.testing.assert_close(norm(x), nn.functional.batch_norm(x, norm.running_mean, norm.running_var, weight, bias))


def test_as_learned_is_the_same_network():
    for model in (bin_model(), make_model("gn")):
        assert altered(model) is model
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
    model = bin_model()
    stored = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    asked = [(shift, border) for shift in (-1, 0, 0.3, 1) for border in BORDERS] * 4
    alone = {one: logits(altered(model, *one)) for one in set(asked)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: logits(altered(model, *one)), asked))
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
        altered(bin_model(), **wrong)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_small_square_is_corrupted_step_by_step(kind):
    steps = corrupted(make_photo(), kind, IMAGE_SIZE)
    square = Image.fromarray(to_pixels(make_photo(), IMAGE_SIZE))
    assert len(steps) == 6
    np.testing.assert_array_equal(np.asarray(steps[0]), np.asarray(square))
    np.testing.assert_array_equal(np.asarray(steps[4]), np.asarray(corrupt(square, kind, 4)))


def test_every_network_is_followed_from_its_own_clean_answer():
    models = {norm: make_model(norm) for norm in NORM_LAYERS}
    (curves, _), clean = severity_curves(models, make_photo(), "contrast"), predict(models, make_photo())
    assert list(curves) == list(NORM_LAYERS)
    steps = corrupted(make_photo(), "contrast", IMAGE_SIZE)
    for variant, curve in curves.items():
        assert (curve.label, curve.probabilities[0]) == (clean[variant].label, pytest.approx(clean[variant].top[0][1]))
        assert len(curve.probabilities) == len(curve.answers) == len(ALL_SEVERITIES)
        place = CLASSES.index(curve.label)
        for severity, step in enumerate(steps):
            alone = predict({variant: models[variant]}, step)[variant]
            assert curve.probabilities[severity] == pytest.approx(alone.probabilities[place], abs=1e-5)
            assert curve.answers[severity][1] == pytest.approx(alone.top[0][1], abs=1e-5)


def test_networks_of_different_image_sizes_each_get_their_own_square():
    models = {"gn": make_model("gn", 32), "bn": make_model("bn", 16), "ln": make_model("ln", 32)}
    curves, _ = severity_curves(models, make_photo(), "jpeg")
    assert list(curves) == ["gn", "bn", "ln"]
    for variant, curve in curves.items():
        assert curve.probabilities[0] == pytest.approx(predict(models, make_photo())[variant].top[0][1], abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "severity"),
    [("rain", 1), (None, 1), (["jpeg"], 1), *(("jpeg", severity) for severity in (6, -1, 1.5, "2", None, True, [2], math.nan))],
)
def test_what_is_no_kind_or_no_severity_is_refused(kind, severity):
    with pytest.raises(ConfigError, match=r"Choose one of: brightness_up|severity must be a whole number from 0 to 5"):
        check_corruption(kind, severity)
