"""Diagnosis: the fewest known mistakes with which the formula does what a layer does."""

from itertools import combinations

from torch import Tensor, nn

from normzoo.checking.formula import Formula, FormulaNorm
from normzoo.checking.mistakes import ways
from normzoo.checking.mistakes.mistake import Guess, right_formula
from normzoo.checking.trace import CHANNELS, STAGES, close, trace

Observed = dict[tuple[str, str], Tensor | None]


def observe(layer: nn.Module) -> Observed:
    """Return all that a layer does on the fixed batches, as far as it gets without an exception."""
    observed: Observed = {}
    try:
        for stage, name, value in trace(layer):
            observed[stage, name] = value
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        pass  # the checks run the same and report it
    return observed


def reference(guess: Guess, kind: str, groups: int, eps: float, momentum: float) -> FormulaNorm:
    """Return the formula of a kind with the mistakes of a guess."""
    settings = {**right_formula(kind, groups, CHANNELS), **guess.changes}
    return FormulaNorm(Formula(**settings), CHANNELS, eps, momentum)


def diagnose(
    observed: Observed, kind: str, groups: int, eps: float, momentum: float, values: dict[str, Tensor]
) -> tuple[Guess, str | None]:
    """Return the mistakes that explain what was observed, and the first stage that nothing explains, if there is one.

    One stage after another: what explains the output in training stays for the gradients, and so on. Within a stage no
    mistake is tried first, then each one, then each two.
    """
    guess = Guess()

    def explains(candidate: Guess, upto: str) -> bool:
        layer = reference(candidate, kind, groups, eps, momentum)
        try:
            for stage, name, value in trace(layer, values):
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
        if found is None:
            pairs = (
                guess.with_mistake(*first, kind, groups).with_mistake(*second, kind, groups)
                for first, second in combinations(candidates, 2)
                if not (first[1].keys() - {"groups"}) & (second[1].keys() - {"groups"})
            )
            found = next((each for each in pairs if explains(each, stage)), None)
        if found is None:
            return guess, stage
        guess = found
    return guess, None
