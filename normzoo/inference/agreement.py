"""Agreement of networks about one image, in a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass

from normzoo.variants import short_name

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Agreement:
    """The answers that were given, the most frequent first, each with the variants that gave it."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def sentence(self) -> str:
        """In words: "Four of six say lion (BN, IN, BIN, LN); NN says orange, GN says pizza."."""
        total = sum(len(variants) for _, variants in self.groups)
        if not total:
            return "No network was asked."
        if total == 1:
            return f"{_who_says(*self.groups[0])}."
        if len(self.groups) == 1:
            return f"{'Both' if total == 2 else f'All {_number(total)}'} say {self.groups[0][0]}."
        if len(self.groups) == total:
            words = "They disagree" if total == 2 else "No two agree"
            return f"{words}: {', '.join(_who_says(*group) for group in self.groups)}."
        label, variants = self.groups[0]
        first = f"{_number(len(variants)).capitalize()} of {_number(total)} say {label} ({_names(variants)})"
        return f"{first}; {', '.join(_who_says(*group) for group in self.groups[1:])}."

    def verdict(self, truth: str = "") -> tuple[str, str]:
        """A headline, and who says something else: ("Four of six are right: lion", "NN says orange, GN says pizza.").

        Args:
            truth: what the image shows; empty where that is not known.
        """
        total = sum(len(variants) for _, variants in self.groups)
        if not truth or not total:
            headline, mark, rest = self.sentence.rstrip(".").partition("; " if "; " in self.sentence else ": ")
            return headline, f"{rest}." if mark else ""
        right = len(dict(self.groups).get(truth, ()))
        others = ", ".join(_who_says(*group) for group in self.groups if group[0] != truth)
        if right == total:
            count = "It is right" if total == 1 else f"{'Both' if total == 2 else f'All {_number(total)}'} are right"
        elif right:
            count = f"{_number(right).capitalize()} of {_number(total)} {'is' if right == 1 else 'are'} right"
        else:
            count = "It is wrong" if total == 1 else f"All {_number(total)} are wrong"
        return f"{count}: {truth}", f"{others}." if others else ""


def agreement(labels: Mapping[str, str]) -> Agreement:
    """Group the networks by what they say.

    Args:
        labels: variant -> its most probable class, in the order to name them in.
    """
    groups: dict[str, list[str]] = {}
    for variant, label in labels.items():
        groups.setdefault(label, []).append(variant)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))  # stable: ties stay in the order given
    return Agreement(tuple((label, tuple(variants)) for label, variants in ranked))


def _who_says(label: str, variants: tuple[str, ...]) -> str:
    if len(variants) == 1:
        return f"{_names(variants)} says {label}"
    return f"{_number(len(variants))} say {label} ({_names(variants)})"


def _names(variants: tuple[str, ...]) -> str:
    return ", ".join(short_name(variant) for variant in variants)


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)
