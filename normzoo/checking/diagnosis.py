"""Diagnosis: the fewest known mistakes with which the formula does what a layer does."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from normzoo.checking.formula import Formula, FormulaNorm
from normzoo.checking.kinds import KINDS
from normzoo.checking.mistakes import ways
from normzoo.checking.mistakes.mistake import Guess
from normzoo.checking.trace import CHANNELS, STAGES, close, trace

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
