"""Subject of a check: a person's layer, what it is meant to be, and what it does on the fixed batches."""

import copy
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from normzoo.checking.diagnosis import Observed, diagnose, observe, reference
from normzoo.checking.formula import FormulaNorm
from normzoo.checking.mistakes.mistake import EVERY, Guess
from normzoo.checking.roles import Held, find_roles
from normzoo.checking.trace import CHANNELS, EPS, GROUPS, HEIGHT, MOMENTUM, WIDTH, close, set_values, trace, values_of
from normzoo.errors import ConfigError
from normzoo.nn.own_norm import OwnNorm, meant, parse_arguments

SYMBOLS = {"N": 3, "C": CHANNELS, "G": GROUPS, "H": HEIGHT, "W": WIDTH}
#: What `--as` takes: a norm of the zoo, or a layer of which only what holds for every norm is checked.
KINDS = (*EVERY, "own")
_NAMES = (
    ("bin", r"batch_?inst|bin"),
    ("bn", r"batch|bn"),
    ("in", r"inst|^in(norm|2d)?$"),
    ("gn", r"group|gn"),
    ("ln", r"layer|ln"),
)
_USUAL_EPS = (1e-5, 1e-3, 1e-6, 1e-8, 1e-12)


class Subject:
    """A layer under check.

    Args:
        own: the class.
        kind: what it is meant to be, one of `KINDS`; None guesses by its name, then by what it computes.
        arguments: of the constructor, as text: `num_groups=4`.
    """

    def __init__(self, own: OwnNorm, kind: str | None = None, arguments: str = "") -> None:
        if kind is not None and kind not in KINDS:
            raise ConfigError(f"Unknown kind {kind!r}. Choose one of: {', '.join(KINDS)}.")
        self.own = own
        self.arguments: Mapping[str, Any] = parse_arguments(arguments, SYMBOLS)
        for meaning in ("eps", "momentum"):
            if any(meant({name: True}, meaning) and type(value) not in (int, float) for name, value in self.arguments.items()):
                raise ConfigError(f"{meaning} must be a number, or nobody could say what is right.")
        self._template = self._build()
        self.kind = kind or self._guess_kind()

    def _given(self, meaning: str, default: float) -> float:
        value = meant(self.arguments, meaning)
        return default if value is None else float(value)

    def layer(self) -> nn.Module:
        """Return a fresh layer whose parameters have the values of the check, in training mode."""
        layer = copy.deepcopy(self._template).train()
        set_values(layer)
        return layer

    def untouched(self) -> nn.Module:
        """Return a layer as its constructor leaves it."""
        return copy.deepcopy(self._template).train()

    @cached_property
    def roles(self) -> dict[str, Held]:
        """Tensors of the layer by role."""
        return find_roles(self._template)

    @cached_property
    def groups(self) -> int:
        """Number of groups it is built with."""
        for source in (self.arguments, vars(self._template)):
            value = meant(source, "num_groups")
            if isinstance(value, int) and value > 0 and CHANNELS % value == 0:
                return value
        return GROUPS if self.own.takes("num_groups") else 8

    @cached_property
    def eps(self) -> float:
        """The ε that it is built with; where the constructor takes none, the one it has."""
        if self.own.takes("eps"):
            return self._given("eps", EPS)
        held = meant(vars(self._template), "eps")
        return held if isinstance(held, float) else self._eps_that_fits() or _USUAL_EPS[0]

    @cached_property
    def momentum(self) -> float:
        """The momentum that it is built with."""
        if self.own.takes("momentum"):
            return self._given("momentum", MOMENTUM)
        held = meant(vars(self._template), "momentum")
        return held if isinstance(held, float) else 0.1

    @cached_property
    def observed(self) -> Observed:
        """All that it does on the fixed batches."""
        return observe(self._template)

    @cached_property
    def expected(self) -> Observed:
        """The same of the right formula."""
        return {(stage, name): value for stage, name, value in trace(self.right(), self.values)}

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """Values of what is learned, one per channel."""
        return values_of(self.roles)

    def right(self) -> FormulaNorm:
        """Return the right formula as a layer, with the same values of what is learned."""
        layer = reference(Guess(), self.kind, self.groups, self.eps, self.momentum)
        for name, value in self.values.items():
            layer.get_parameter(name).data.copy_(value)
        return layer

    @cached_property
    def diagnosis(self) -> tuple[Guess, str | None, float | None]:
        """The mistakes that explain it, the stage that nothing explains, and its ε where that is not the one it was given."""
        guess, unexplained = self._diagnose(self.eps)
        if unexplained == "output" and self.own.takes("eps"):
            other = self._eps_that_fits()
            if other is not None:
                return (*self._diagnose(other), other)
        return guess, unexplained, None

    def _diagnose(self, eps: float) -> tuple[Guess, str | None]:
        return diagnose(self.observed, self.kind, self.groups, eps, self.momentum, self.values)

    def _eps_that_fits(self) -> float | None:
        kinds = EVERY if not hasattr(self, "kind") or self.kind == "own" else (self.kind,)
        return next((eps for eps in _USUAL_EPS if any(self._computes(kind, eps) for kind in kinds)), None)

    def _computes(self, kind: str, eps: float) -> bool:
        """Is its output in training the right one of that kind?"""
        own = self.observed.get(("output", "batch 0"))
        steps = trace(reference(Guess(), kind, self.groups, eps, self.momentum), self.values)
        expected = next(value for _, _, value in steps)
        return own is not None and expected is not None and close(own, expected)

    def _guess_kind(self) -> str:
        name = self.own.name.lower()
        named = [kind for kind, pattern in _NAMES if re.search(pattern, name)]
        if named:
            return named[0]
        return next((kind for kind in EVERY if self._computes(kind, self.eps)), "own")

    def _build(self) -> nn.Module:
        known = {
            "num_channels": CHANNELS,
            "num_groups": GROUPS,
            "shape": (CHANNELS, HEIGHT, WIDTH),
            "eps": EPS,
            "momentum": MOMENTUM,
            "affine": True,
        }
        torch.manual_seed(0)
        return self.own.build(known, self.arguments)
