"""The layers equal torch's, their authors' and one another, in float64 and in every gradient."""

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import randomize, remembers

C = 8
SHAPES = [(4, C, 5, 7), (1, C, 5, 3), (2, C, 7, 1), (1, C, 1, 7)]


class AuthorsBIN(nn.BatchNorm2d):
    """Batch-instance normalization as its authors wrote it, from torch's two functions."""

    def __init__(self, num_channels, affine=True, track_running_stats=True, bias=True):
        super().__init__(num_channels, affine=affine, track_running_stats=track_running_stats, bias=bias)
        self.gate = nn.Parameter(torch.ones(num_channels))

    def forward(self, x):
        weight = self.gate.new_ones(self.num_features) if self.weight is None else self.weight
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        by_batch = self.training or self.running_mean is None
        momentum = 0.1 if self.momentum is None else self.momentum
        stats = self.running_mean, self.running_var
        batch = F.batch_norm(x, *stats, self.gate * weight, self.bias, by_batch, momentum, self.eps)
        return batch + F.instance_norm(x, weight=(1 - self.gate) * weight, eps=self.eps)


Twins = Callable[[], tuple[nn.Module, nn.Module]]
TWINS = {
    "nn": lambda: (NoNorm(C), nn.Identity()),
    "bn": lambda: (BatchNorm(C), nn.BatchNorm2d(C)),
    "bn-options": lambda: (BatchNorm(C, eps=0.1, momentum=0.7), nn.BatchNorm2d(C, eps=0.1, momentum=0.7)),
    "bn-cumulative": lambda: (BatchNorm(C, momentum=None), nn.BatchNorm2d(C, momentum=None)),
    "bn-plain": lambda: (BatchNorm(C, affine=False), nn.BatchNorm2d(C, affine=False)),
    "bn-untracked": lambda: (BatchNorm(C, track_running_stats=False), nn.BatchNorm2d(C, track_running_stats=False)),
    "bn-unbiased": lambda: (BatchNorm(C, bias=False), nn.BatchNorm2d(C, bias=False)),
    "in": lambda: (InstanceNorm(C), nn.InstanceNorm2d(C, affine=True)),
    "in-plain": lambda: (InstanceNorm(C, eps=0.1, affine=False), nn.InstanceNorm2d(C, eps=0.1)),
    "in-tracked": lambda: (
        InstanceNorm(C, momentum=0.7, track_running_stats=True),
        nn.InstanceNorm2d(C, momentum=0.7, affine=True, track_running_stats=True),
    ),
    "in-stays": lambda: (
        InstanceNorm(C, momentum=None, bias=False, track_running_stats=True),
        nn.InstanceNorm2d(C, momentum=None, affine=True, bias=False, track_running_stats=True),
    ),
    "bin": lambda: (BatchInstanceNorm(C), AuthorsBIN(C)),
    "bin-plain": lambda: (BatchInstanceNorm(C, affine=False), AuthorsBIN(C, affine=False)),
    "bin-untracked": lambda: (BatchInstanceNorm(C, track_running_stats=False), AuthorsBIN(C, track_running_stats=False)),
    "bin-unbiased": lambda: (BatchInstanceNorm(C, bias=False), AuthorsBIN(C, bias=False)),
    "gn-1": lambda: (GroupNorm(C, 1), nn.GroupNorm(1, C)),
    "gn-2": lambda: (GroupNorm(C, 2), nn.GroupNorm(2, C)),
    "gn-8": lambda: (GroupNorm(C), nn.GroupNorm(8, C)),
    "gn-plain": lambda: (GroupNorm(C, 4, eps=0.1, affine=False), nn.GroupNorm(4, C, eps=0.1, affine=False)),
    "gn-unbiased": lambda: (GroupNorm(C, 2, bias=False), nn.GroupNorm(2, C, bias=False)),
    "ln": lambda: (LayerNorm(C), nn.GroupNorm(1, C)),
    "ln-plain": lambda: (LayerNorm(C, eps=0.1, affine=False), nn.GroupNorm(1, C, eps=0.1, affine=False)),
    "ln-unbiased": lambda: (LayerNorm(C, bias=False), nn.GroupNorm(1, C, bias=False)),
}


ONE_PIXEL = [name for name in TWINS if not name.startswith(("in", "bin"))]  # those two refuse it, as torch does
CASES = [*product(TWINS, SHAPES), *product(ONE_PIXEL, [(3, C, 1, 1)]), *product(["nn", "gn-1", "gn-2", "ln"], [(1, C, 1, 1)])]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def twins(name):
    """Ours and theirs, in the same random state, which goes over strictly and by name."""
    ours, theirs = TWINS[name]()
    ours.double().load_state_dict(randomize(theirs.double()).state_dict(), strict=True)
    return ours, theirs


def outcome(layer, x, cotangent):
    """The output and every gradient."""
    parameters = {name: parameter for name, parameter in layer.named_parameters() if parameter.requires_grad}
    x = x.detach().requires_grad_()
    y = layer(x)
    grads = torch.autograd.grad(y, [x, *parameters.values()], cotangent)
    return {"output": y.detach(), **dict(zip(["input", *parameters], grads, strict=True))}


def assert_trains_alike(ours, theirs, shape):
    """Equal outputs, gradients and state over three training steps, then in evaluation."""
    for training in (True, True, True, False):
        x, cotangent = 3 * torch.randn(shape, dtype=torch.float64) + 2, torch.randn(shape, dtype=torch.float64)
        expected = outcome(theirs.train(training), x, cotangent)
        torch.testing.assert_close(outcome(ours.train(training), x, cotangent), expected)
        torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_layer_matches_torch_over_training_steps_then_evaluation(name, shape):
    assert_trains_alike(*twins(name), shape)


class WrongAxesGroupNorm(GroupNorm):
    def _normalize(self, x):
        groups = x.unflatten(1, (self.num_groups, -1))  # (N, G, C/G, H, W), but the axes of (N, C, H, W) below
        var, mean = torch.var_mean(groups, (1, 2, 3), correction=0, keepdim=True)
        return self._affine((groups - mean).flatten(1, 2), torch.rsqrt(var + self.eps).expand_as(groups).flatten(1, 2))


class BiasedMemoryBatchNorm(BatchNorm):
    def _update_running_stats(self, mean, var, count):
        super()._update_running_stats(mean, var * (1 - 1 / count), count)


class UnbiasedInstanceNorm(InstanceNorm):
    def _normalize(self, x):
        var, mean = torch.var_mean(x, (2, 3), keepdim=True)
        return self._affine(x - mean, torch.rsqrt(var + self.eps))


class ClampingBIN(BatchInstanceNorm):
    def _normalize(self, x):
        parameters = dict(self.named_parameters()) | {"gate": self.gate.clamp(0, 1)}
        return functional_call(BatchInstanceNorm(C, track_running_stats=False), parameters, (x,))


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("gn-2", WrongAxesGroupNorm(C, 2)),
        ("bn", BiasedMemoryBatchNorm(C)),
        ("in", UnbiasedInstanceNorm(C)),
        ("bin-untracked", ClampingBIN(C, track_running_stats=False)),
    ],
)
def test_known_bugs_of_public_reimplementations_are_seen(name, mutant):
    _, theirs = twins(name)
    mutant.double().load_state_dict(theirs.state_dict())
    with pytest.raises(AssertionError, match="not close"):
        assert_trains_alike(mutant, theirs, SHAPES[0])


LAYOUTS = {  # (4, C, 6, 6), whatever lies between the values
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "every second pixel": lambda x: x.repeat_interleave(2, 3)[..., ::2],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "images last": lambda x: x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
    "one image repeated": lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["nn", "bn", "in", "bin", "gn-2", "ln"])
def test_layout_in_memory_does_not_change_the_result(name, layout):
    ours, theirs = twins(name)
    x, cotangent = torch.randn(2, 4, C, 6, 6, dtype=torch.float64)
    x, cotangent = LAYOUTS[layout](x), LAYOUTS[layout](cotangent)
    assert not x.is_contiguous()
    for training in (True, False):
        expected = outcome(theirs.train(training), x.contiguous(), cotangent.contiguous())
        torch.testing.assert_close(outcome(ours.train(training), x, cotangent), expected)
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 1e200])  # the last one's square is infinite
@pytest.mark.parametrize("name", ["bn", "in", "in-tracked", "bin", "gn-2", "gn-8", "ln"])
def test_value_out_of_range_spoils_no_more_than_in_torch(name, value, training):
    ours, theirs = (layer.train(training) for layer in twins(name))
    x, cotangent = torch.randn(2, 4, C, 5, 7, dtype=torch.float64)
    spoilt = x.clone()
    spoilt[1, 2, 3, 4] = value
    clean = outcome(copy.deepcopy(theirs), x, cotangent)
    expected, found = (outcome(layer, spoilt, cotangent) for layer in (theirs, ours))
    for what, values in expected.items():
        untouched = torch.isclose(values, clean[what])
        torch.testing.assert_close(found[what][untouched], values[untouched])
    kept = {key: state.isfinite() for key, state in theirs.state_dict().items()}
    for key, state in ours.state_dict().items():
        torch.testing.assert_close(state[kept[key]], theirs.state_dict()[key][kept[key]])


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("key", NORM_LAYERS)
def test_gradients_match_finite_differences_twice(key, training):
    layer = randomize(NORM_LAYERS[key](C).double()).train(training)
    names = [name for name, _ in layer.named_parameters()]

    def call(x, *parameters):
        return functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    inputs = torch.randn(2, C, 1, 3, dtype=torch.float64).requires_grad_(), *layer.parameters()
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


def bin_with_gate(value):
    layer = BatchInstanceNorm(C)
    nn.init.constant_(layer.gate, value)
    layer.gate.requires_grad_(False)
    return layer


IDENTITIES = {
    "GN of C groups is IN": lambda: (GroupNorm(C, C), InstanceNorm(C)),
    "GN of 1 group is LN": lambda: (GroupNorm(C, 1), LayerNorm(C)),
    "BIN of gate 1 is BN": lambda: (bin_with_gate(1), BatchNorm(C)),
    "BIN of gate 0 is IN": lambda: (bin_with_gate(0), InstanceNorm(C)),
}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_special_case_is_the_simpler_norm(identity):
    general, simple = IDENTITIES[identity]()
    general.double().load_state_dict(randomize(simple.double()).state_dict(), strict=False)
    for training in (True, True, False):
        x, cotangent = 3 * torch.randn(2, 4, C, 5, 7, dtype=torch.float64) + 2
        expected = outcome(simple.train(training), x, cotangent)
        torch.testing.assert_close(outcome(general.train(training), x, cotangent), expected)
    state = general.state_dict()
    torch.testing.assert_close({name: state[name] for name in simple.state_dict()}, dict(simple.state_dict()))


@pytest.mark.parametrize("offset", [0, 100, 1e4])
@pytest.mark.parametrize("name", ["bn", "in", "bin", "gn-2", "ln"])
def test_float32_is_about_as_accurate_as_torch_far_from_zero(name, offset):
    ours, theirs = twins(name)
    x, cotangent = torch.randn(2, 8, C, 16, 16)
    x = x + offset
    exact = outcome(theirs, x.double(), cotangent.double())
    got, builtin = (outcome(layer.float(), x, cotangent) for layer in (ours, theirs))
    for what, value in exact.items():
        error, builtin_error = ((result[what] - value).abs().max().item() for result in (got, builtin))
        assert error <= 8 * builtin_error + 1e-6, what


@pytest.mark.parametrize("value", [0.0, -2.5, 1e4])
@pytest.mark.parametrize("key", [key for key in NORM_LAYERS if key != "nn"])
def test_constant_input_gives_the_bias(key, value):
    layer = randomize(NORM_LAYERS[key](C))
    x = torch.full((4, C, 5, 7), value)
    bias = layer.get_parameter("bias").detach().view(1, C, 1, 1).expand_as(x)
    torch.testing.assert_close(layer(x).detach(), bias)
    if not remembers(layer):  # the others normalize by what they remember
        torch.testing.assert_close(layer.eval()(x).detach(), bias)
