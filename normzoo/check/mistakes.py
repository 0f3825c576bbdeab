"""Known mistakes in norm layers, read from mistakes.toml, as changes of the right formula."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from itertools import combinations, permutations
from typing import Any

from normzoo.check.formulas import ACTIVATIONS, EVERY, KINDS, LOCATIONS, PARTS, Formula


@dataclass(frozen=True)
class Mistake:
    """One mistake in a norm.

    Args:
        key: its name.
        wrong: what the layer does.
        right: what it should do.
        example: the smallest code with this mistake.
        symptom: how it shows in a network.
        stage: first stage that shows it, of `trace.STAGES`; "structure": found without computing.
        changes: alternative settings of the formula that reproduce it; none if found directly.
        kinds: norms in which it is possible.
        alone: not combined with a second mistake at the same stage, because it has too many variants.
    """

    key: str
    wrong: str
    right: str
    example: str = ""
    symptom: str = ""
    stage: str = "output"
    changes: tuple[dict[str, Any], ...] = ()
    kinds: tuple[str, ...] = EVERY
    alone: bool = False

    @property
    def sentence(self) -> str:
        return f"{self.wrong}; right: {self.right}."


_SCALES = {"range": "max(x) − min(x)", "largest": "max|x − μ|", "mean_absolute": "the mean absolute deviation E|x − μ|"}
#: Settings of a formula as text.
_IN_WORDS = {
    "sum": "by nothing",
    "by_images": "by the number of images N",
    "by_pixels": "by the number of pixels H·W",
    "without_variance": "x − running_mean, divided by nothing",
    "without_mean": "x / √(running_var + ε), without the mean",
    "without_root": "(x − running_mean) / (running_var + ε), without the root",
    "eps_beside": "(x − running_mean) / (√running_var + ε)",
}


@dataclass(frozen=True)
class Guess:
    """One or more mistakes as the settings of a formula."""

    mistakes: tuple[Mistake, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    def with_mistake(self, mistake: Mistake, changes: dict[str, Any], kind: str, groups: int) -> "Guess":
        sentence = mistake.sentence.replace("{right}", KINDS[kind].axes)
        for place in ("axes", "variance_axes"):
            words = axes_in_words(changes.get(place, ""), changes.get("groups", groups))
            sentence = sentence.replace(f"{{{place}}}", words)
        sentence = sentence.replace("{scale}", _SCALES.get(str(changes.get("variance")), ""))
        for place in ("gate", "activation", "groups", "variance", "evaluation", "taken_from", "location"):
            value = str(changes.get(place))
            sentence = sentence.replace(f"{{{place}}}", _IN_WORDS.get(value, value))
        return Guess((*self.mistakes, mistake), {**self.changes, **changes}, (*self.sentences, sentence))


def axes_in_words(axes: str, groups: int) -> str:
    """Return the axes as text: "NKHW" -> "N, C, H, W" without groups."""
    if groups == 1 or ("G" in axes and "K" in axes):
        axes = axes.replace("G", "").replace("K", "C")
    return ", ".join({"K": "C/G"}.get(letter, letter) for letter in axes) or "nothing"


#: Mistakes whose settings are combinations, or a list of another module.
_COMBINED: dict[str, tuple[dict[str, Any], ...]] = {
    "wrong-axes": tuple({"axes": "".join(some)} for size in range(1, 6) for some in combinations("NGKHW", size)),
    "mixed-axes": tuple(
        {"axes": mean, "variance_axes": variance, "groups": 1, "about": about}
        for about in ("own", "mean")
        for mean, variance in permutations(("NHW", "HW", "KHW", "K", "NKHW", "H", "W", "KH", "KW"), 2)
    )
    + tuple(
        {"axes": mean, "variance_axes": variance, "about": about}
        for about in ("own", "mean")
        for mean, variance in permutations(("GKHW", "KHW", "HW", "NKHW"), 2)
    ),
    "part-of-the-set": tuple({"taken_from": part} for part in PARTS if part not in ("the first image", "the first group")),
    "other-location": tuple({"location": name, "about": about} for about in ("own", "mean") for name in LOCATIONS),
    "activation-inside": tuple({"activation": name} for name in ACTIVATIONS if name != "none"),
}


def _read_mistakes() -> tuple[Mistake, ...]:
    entries = tomllib.loads(resources.files(__package__).joinpath("mistakes.toml").read_text("utf-8"))
    tuples = ("changes", "kinds")
    return tuple(
        Mistake(key, **{"changes": _COMBINED.get(key, ())} | {k: tuple(v) if k in tuples else v for k, v in entry.items()})
        for key, entry in entries.items()
    )


#: In the order in which they are tried: of two that cannot be distinguished, the first is named.
MISTAKES = _read_mistakes()
BY_KEY = {mistake.key: mistake for mistake in MISTAKES}


def ways(stage: str, kind: str, groups: int, channels: int) -> Iterator[tuple[Mistake, dict[str, Any]]]:
    """Yield every way to make a mistake that first shows at that stage, in a norm of that kind.

    Mistakes in hidden running statistics show in evaluation.
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
            if right["groups"] == 1 and changes.get("left_out", "image") != "image":
                continue
            # Without a mean it is another formula.
            if not right.get("center", True) and (
                made.get("epsilon") in ("parentheses", "added") or made.get("affine") == "of_mean"
            ):
                continue
            if Formula(**{**right, **made}) != Formula(**right):
                yield mistake, made


def catalogue() -> str:
    """Return a Markdown table of all mistakes."""
    words = {"axes": "other axes", "variance_axes": "others", "right": "those of the norm", "groups": "a fixed number"}
    words |= {"activation": "such as ReLU", "variance": "by another number", "evaluation": "without the root, for example"}
    words |= {"taken_from": "a part of the set", "location": "median, for example,", "scale": "max(x) − min(x), for example,"}
    words |= {"gate": "one value", "eps": "another number", "start": "a tensor", "shapes": "of another shape"}
    rows = []
    for mistake in MISTAKES:
        row = f"| `{mistake.key}` | {mistake.wrong} | `{mistake.example}` | {mistake.symptom} | {mistake.right} |"
        for name, word in words.items():
            row = row.replace(f"{{{name}}}", word)
        rows.append(row)
    return "\n".join(
        ["| mistake | what the layer does | example | how it shows | what is right |", "|---|---|---|---|---|", *rows]
    )
