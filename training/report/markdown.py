"""Pieces of a report: sections, figures to draw, tables and commands in Markdown."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn, and the data that it shows."""

    name: str  # its file without the suffix, such as "tiny-imagenet-25/paper/bn"
    title: str
    data: str  # all that decides what it shows, as text
    draw: Callable[[], Any]  # gives the matplotlib figure

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data.encode()).hexdigest()[:16]


@dataclass
class Section:
    """A heading with paragraphs and figures below it."""

    title: str
    blocks: list[str | Drawing] = field(default_factory=list)
    gist: str = ""  # one sentence for the top of the report

    def add(self, *blocks: str | Drawing) -> None:
        self.blocks += [block for block in blocks if block]


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; the first column to the left, all others to the right."""
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *[[str(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def details(summary: str, *blocks: str | Drawing) -> list[str | Drawing]:
    """What is folded away until it is asked for."""
    return [f"<details>\n<summary>{summary}</summary>", *blocks, "</details>"]


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def commands(*lines: str) -> str:
    """Commands that make again what is above."""
    return "Made again by:\n\n```sh\n" + "\n".join(lines) + "\n```"


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def percent(fraction: float, digits: int = 2) -> str:
    return f"{100 * fraction:.{digits}f}"


def signed(fraction: float, digits: int = 2) -> str:
    """A difference in points, with its sign: "+1.20", "−0.40"."""
    return f"{100 * fraction:+.{digits}f}".replace("-", "−")


def how_often(count: int, thing: str) -> str:
    """1 pair, 2 pairs"""
    return f"{count} {thing}{'' if count == 1 else 's'}"
