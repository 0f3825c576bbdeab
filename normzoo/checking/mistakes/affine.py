"""Mistakes in the affine map and in the gate of batch-instance norm."""

from normzoo.checking.formula import ACTIVATIONS
from normzoo.checking.mistakes.mistake import Mistake

AFFINE: tuple[Mistake, ...] = (
    Mistake(
        "affine-missing",
        "output",
        "y = x̂ has no weight and bias",
        "y = x̂ · weight + bias, one of each per channel",
        ({"affine": "none"},),
    ),
    Mistake(
        "weight-missing",
        "output",
        "y = x̂ + bias lacks the weight",
        "y = x̂ · weight + bias",
        ({"affine": "no_weight"},),
    ),
    Mistake(
        "bias-missing",
        "output",
        "y = x̂ · weight lacks the bias",
        "y = x̂ · weight + bias",
        ({"affine": "no_bias"},),
    ),
    Mistake(
        "affine-swapped",
        "output",
        "y = x̂ · bias + weight: the two are swapped",
        "y = x̂ · weight + bias",
        ({"affine": "swapped"},),
    ),
    Mistake(
        "bias-before-weight",
        "output",
        "y = (x̂ + bias) · weight",
        "y = x̂ · weight + bias",
        ({"affine": "bias_first"},),
    ),
    Mistake(
        "gate-reversed",
        "output",
        "y = (1 − gate) · BN(x) + gate · IN(x): the gate's sense is turned around",
        "gate · BN(x) + (1 − gate) · IN(x)",
        ({"gate": "reversed"},),
        ("bin",),
    ),
    Mistake(
        "gate-clamped",
        "output",
        "clamp(gate, 0, 1) stands inside the forward pass",
        "clamp the gate after each step of the optimizer",
        ({"gate": "clamped"},),
        ("bin",),
    ),
    Mistake(
        "gate-sigmoid",
        "output",
        "sigmoid(gate) mixes",
        "the gate itself, clamped to [0, 1] after each step of the optimizer",
        ({"gate": "sigmoid"},),
        ("bin",),
    ),
    Mistake(
        "gate-frozen",
        "output",
        "the gate stays at {gate} and does not learn",
        "a parameter per channel, self.gate = nn.Parameter(torch.ones(C)), made once in the constructor",
        ({"gate": 0.5}, {"gate": 1.0}, {"gate": 0.0}),
        ("bin",),
    ),
    Mistake(
        "affine-twice",
        "output",
        "weight and bias are applied twice",
        "y = x̂ · weight + bias, once",
        ({"affine": "twice"},),
    ),
    Mistake(
        "input-not-normalized",
        "output",
        "y = x · weight + bias: the input is multiplied, and not x̂",
        "y = x̂ · weight + bias",
        ({"affine": "of_input"},),
    ),
    Mistake(
        "activation-inside",
        "output",
        "an activation ({activation}) follows the norm",
        "y = x̂ · weight + bias; an activation is a layer of its own",
        tuple({"activation": name} for name in ACTIVATIONS if name != "none"),
    ),
)
