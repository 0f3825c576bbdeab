"""Subject of a check: a person's layer, what it behaves as, and the fewest known mistakes that explain it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from normzoo.check.formulas import ACTIVATIONS, BATCH, EVERY, KINDS, Formula, FormulaNorm
from normzoo.check.mistakes import BY_KEY, Guess, ways
from normzoo.check.trace import (
    CHANNELS,
    EPS,
    GROUPS,
    HEIGHT,
    MOMENTUM,
    STAGES,
    WIDTH,
    Held,
    clone,
    close,
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
    """Return all that a layer does on the batches, as far as it gets, and the exception that ended it, if one did."""
    observed: Observed = {}
    try:
        for stage, name, value in trace(layer, batches):
            observed[stage, name] = value
    except Exception as error:  # a person's code may raise anything; the checks run the same and report it
        return observed, error
    return observed, None


def reference(guess: Guess, kind: str, groups: int, eps: float, momentum: float) -> FormulaNorm:
    """Return the formula of a kind with the mistakes of a guess."""
    settings = {**KINDS[kind].formula(groups, CHANNELS), **guess.changes}
    return FormulaNorm(Formula(**settings), CHANNELS, eps, momentum)


def diagnose(
    observed: Observed,
    kind: str,
    groups: int,
    eps: float,
    momentum: float,
    values: dict[str, Tensor],
    batches: Sequence[Tensor],
    start: Guess | None = None,
    at_most: int = 2,
) -> tuple[Guess, str | None]:
    """Return the mistakes that explain what was observed, and the first stage that nothing explains, if there is one.

    One stage after another: what explains the output in training stays for the gradients, and so on. Within a stage no
    mistake is tried first, then each one, then each two.

    Args:
        start: what is taken as given.
        at_most: so many mistakes at each stage; with two, the axes are wrong in none of them.
    """
    guess = start or Guess()

    def explains(candidate: Guess, upto: str) -> bool:
        layer = reference(candidate, kind, groups, eps, momentum)
        try:
            if upto == STAGES[0] and not _starts_so(layer, observed, values, batches[0]):
                return False
            for stage, name, value in trace(layer, batches, values):
                if STAGES.index(stage) > STAGES.index(upto):
                    return True
                own = observed.get((stage, name))
                if own is not None and (value is None or not close(own, value)):
                    return False
        except (RuntimeError, ValueError):  # a combination that cannot be computed explains nothing
            return False
        return True

    for stage in STAGES:
        if explains(guess, stage):
            continue
        candidates = list(ways(stage, kind, groups, CHANNELS))
        singles = [guess.with_mistake(mistake, changes, kind, groups) for mistake, changes in candidates]
        found = next((each for each in singles if explains(each, stage)), None)
        if found is None and at_most > 1:
            pairs = (
                guess.with_mistake(*first, kind, groups).with_mistake(*second, kind, groups)
                for first, second in combinations([each for each in candidates if each[0].key != "wrong-axes"], 2)
                if not (first[1].keys() - {"groups"}) & (second[1].keys() - {"groups"})
            )
            found = next((each for each in pairs if explains(each, stage)), None)
        if found is None:
            return guess, stage
        guess = found
    return guess, None


def _starts_so(layer: FormulaNorm, observed: Observed, values: dict[str, Tensor], batch: Tensor) -> bool:
    """Is its first output in training the one that was observed? A quick look before the whole trace."""
    own = observed.get(("output", "batch 0"))
    for name, value in values.items():
        layer.get_parameter(name).data.copy_(value)
    before = layer.running_mean, layer.running_var, layer.seen
    with torch.no_grad():
        found = own is None or close(own, layer.train()(batch))
    layer.running_mean, layer.running_var, layer.seen = before
    return found


SYMBOLS = {"N": 3, "C": CHANNELS, "G": GROUPS, "H": HEIGHT, "W": WIDTH}
#: What `--as` takes: a norm of the zoo, another known kind, or a layer of which only what holds for every norm is checked.
CHOICES = (*KINDS, "own")
_USUAL_EPS = (1e-5, 1e-3, 1e-6, 1e-8, 1e-12)
#: Numbers of images that are tried: some layers take only batches that can be cut into equal parts.
_IMAGES = (3, 4, 8)
#: Mistakes that are conventions of some people's code, with their consequence.
CONVENTIONS = {
    "eps-on-deviation": "ε is added to the deviation, √σ² + ε, and not under the root: outputs differ from torch's where σ is "
    "small.",
    "momentum-reversed": "momentum is the share that is kept, as in TensorFlow; in torch it is the share of the new batch.",
    "activation-inside": "",
}


class Subject:
    """A layer under check.

    Args:
        own: the class.
        kind: what it is meant to be, one of `CHOICES`; None finds out by what it does.
        arguments: of the constructor, as text: `num_groups=4`.
    """

    def __init__(self, own: OwnNorm, kind: str | None = None, arguments: str = "") -> None:
        if kind is not None and kind not in CHOICES:
            raise ConfigError(f"Unknown kind {kind!r}. Choose one of: {', '.join(CHOICES)}.")
        self.own = own
        self.arguments: Mapping[str, Any] = parse_arguments(arguments, SYMBOLS)
        for meaning in ("eps", "momentum"):
            if any(meant({name: True}, meaning) and type(value) not in (int, float) for name, value in self.arguments.items()):
                raise ConfigError(f"{meaning} must be a number, or nobody could say what is right.")
        self.given_kind = kind
        self._template = self._build()

    @cached_property
    def kind(self) -> str:
        """What it is held against."""
        return self.given_kind or self._identified[0]

    @cached_property
    def batches(self) -> Sequence[Tensor]:
        """The batches that it is tried on; of the first number of images that it takes."""
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

    def layer(self) -> nn.Module:
        """Return a fresh layer whose parameters have the values of the check, in training mode."""
        layer = clone(self._template).train()
        set_values(layer)
        return layer

    def untouched(self) -> nn.Module:
        """Return a layer as its constructor leaves it."""
        return clone(self._template).train()

    def built_again(self) -> nn.Module:
        """Return a second layer of the class, built as the first."""
        return self._build()

    @cached_property
    def roles(self) -> dict[str, Held]:
        """Tensors of the layer by role."""
        return find_roles(self._template)

    @cached_property
    def groups(self) -> int:
        """Number of groups it is built with, or behaves as if it were."""
        if (given := self._stated_groups()) is not None:
            return given
        return self._identified[1] if self.given_kind is None else 8

    def _stated_groups(self) -> int | None:
        """The number of groups that its constructor is given, or that it has; None where nothing says it."""
        built = GROUPS if self.own.takes("num_groups") else meant(vars(self._template), "num_groups")
        for value in (meant(self.arguments, "num_groups"), built):
            if isinstance(value, int) and value > 0 and CHANNELS % value == 0:
                return value
        return None

    @cached_property
    def eps(self) -> float:
        """The ε that it is built with; where the constructor takes none, the one it has."""
        if self.own.takes("eps"):
            return self._given("eps", EPS)
        held = meant(vars(self._template), "eps")
        if isinstance(held, float):
            return held
        if isinstance(held, Tensor) and held.numel() == 1:
            return float(held)
        return (self._eps_that_fits() if self.given_kind else self._identified[2]) or _USUAL_EPS[0]

    @cached_property
    def momentum(self) -> float:
        """The momentum that it is built with."""
        if self.own.takes("momentum"):
            return self._given("momentum", MOMENTUM)
        held = meant(vars(self._template), "momentum")
        return held if isinstance(held, float) else 0.1

    @cached_property
    def _traced(self) -> tuple[Observed, Exception | None]:
        return observe(self._template, self.batches)

    @property
    def observed(self) -> Observed:
        """All that it does on the fixed batches."""
        return self._traced[0]

    @property
    def failure(self) -> Exception | None:
        """What ended the trace, if something did."""
        return self._traced[1]

    @cached_property
    def expected(self) -> Observed:
        """The same of the right formula, with the conventions that the layer follows."""
        return {(stage, name): value for stage, name, value in trace(self.right(), self.batches, self.values)}

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """Values of what is learned, one per channel."""
        return values_of(self.roles)

    def right(self) -> FormulaNorm:
        """Return the right formula as a layer, with the same values of what is learned."""
        layer = reference(self.conventions, self.kind, self.groups, self.eps, self.momentum)
        for name, value in self.values.items():
            layer.get_parameter(name).data.copy_(value)
        return layer

    @cached_property
    def conventions(self) -> Guess:
        """Those that the layer follows; none where it is held against a kind that was asked for."""
        if self.given_kind is not None:
            return Guess()
        guess = self._identified[3]
        found, _ = self._diagnose(self.eps, guess)
        for mistake, sentence in zip(found.mistakes, found.sentences, strict=True):
            if mistake.key == "momentum-reversed" and self._default_momentum() > 0.5:
                changes = {**guess.changes, "momentum": "reversed"}
                guess = Guess((*guess.mistakes, mistake), changes, (*guess.sentences, sentence))
        return guess

    def _default_momentum(self) -> float:
        """The momentum that the constructor takes if none is given; 0 where it does not say."""
        value = self.own.default("momentum")
        held = meant(vars(self._template), "momentum") if not self.own.takes("momentum") else None
        return float(value) if isinstance(value, float) else float(held) if isinstance(held, float) else 0.0

    @cached_property
    def diagnosis(self) -> tuple[Guess, str | None, float | None]:
        """The mistakes that explain it, the stage that nothing explains, and its ε where that is not the one it was given."""
        known = self.conventions
        guess, unexplained = self._diagnose(self.eps, known)
        other = None
        if unexplained == "output" and self.own.takes("eps"):
            other = self._eps_that_fits()
            if other is not None:
                guess, unexplained = self._diagnose(other, known)
        count = len(known.mistakes)
        return Guess(guess.mistakes[count:], guess.changes, guess.sentences[count:]), unexplained, other

    def _diagnose(self, eps: float, start: Guess | None = None, kind: str | None = None) -> tuple[Guess, str | None]:
        kind = kind or self.kind
        return diagnose(self.observed, kind, self.groups, eps, self.momentum, self.values, self.batches, start)

    def _eps_that_fits(self) -> float | None:
        kinds = EVERY if self.given_kind == "own" else (self.kind,)
        return next((eps for eps in _USUAL_EPS if any(self._computes(kind, eps, self.groups) for kind in kinds)), None)

    def _computes(self, kind: str, eps: float, groups: int, **changes: Any) -> bool:
        """Is its output in training the right one of that kind?"""
        own = self.observed.get(("output", "batch 0"))
        if own is None or own.shape != self.batches[0].shape:
            return False
        layer = reference(Guess(changes=changes), kind, groups, eps, 0.1).train()
        for name, value in self.values.items():
            layer.get_parameter(name).data.copy_(value)
        with torch.no_grad():
            return close(own, layer(self.batches[0]))

    @cached_property
    def _identified(self) -> tuple[str, int, float | None, Guess]:
        """Kind, groups, ε and conventions with which its output in training is the same; else the nearest explanation."""
        given = self._stated_groups()
        groups = [8, 2, 4] if given is None else [given]
        found = list[tuple[str, int, float | None, Guess]]()
        known = {id(held.tensor) for held in self.roles.values()}
        has_more = any(id(p) not in known for p in self._template.parameters() if p.requires_grad)
        for eps in self._possible_eps():
            for kind in KINDS.values():
                if kind.key == "frozen-bn" and not self._is_frozen():
                    continue
                for count in groups if kind.groups == "given" else groups[:1]:
                    for changes in _CONVENTIONS:
                        if "activation" in changes and has_more:
                            continue
                        if self._computes(kind.key, eps, count, **changes):
                            mistakes = [BY_KEY[key] for key in changes_to_mistakes(changes)]
                            guess = Guess(tuple(mistakes), dict(changes), tuple(each.sentence for each in mistakes))
                            found.append((kind.key, count, eps, guess))
            if found:
                break
        if found:
            return max(found, key=lambda each: (self._agreement(*each), -len(each[3].changes)))
        return self._explained(groups[0])

    def _agreement(self, kind: str, groups: int, eps: float | None, guess: Guess) -> int:
        """Return in how many steps of the trace both agree."""
        layer = reference(guess, kind, groups, eps or _USUAL_EPS[0], self.momentum)
        steps = 0
        try:
            for stage, name, value in trace(layer, self.batches, self.values):
                own = self.observed.get((stage, name))
                if own is not None and value is not None and close(own, value):
                    steps += 1 if stage != "evaluation" else 4
        except (RuntimeError, ValueError):
            pass
        return steps

    def _explained(self, groups: int) -> tuple[str, int, float | None, Guess]:
        """Return the kind of which one known mistake or two give its output in training; "own" where there is none."""
        order = list(EVERY)
        if not self._depends_on_batch():
            order = ["gn", "in", "ln"] if self.own.takes("num_groups") else ["in", "ln", "gn"]
        elif "gate" in self.roles:
            order = ["bin", "bn"]
        else:
            order = ["bn", "bin"] + ([] if self._remembers() else ["in", "gn", "ln"])
        possible = self._possible_eps()
        known = {id(held.tensor) for held in self.roles.values()}
        has_more = any(id(each) not in known for each in self._template.parameters() if each.requires_grad)
        outputs = {key: value for key, value in self.observed.items() if key[0] == "output"}
        for eps, at_most in (*((eps, 1) for eps in possible), (possible[0], 1 if has_more else 2)) if outputs else ():
            for kind in order:
                guess, unexplained = diagnose(
                    outputs, kind, groups, eps, self.momentum, self.values, self.batches, at_most=at_most
                )
                names = {mistake.key for mistake in guess.mistakes}
                # Without any statistics it may be meant so.
                if "input-not-normalized" in names and not self._remembers():
                    continue
                if unexplained is None and guess.mistakes:
                    return kind, groups, eps, Guess()
        return "own", groups, None, Guess()

    def _possible_eps(self) -> list[float]:
        held = meant(vars(self._template), "eps")
        known = [self._given("eps", EPS)] if self.own.takes("eps") else []
        known += [float(held)] if isinstance(held, float) or (isinstance(held, Tensor) and held.numel() == 1) else []
        return list(dict.fromkeys([*known, *_USUAL_EPS]))

    def _is_frozen(self) -> bool:
        """Does it have running statistics that do not move?"""
        moved = self.observed.get(("memory", "running_mean"))
        return self._remembers() and moved is not None and not bool(moved.any())

    def _remembers(self) -> bool:
        return any(role.startswith("running") for role in self.roles)

    def _depends_on_batch(self) -> bool:
        """Does the output for an image in training depend on the others, or in evaluation on earlier ones?"""
        x = self.batches[0].float()
        try:
            with torch.no_grad():
                together = self.layer()(x.clone())
                other = torch.cat([x[:1], 2 * x[1:] + 1])
                return self._remembers() or not close(self.layer()(other)[:1], together[:1].double())
        except Exception:  # a person's code may raise anything; the checks report it
            return self._remembers()

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
        layer = self._fitting(known)
        if any(isinstance(each, UninitializedParameter) for each in (*layer.parameters(), *layer.buffers())):
            with torch.no_grad():
                layer.eval()(make_batches(_IMAGES[0])[0].float())  # a lazy one takes its shape from what it sees first
        return layer.train()

    def _fitting(self, known: dict[str, Any]) -> nn.Module:
        """Return the layer; where a shape is asked for, with C, H, W, or with C alone if only that gives its input's shape."""
        layer = self.own.build(known, self.arguments)
        if not self.own.takes("shape") or meant(self.arguments, "shape") is not None:
            return layer
        for shape in ((CHANNELS, HEIGHT, WIDTH), CHANNELS, (CHANNELS,)):
            try:
                layer = self.own.build({**known, "shape": shape}, self.arguments)
                x = make_batches(_IMAGES[0])[0].float()
                if layer(x).shape == x.shape:
                    return layer
            except Exception:  # a person's code may raise anything
                continue
        return self.own.build(known, self.arguments)


#: Ways that people's code has and that are right: none, ε beside the root, an activation behind the norm.
_CONVENTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"epsilon": "deviation"},
    *({"activation": name} for name in ACTIVATIONS if name != "none"),
)


def changes_to_mistakes(changes: Mapping[str, Any]) -> list[str]:
    """Return the keys of the mistakes that conventions are called where torch's way is asked for."""
    return ["eps-on-deviation"] * ("epsilon" in changes) + ["activation-inside"] * ("activation" in changes)


__all__ = ["BATCH", "CHOICES", "CONVENTIONS", "KINDS", "SYMBOLS", "Subject"]
