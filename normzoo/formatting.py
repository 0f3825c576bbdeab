"""Numbers and lists as text, for the page, the report and the command line."""

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def listed(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def capital(words: str) -> str:
    """Return the text with a capital first letter: "macro F1" -> "Macro F1"."""
    return words[:1].upper() + words[1:]


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction in per cent, without the sign %."""
    return f"{100 * fraction:.{digits}f}"


def signed(fraction: float, digits: int = 2) -> str:
    """Return a difference in points, with its sign: "+1.20", "−0.40"."""
    return minus(f"{100 * fraction:+.{digits}f}")


def counted(count: int, thing: str) -> str:
    """Return "1 pair", "2 pairs"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def p_text(value: float) -> str:
    """Return a p-value: "0.012", "3.4e−05"; a dash if not tested."""
    if value != value:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else minus(f"{value:.1e}")


def minus(text: str) -> str:
    """Return the text with a minus sign in place of each hyphen before a digit."""
    return text.replace("-", "−") if any(character.isdigit() for character in text) else text


def visible(text: str) -> str:
    """Return a text with its control characters shown, so that a name cannot move a terminal's cursor."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        sign.encode("unicode_escape").decode() if sign not in "\n\t" and unicodedata.category(sign) in hidden else sign
        for sign in text
    )


def csv_cell(value: Any) -> Any:
    """Return a value as a CSV cell: a text that a spreadsheet would read as a formula gets a leading apostrophe."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which would end the line
    if text.lstrip()[:1] not in ("=", "+", "-", "@") and text[:1] != "\t":
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def to_csv(table: "pd.DataFrame", **options: Any) -> str:
    """Return a table as CSV without formulas; `options` are those of pandas."""
    return str(table.map(csv_cell).rename(columns=csv_cell).to_csv(index=False, **options))
