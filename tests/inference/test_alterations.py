"""Gates and borders turned by hand: what changes, and that nobody else's network does."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError
from normzoo.inference.alterations import BORDERS, altered
from normzoo.inference.predict import as_batch
from normzoo.nn.batch_instance_norm import gates
from tests.support.toy_models import make_model, make_photo


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
