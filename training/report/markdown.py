"""Pieces of a report: sections, figures to draw, tables and commands in Markdown."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from normzoo.analysis.findings.finding import Figures, Finding


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
    summary: str = ""  # one sentence for the top of the report

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


def finding_blocks(finding: Finding) -> list[str | Drawing]:
    """Return the paragraphs, tables and points of a finding."""
    tables = [figures_table(figures) for figures in finding.tables]
    return [*finding.paragraphs, *tables, *([bullets(finding.points)] if finding.points else [])]


def figures_table(figures: Figures) -> str:
    """Return a table under its caption."""
    return f"{figures.caption}.\n\n{bare_table(figures)}"


def bare_table(figures: Figures) -> str:
    """Return a table without its caption."""
    return table(list(figures.texts), zip(*figures.texts.values(), strict=True))
