"""Known mistakes in norm layers, by where they are made."""

from collections.abc import Iterator
from typing import Any

from normzoo.checking.formula import Formula
from normzoo.checking.kinds import KINDS
from normzoo.checking.mistakes.affine import AFFINE
from normzoo.checking.mistakes.memory import MEMORY
from normzoo.checking.mistakes.mistake import Mistake
from normzoo.checking.mistakes.statistics import STATISTICS
from normzoo.checking.mistakes.structure import STRUCTURE

#: In the order in which they are tried: of two that cannot be told apart, the first is named.
MISTAKES = (*MEMORY, *STATISTICS, *AFFINE, *STRUCTURE)
BY_KEY = {mistake.key: mistake for mistake in MISTAKES}


def ways(stage: str, kind: str, groups: int, channels: int) -> Iterator[tuple[Mistake, dict[str, Any]]]:
    """Yield every way to make a mistake that shows first at that stage, in a norm of that kind.

    Where the running statistics are hidden, what is wrong with them shows in evaluation.
    """
    stages = (stage, "memory") if stage == "evaluation" else (stage,)
    right, base = KINDS[kind].formula(groups, channels), KINDS[kind].base
    for mistake in MISTAKES:
        for changes in mistake.changes if mistake.stage in stages and base in mistake.kinds else ():
            made = {**changes, "groups": channels // groups} if changes.get("groups") == -1 else changes
            if mistake.key == "wrong-axes" and KINDS[kind].groups != "given":
                made = {**made, "groups": 1}
                if "G" in changes["axes"]:
                    continue
            if Formula(**{**right, **made}) != Formula(**right):
                yield mistake, made
