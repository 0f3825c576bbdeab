"""Numbers and lists in words, the same on the page, in the report and on the command line."""

from collections.abc import Sequence


def listed(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def capital(words: str) -> str:
    """Return words with a capital at their start: "macro F1" -> "Macro F1"."""
    return words[:1].upper() + words[1:]


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction in per cent, without the sign of it."""
    return f"{100 * fraction:.{digits}f}"


def signed(fraction: float, digits: int = 2) -> str:
    """Return a difference in points, with its sign: "+1.20", "−0.40"."""
    return minus(f"{100 * fraction:+.{digits}f}")


def counted(count: int, thing: str) -> str:
    """Return "1 pair", "2 pairs"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def p_text(value: float) -> str:
    """Return a p-value: "0.012", "3.4e−05"; a dash for what was not tested."""
    if value != value:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else minus(f"{value:.1e}")


def minus(text: str) -> str:
    """Return the text with a minus sign in place of each hyphen before a digit."""
    return text.replace("-", "−") if any(character.isdigit() for character in text) else text
