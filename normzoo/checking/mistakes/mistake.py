"""Mistake in a norm layer: what is wrong, what would be right, and the settings of the formula that reproduce it."""

from dataclasses import dataclass, field
from typing import Any

from normzoo.checking.kinds import BATCH, EVERY, KINDS

__all__ = ["BATCH", "EVERY", "Guess", "Mistake", "axes_in_words"]


@dataclass(frozen=True)
class Mistake:
    """One way to get a norm wrong.

    Args:
        key: its name.
        stage: where it shows first, of `trace.STAGES`; "structure" where it is seen without computing.
        wrong: the line of the formula that is off.
        right: what that line would be.
        changes: settings of the formula that reproduce it, one of several ways a line; none where it is seen directly.
        kinds: norms that it is possible in.
    """

    key: str
    stage: str
    wrong: str
    right: str
    changes: tuple[dict[str, Any], ...] = ()
    kinds: tuple[str, ...] = EVERY

    @property
    def sentence(self) -> str:
        """The mistake in a sentence."""
        return f"{self.wrong}; right: {self.right}."


@dataclass(frozen=True)
class Guess:
    """One or more mistakes as the settings of a formula."""

    mistakes: tuple[Mistake, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    def with_mistake(self, mistake: Mistake, changes: dict[str, Any], kind: str, groups: int) -> "Guess":
        """Return the guess with one more mistake."""
        sentence = mistake.sentence.replace("{axes}", axes_in_words(changes.get("axes", ""), changes.get("groups", groups)))
        sentence = sentence.replace("{right}", KINDS[kind].axes).replace("{gate}", str(changes.get("gate")))
        sentence = sentence.replace("{activation}", str(changes.get("activation"))).replace(
            "{groups}", str(changes.get("groups"))
        )
        return Guess((*self.mistakes, mistake), {**self.changes, **changes}, (*self.sentences, sentence))


def axes_in_words(axes: str, groups: int) -> str:
    """Return the letters of dimensions as people write them: "NKHW" -> "N, C, H, W" where there are no groups."""
    if groups == 1 or ("G" in axes and "K" in axes):
        axes = axes.replace("G", "").replace("K", "C")
    return ", ".join({"K": "C/G"}.get(letter, letter) for letter in axes) or "nothing"
