"""Subject of a check: a user's layer, what it computes, and the fewest known mistakes that explain it."""

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from normzoo.check.formulas import ACTIVATIONS, EVERY, KINDS, Formula, FormulaNorm
from normzoo.check.mistakes import BY_KEY, Guess, Mistake, ways
from normzoo.check.trace import (
    CHANNELS,
    EPS,
    GROUPS,
    HEIGHT,
    MOMENTUM,
    STAGES,
    TOLERANCE,
    WIDTH,
    Held,
    clone,
    close,
    difference,
    find_roles,
    make_batches,
    set_values,
    trace,
    values_of,
)
from normzoo.errors import ConfigError
from normzoo.nn.own_norm import OwnNorm, meant, parse_arguments

Observed = dict[tuple[str, str], Tensor | None]


def observe(layer: nn.Module, batches: Sequence[Tensor]) -> tuple[Observed, Exception | None]:
    """Return everything that a layer does on the batches, and the exception that ended it, if any."""
    observed: Observed = {}
    try:
        for stage, name, value in trace(layer, batches):
            observed[stage, name] = value
    except Exception as error:  # a person's code may raise anything; the checks run the same and report it
        return observed, error
    return observed, None


SYMBOLS = {"N": 3, "C": CHANNELS, "G": GROUPS, "H": HEIGHT, "W": WIDTH}
#: Values of `--as`: a known kind of norm, or "own": only what holds for every norm.
CHOICES = (*KINDS, "own")
USUAL_EPS = (1e-5, 1e-3, 1e-6, 1e-8, 1e-12)
#: Numbers of images to try: some layers need batches that can be divided into equal parts.
_IMAGES = (3, 4, 8)
#: Mistakes that are common conventions, with their consequence.
CONVENTIONS = {
    "eps-on-deviation": "ε is added to the standard deviation, √σ² + ε, not under the root: outputs differ from torch's where "
    "σ is small.",
    "momentum-reversed": "momentum is the weight of the old statistics, as in TensorFlow; in torch that of the new batch.",
    "activation-inside": "",
    "unbiased-normalization": "the variance is unbiased, Σ(x − μ)² / (n − 1), as in torch.std; torch's norms divide by n.",
    "gate-clamped": "the gate is clamped to [0, 1] in the forward pass, and gets no gradient outside. NormZoo clamps it after "
    "each step of the optimizer.",
    "gate-sigmoid": "sigmoid(gate) blends: a gate of 1 is 73% batch norm, so NormZoo's gates give another blend.",
    "weight-less-one": "the weight is stored less one, x̂ · (1 + weight): torch's weights do not fit.",
    "biased-memory": "running_var stores the biased variance, Σ(x − μ)² / n, as TensorFlow does; torch divides by n − 1.",
    "cumulative-memory": "the running statistics are the mean over all batches, as with momentum=None in torch.",
}
#: Averages that are held as sums, for example: evaluation shows them.
HELD_OTHERWISE = ("population", "debiased")
#: The mean over all batches: always a convention, never a mistake.
_CUMULATIVE = Mistake("cumulative-memory", "", "", stage="memory")
#: Common weights of the new batch.
_USUAL_MOMENTA = (1.0, 0.1, 0.01, 0.9, 0.99, 0.05, 0.2, 0.001, 0.003, 0.3, 0.5, 0.7, 0.8, 0.95, 0.999)


@dataclass(frozen=True)
class Standard:
    """What a layer is compared with: a kind of norm, number of groups, ε and momentum."""

    kind: str
    groups: int
    eps: float
    momentum: float = 0.1

    def formula(self, changes: Mapping[str, Any]) -> Formula:
        """Return its formula, changed."""
        return Formula(**{**KINDS[self.kind].formula(self.groups, CHANNELS), **changes})


class Subject:
    """A layer under check.

    Args:
        own: the class.
        kind: what it should be, one of `CHOICES`; None: what it computes.
        arguments: of the constructor, as text: `num_groups=4`.
    """

    def __init__(self, own: OwnNorm, kind: str | None = None, arguments: str = "") -> None:
        if kind is not None and kind not in CHOICES:
            raise ConfigError(f"Unknown kind {kind!r}. Choose one of: {', '.join(CHOICES)}.")
        self.own = own
        self.arguments: Mapping[str, Any] = parse_arguments(arguments, SYMBOLS)
        for meaning in ("eps", "momentum"):
            if any(meant({name: True}, meaning) and type(value) not in (int, float) for name, value in self.arguments.items()):
                raise ConfigError(f"{meaning} must be a number, got {meant(self.arguments, meaning)!r}.")
        self.given_kind = None if kind == "own" else kind
        self.is_lazy = False  # does its first forward pass make its parameters?
        self._template = self._build()
        self._depths: dict[tuple[Any, ...], int] = {}

    def seen_as(self, kind: str, eps: float, conventions: Guess | None = None) -> "Subject":
        """Return the same layer, found to be of that kind with that ε, and with these conventions if given."""
        other = copy.copy(self)
        for name in ("kind", "eps", "conventions", "expected", "diagnosis"):  # those that depend on the kind
            vars(other).pop(name, None)
        other._identified = (kind, self.groups, eps, Guess())
        if conventions is not None:
            other.conventions = conventions
        return other

    @cached_property
    def kind(self) -> str:
        """The kind it is compared with."""
        return self.given_kind or self._identified[0]

    @cached_property
    def batches(self) -> Sequence[Tensor]:
        """The batches it is tried on, of the first number of images that it accepts."""
        for images in _IMAGES:
            try:
                y = self.layer()(make_batches(images)[0].float())
                if isinstance(y, Tensor):
                    break
            except Exception:  # a person's code may raise anything; the checks report it
                continue
        else:
            images = _IMAGES[0]
        return make_batches(images)

    def _given(self, meaning: str, default: float) -> float:
        value = meant(self.arguments, meaning)
        return default if value is None else float(value)

    @cached_property
    def _with_values(self) -> nn.Module:
        layer = self.untouched()
        set_values(layer)
        return layer

    def layer(self) -> nn.Module:
        """Return a new layer in training mode, with the parameter values of the check."""
        return clone(self._with_values)

    def untouched(self) -> nn.Module:
        """Return a layer as its constructor builds it."""
        return clone(self._template).train()

    def built_again(self) -> nn.Module:
        return self._build()

    @cached_property
    def roles(self) -> dict[str, Held]:
        """Tensors of the layer by role."""
        return find_roles(self._template)

    @cached_property
    def groups(self) -> int:
        """Number of groups it has, or computes with."""
        if (given := self._stated_groups()) is not None:
            return given
        return self._identified[1] if self.given_kind is None else 8

    def _stated_groups(self) -> int | None:
        """Number of groups of its constructor or attributes; None if unknown."""
        built = GROUPS if self.own.takes("num_groups") else meant(vars(self._template), "num_groups")
        for value in (meant(self.arguments, "num_groups"), built):
            if isinstance(value, int) and value > 0 and CHANNELS % value == 0:
                return value
        return None

    @cached_property
    def eps(self) -> float:
        """ε of its constructor or attributes."""
        if self.own.takes("eps"):
            return self._given("eps", EPS)
        held = meant(vars(self._template), "eps")
        if isinstance(held, float):
            return held
        if isinstance(held, Tensor) and held.numel() == 1:
            return float(held)
        if self.given_kind is None:
            return self._identified[2] or USUAL_EPS[0]
        usual = Standard(self.kind, self.groups, USUAL_EPS[0], self.momentum)
        return next((eps for eps in USUAL_EPS if self._computes(replace(usual, eps=eps), {})), USUAL_EPS[0])

    @cached_property
    def momentum(self) -> float:
        """Momentum of its constructor or attributes, else derived from the running mean."""
        if self.own.takes("momentum"):
            return self._given("momentum", MOMENTUM)
        held = meant(vars(self._template), "momentum")
        return held if isinstance(held, float) else self._share_that_fits() or 0.1

    def _share_that_fits(self) -> float | None:
        """Weight of the new batch that explains the running mean after three batches."""
        own = self.observed.get(("memory", "running_mean"))
        if own is None or own.numel() != CHANNELS:
            return None
        for share in (*_USUAL_MOMENTA, self._given("eps", EPS)):
            mean = torch.zeros(CHANNELS, dtype=torch.float64)
            for batch in self.batches[:3]:
                mean = mean.lerp(batch.mean((0, 2, 3)), share)
            if close(own, mean):
                return share
        return None

    @cached_property
    def _traced(self) -> tuple[Observed, Exception | None]:
        return observe(self._template, self.batches)

    @property
    def observed(self) -> Observed:
        """Everything it does on the fixed batches."""
        return self._traced[0]

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the trace, if any."""
        return self._traced[1]

    @cached_property
    def is_random(self) -> bool:
        """Does it give two results for the same images and state?"""
        x = self.batches[0].float()
        for training in (True, False):
            first, second = (self.layer().train(training)(x + 0).detach() for _ in range(2))
            if not torch.equal(first.nan_to_num(), second.nan_to_num()):
                return True
        return False

    @cached_property
    def expected(self) -> Observed:
        """The same of the right formula, with the conventions of the layer."""
        return {(stage, name): value for stage, name, value in trace(self.right(), self.batches, self.values)}

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """Values of the learned parameters, one per channel."""
        return values_of(self.roles)

    @property
    def standard(self) -> Standard:
        """What it is compared with."""
        return Standard(self.kind, self.groups, self.eps, self.momentum)

    def right(self) -> FormulaNorm:
        """Return the right formula as a layer, with the same parameter values."""
        return self.formula(self.standard, self.conventions.changes)

    def formula(self, standard: Standard, changes: Mapping[str, Any]) -> FormulaNorm:
        """Return a formula with changes, as a layer with the same parameter values."""
        formula = standard.formula(changes)
        layer = FormulaNorm(formula, CHANNELS, standard.eps, standard.momentum)
        for name, value in self.values.items():
            layer.get_parameter(name).data.copy_(value)
        for role in ("running_mean", "running_var") if formula.training == "frozen" else ():
            if role in self.roles and self.roles[role].tensor.numel() == CHANNELS:  # frozen ones are whatever was stored
                setattr(layer, role, self.roles[role].tensor.detach().double().reshape(1, -1, 1, 1, 1))
        return layer

    @cached_property
    def conventions(self) -> Guess:
        """Conventions of the layer; none if the kind was given."""
        if self.given_kind is not None:
            return Guess()
        guess = self._identified[3]
        found, unexplained = self._diagnose(self.standard, guess)
        for mistake, sentence in zip(found.mistakes, found.sentences, strict=True):
            if mistake.key == "biased-memory" or (mistake.key == "momentum-reversed" and self.default_momentum > 0.5):
                setting = {"momentum": "reversed"} if mistake.key == "momentum-reversed" else {"remembered": "biased"}
                changes = {**guess.changes, **setting}
                guess = Guess((*guess.mistakes, mistake), changes, (*guess.sentences, sentence))
        if unexplained not in ("memory", "evaluation"):
            return guess
        averages: list[dict[str, Any]] = [{"memory": memory} for memory in ("cumulative", *HELD_OTHERWISE)]
        averages += [{"memory": "debiased", "momentum": "reversed"}, {"memory": "debiased", "remembered": "biased"}]
        averages += [{"memory": "debiased", "momentum": "reversed", "remembered": "biased"}]

        def depth(changes: dict[str, Any]) -> int:
            found = self._depth(changes, self.standard)
            return found if changes["memory"] == "cumulative" or found == len(STAGES) else 0

        changes = max(({**guess.changes, **each} for each in averages), key=depth)
        if depth(changes) <= STAGES.index(unexplained):
            return guess
        return Guess((*guess.mistakes, _CUMULATIVE), changes, (*guess.sentences, ""))

    @property
    def default_momentum(self) -> float:
        """Default momentum of the constructor; 0 if unknown."""
        value = self.own.default("momentum")
        held = meant(vars(self._template), "momentum") if not self.own.takes("momentum") else None
        return float(value) if isinstance(value, float) else float(held) if isinstance(held, float) else 0.0

    @cached_property
    def diagnosis(self) -> tuple[Guess, str | None, float | None, float | None]:
        """The mistakes that explain it, the unexplained stage, and its ε and momentum if they differ from those given."""
        known, standard = self.conventions, self.standard
        guess, unexplained = self._diagnose(standard, known)
        eps = None
        if unexplained == "output" and self.own.takes("eps"):
            for other in (*USUAL_EPS, self.momentum):
                found, rest = self._diagnose(replace(standard, eps=other), known, at_most=1)
                if rest != "output":
                    guess, unexplained, eps = found, rest, other
                    break
        share = self._share_that_fits() if unexplained == "memory" else None
        share = None if share == self.momentum else share
        if share is not None:
            guess, unexplained = self._diagnose(replace(standard, eps=eps or self.eps, momentum=share), known)
        count = len(known.mistakes)
        return Guess(guess.mistakes[count:], guess.changes, guess.sentences[count:]), unexplained, eps, share

    def _diagnose(
        self, standard: Standard, start: Guess | None = None, last: int | None = None, at_most: int = 2
    ) -> tuple[Guess, str | None]:
        """Return the mistakes that explain the observations, and the first unexplained stage, if any.

        One stage after another: what explains the output in training stays for the gradients, and so on. Within a stage no
        mistake is tried first, then each one, then each two; of those that explain it, the one that explains most after it.

        Args:
            start: what is taken as given.
            last: as for `_depth`.
            at_most: largest number of mistakes per stage.
        """
        guess, kind, groups = start or Guess(), standard.kind, standard.groups

        def depth(candidate: Guess) -> int:
            return self._depth(candidate.changes, standard, last)

        for place, stage in enumerate(STAGES):
            if depth(guess) > place:
                continue
            candidates = [each for each in ways(stage, kind, groups, CHANNELS) if each[0].key != self._impossible_mistake]
            found = max((guess.with_mistake(*each, kind, groups) for each in candidates), key=depth, default=guess)
            if depth(found) <= place and at_most > 1:
                pairs = (
                    guess.with_mistake(*first, kind, groups).with_mistake(*second, kind, groups)
                    for first, second in combinations([each for each in candidates if not each[0].alone], 2)
                    if not (first[1].keys() - {"groups"}) & (second[1].keys() - {"groups"})
                )
                found = next((each for each in pairs if depth(each) > place), guess)
            if depth(found) <= place:
                return guess, stage
            guess = found
        return guess, None

    @cached_property
    def _impossible_mistake(self) -> str:
        """Which of two mistakes with equal results it cannot be, by the results with other groups."""
        if not self.own.takes("num_groups") or meant(self.arguments, "num_groups") is not None:
            return ""
        try:
            x, first, second = self.batches[0].float(), self._build(), self._build(num_groups=4)
            same = torch.equal(first(x.clone()), second(x.clone()))
        except Exception:  # a person's code may raise anything
            return ""
        return "groups-swapped" if same else "fixed-groups"

    def _depth(self, changes: Mapping[str, Any], standard: Standard, last: int | None = None) -> int:
        """Return how many stages of the observations a formula reproduces."""
        last = max(STAGES.index(stage) for stage, _ in self.observed) if last is None else last
        asked = (frozenset(changes.items()), standard, last)
        if asked not in self._depths:
            self._depths[asked] = self._new_depth(changes, standard, last)
        return self._depths[asked]

    def _new_depth(self, changes: Mapping[str, Any], standard: Standard, last: int) -> int:
        if not self._computes(standard, changes):
            return 0
        try:
            for stage, name, value in trace(self.formula(standard, changes), self.batches, self.values):
                own = self.observed.get((stage, name))
                if STAGES.index(stage) > last:
                    break
                if stage == "memory" and changes.get("memory") in HELD_OTHERWISE:
                    continue
                if own is not None and (value is None or difference(own, value) > _tolerance(changes)):
                    return STAGES.index(stage)
        except (RuntimeError, ValueError):  # a combination that cannot be computed explains nothing
            return 0
        return len(STAGES)

    def _computes(self, standard: Standard, changes: Mapping[str, Any], roughly: bool = False) -> bool:
        """Is its first output in training that of a formula, or of one with another ε?"""
        own = self.observed.get(("output", "batch 0"))
        if own is None or own.shape != self.batches[0].shape:
            return False
        try:
            found = self._first_output(standard, changes)
        except (RuntimeError, ValueError):  # a combination that cannot be computed explains nothing
            return False
        if not roughly:
            return difference(own, found) <= _tolerance(changes)
        # Without the channel and the image in which ε counts.
        return difference(*(each[0::2][:, 2:] for each in (own, found))) < 0.1

    def _first_output(self, standard: Standard, changes: Mapping[str, Any]) -> Tensor:
        """Return the first output of a formula in training; cached if it needs no tensor of the layer."""
        formula = standard.formula(changes)
        if formula.training == "frozen":
            with torch.no_grad():
                return self.formula(standard, changes)(self.batches[0])
        return _formula_output(formula, standard.eps, standard.momentum, len(self.batches[0]), self._learned)

    @cached_property
    def _learned(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        return tuple((name, tuple(value.tolist())) for name, value in self.values.items())

    @cached_property
    def _identified(self) -> tuple[str, int, float | None, Guess]:
        """Kind, groups, ε and conventions with the same output in training, else the nearest explanation."""
        given = self._stated_groups()
        groups = [8, 2, 4] if given is None else [given]
        found = list[tuple[tuple[float, ...], tuple[str, int, float | None, Guess]]]()
        possible = self._possible_eps()
        impossible = {kind.key for kind in KINDS.values() if kind.groups != "given" and self.own.takes("num_groups")}
        impossible |= set() if self.says_without_running else {"bn-no-running"}
        impossible |= {"bn" if self._is_renorm() else "batch-renorm", *([] if self._is_frozen() else ["frozen-bn"])}
        for kind in KINDS.values():
            if kind.key in impossible:
                continue
            for count in groups if kind.groups == "given" else groups[:1]:
                for changes in _CONVENTIONS:
                    if (changes.get("activation") and self.has_more) or (
                        list(changes) == ["variance"] and kind.key != "ln-position"
                    ):
                        continue
                    if "gate_values" in changes and kind.key != "bin":
                        continue
                    usual = Standard(kind.key, count, USUAL_EPS[0], self.momentum)
                    swapped = possible[-1] == MOMENTUM and kind.base == "bn"
                    roughly = (usual, *([replace(usual, eps=MOMENTUM)] if swapped else []))
                    if not any(self._computes(each, changes, roughly=True) for each in roughly):
                        continue
                    for eps in possible:
                        if self._computes(replace(usual, eps=eps), changes):
                            guess = as_conventions(changes)
                            steps, gap = self._agreement(replace(usual, eps=eps), guess)
                            found.append(((steps, -len(changes), -gap), (kind.key, count, eps, guess)))
        if found:
            return max(found, key=lambda each: each[0])[1]
        return self._explained(groups[0])

    def _agreement(self, standard: Standard, guess: Guess) -> tuple[int, float]:
        """Return the number of equal steps of the trace, and the largest difference of the outputs in training."""
        layer = self.formula(standard, guess.changes)
        steps, gap = 0, 0.0
        try:
            for stage, name, value in trace(layer, self.batches, self.values):
                own = self.observed.get((stage, name))
                if own is not None and value is not None:
                    off = difference(own, value)
                    steps += (1 if stage != "evaluation" else 4) if off <= TOLERANCE else 0
                    gap = max(gap, off if stage == "output" else 0.0)
        except (RuntimeError, ValueError):
            pass
        return steps, gap

    def _explained(self, groups: int) -> tuple[str, int, float | None, Guess]:
        """Return the kind from which one or two known mistakes give its output in training; "own" if there is none."""
        order = list(EVERY)
        if not self._depends_on_batch():
            order = ["in", "ln", "gn", "ln-position", "rms-position", "rms-image", "rms-map"]
            order = ["gn", "in", "ln"] if self.own.takes("num_groups") else order
        elif "gate" in self.roles:
            order = ["bin", "bn"]
        else:
            order = ["bn", "bin"] + ([] if self.remembers else ["in", "gn", "ln"])
        possible = self._possible_eps()
        has_output = any(stage == "output" for stage, _ in self.observed)
        usual = {kind: Standard(kind, groups, USUAL_EPS[0], self.momentum) for kind in order}
        alike = [
            (kind, gate, {**gate, **changes})
            for kind in order
            for gate in (_GATES if kind == "bin" else ({},))
            for mistake, changes in ways("output", kind, groups, CHANNELS)
            # Without any statistics it may be meant so.
            if (mistake.key != "input-not-normalized" or self.remembers)
            and not (mistake.key == "activation-inside" and self.has_more)
            and self._computes(usual[kind], {**gate, **changes}, roughly=True)
        ]
        for eps in possible if has_output else ():
            for kind, gate, changes in alike:
                if self._depth(changes, replace(usual[kind], eps=eps), last=0):
                    return kind, groups, eps, as_conventions(gate)
        for kind in order if has_output and not self.has_more else ():
            for gate in _GATES if kind == "bin" else ({},):
                start = as_conventions(gate)
                guess, unexplained = self._diagnose(replace(usual[kind], eps=possible[0]), start, last=0)
                found = {each.key for each in guess.mistakes[len(start.mistakes) :]}
                if unexplained is None and found and "input-not-normalized" not in found:
                    return kind, groups, possible[0], start
        return "own", groups, None, Guess()

    @cached_property
    def has_more(self) -> bool:
        """Does it have parameters without a role in a known norm?"""
        known = {id(held.tensor) for held in self.roles.values()}
        return any(id(each) not in known for each in self._template.parameters() if each.requires_grad)

    @cached_property
    def says_without_running(self) -> bool:
        """Does it register running statistics as None, as torch's layers with track_running_stats=False?"""
        return any(getattr(each, "running_mean", 0) is None for each in self._template.modules())

    def _possible_eps(self) -> list[float]:
        held = meant(vars(self._template), "eps")
        known = [self._given("eps", EPS)] if self.own.takes("eps") else []
        known += [float(held)] if isinstance(held, float) or (isinstance(held, Tensor) and held.numel() == 1) else []
        swapped = [self._given("momentum", MOMENTUM)] if self.own.takes("momentum") and self.own.takes("eps") else []
        return list(dict.fromkeys([*known, *USUAL_EPS, *swapped]))

    def _is_frozen(self) -> bool:
        """Does it have fixed running statistics, and no parameters unless it is kept in evaluation mode?"""
        moved, start = self.observed.get(("memory", "running_mean")), self.roles.get("running_mean")
        if moved is None or start is None or not torch.equal(moved, start.tensor.detach().flatten()):
            return False
        learns = any(each.requires_grad for each in self._template.parameters())
        return not learns or not any(each.training for each in self.untouched().modules())

    def _is_renorm(self) -> bool:
        """Do running statistics affect training after some steps?"""
        layer, batches = self.layer(), [each.float() for each in self.batches[:2]]
        try:
            with torch.no_grad():
                before = [dict(vars(each)) for each in layer.modules()]
                layer(batches[0] + 0)
                later = clone(layer)
                counts = [each for each in later.buffers() if not each.is_floating_point() and not each.is_complex()]
                for count in counts:
                    count.fill_(10**7 if count.dtype in (torch.int32, torch.int64) else 1)
                numbers = 0
                for module, start in zip(later.modules(), before, strict=True):
                    for name, value in list(vars(module).items()):
                        if type(value) is int and value != start.get(name):
                            setattr(module, name, 10**7)
                            numbers += 1
                if not counts and not numbers:
                    return False
                return not close(later(batches[1] + 0), layer(batches[1] + 0))
        except Exception:  # a person's code may raise anything; the checks report it
            return False

    @property
    def remembers(self) -> bool:
        """Does it hold running statistics?"""
        return any(role.startswith("running") for role in self.roles)

    def _depends_on_batch(self) -> bool:
        """Does the output for an image depend on other images, in training or through running statistics?"""
        x = self.batches[0].float()
        try:
            with torch.no_grad():
                together = self.layer()(x.clone())
                other = torch.cat([x[:1], 2 * x[1:] + 1])
                return self.remembers or not close(self.layer()(other)[:1], together[:1].double())
        except Exception:  # a person's code may raise anything; the checks report it
            return self.remembers

    def _build(self, num_groups: int = GROUPS) -> nn.Module:
        known = {
            "num_channels": CHANNELS,
            "num_groups": num_groups,
            "shape": (CHANNELS, HEIGHT, WIDTH),
            "eps": EPS,
            "momentum": MOMENTUM,
            "affine": True,
        }
        torch.manual_seed(0)
        layer = self._fitting(known)
        if any(isinstance(each, UninitializedParameter) for each in (*layer.parameters(), *layer.buffers())):
            return _seen_one(layer)  # a lazy one takes its shape from what it sees first
        if not list(layer.parameters()):
            with contextlib.suppress(Exception):  # a person's code may raise anything; the checks report it
                other = _seen_one(clone(layer))
                if list(other.parameters()):
                    self.is_lazy = True
                    return other
        return layer.train()

    def _fitting(self, known: dict[str, Any]) -> nn.Module:
        """Return the layer; a shape argument is (C, H, W), or C if only that preserves the shape."""
        if not self.own.takes("shape") or meant(self.arguments, "shape") is not None:
            return self.own.build(known, self.arguments)
        for shape in ((CHANNELS, HEIGHT, WIDTH), CHANNELS, (CHANNELS,)):
            try:
                layer = self.own.build({**known, "shape": shape}, self.arguments)
                x = make_batches(_IMAGES[0])[0].float()
                if layer(x).shape == x.shape:
                    return layer
            except Exception:  # a person's code may raise anything
                continue
        return self.own.build(known, self.arguments)


def _seen_one(layer: nn.Module) -> nn.Module:
    """Return the layer after a forward pass that updates no running statistics."""
    with torch.no_grad():
        layer.eval()(make_batches(_IMAGES[0])[0].float())
    return layer.train()


#: How a gate may be used.
_GATES: tuple[dict[str, Any], ...] = (
    {},
    {"gate_values": "clamped"},
    {"gate_values": "clamped_in_place"},
    {"gate_values": "sigmoid"},
    {"gate_values": "sigmoid", "gate": "reversed"},
)
#: Accepted conventions: none, ε outside the root, unbiased variance over channels, an activation after the norm.
_CONVENTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"epsilon": "deviation"},
    {"epsilon": "deviation", "variance": "unbiased"},
    {"variance": "unbiased"},
    *_GATES[1:],
    {"affine": "plus_one"},
    *({"activation": name} for name in ACTIVATIONS if name != "none"),
)


@lru_cache(maxsize=1 << 15)  # 8 kB each; one layer needs a few hundred, those of the tests 30,000
def _formula_output(
    formula: Formula, eps: float, momentum: float, images: int, values: tuple[tuple[str, tuple[float, ...]], ...]
) -> Tensor:
    layer = FormulaNorm(formula, CHANNELS, eps, momentum)
    for name, value in values:
        layer.get_parameter(name).data.copy_(torch.tensor(value, dtype=torch.float64))
    with torch.no_grad():
        return layer(make_batches(images)[0])


def _tolerance(changes: Mapping[str, Any]) -> float:
    """Return the largest difference that float32 rounding explains."""
    return TOLERANCE * (10 if changes.get("affine") == "before" else 1)


def as_conventions(changes: Mapping[str, Any]) -> Guess:
    """Return settings that are conventions as a guess to begin with."""
    mistakes = tuple(BY_KEY[key] for key in changes_to_mistakes(changes))
    return Guess(mistakes, dict(changes), tuple(each.sentence for each in mistakes))


def changes_to_mistakes(changes: Mapping[str, Any]) -> list[str]:
    """Return the keys of the mistakes that correspond to conventions."""
    keys = {"epsilon": "eps-on-deviation", "variance": "unbiased-normalization", "activation": "activation-inside"}
    gate = str(changes.get("gate_values")).partition("_")[0]
    keys |= {"gate_values": f"gate-{gate}", "affine": "weight-less-one"}
    return [key for setting, key in keys.items() if setting in changes]
