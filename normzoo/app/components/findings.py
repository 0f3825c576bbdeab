"""Findings as HTML: paragraphs, points, sortable tables with their CSV."""

from collections.abc import Sequence

from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.app.components import downloads
from normzoo.app.components.html import render
from normzoo.app.components.tables import BEST_NOTE, csv_link, sortable


def finding_html(finding: Finding, folded: Sequence[str] = (), folded_title: str = "") -> str:
    """Return the paragraphs and points of a finding.

    Args:
        folded: lines that are shown when somebody asks for them, under `folded_title`.
    """
    return render("finding.html", finding=finding, folded=folded, folded_title=folded_title)


def figures_html(figures: Figures, file_name: str, words: str = "Download as CSV") -> str:
    """Return a sortable table with a link that holds it as CSV."""
    numbers, texts = figures.frames
    note = BEST_NOTE if figures.higher_is_better else ""
    return sortable(numbers, texts, figures.caption, figures.higher_is_better) + note + csv_link(texts, file_name, words)


def tables_html(finding: Finding, file_name: str, words: str = "Download as CSV") -> str:
    """Return all tables of a finding."""
    return "".join(figures_html(figures, file_name, words) for figures in finding.tables)


def csv_name(model_set_name: str, what: str) -> str:
    """Return the name of a file that is downloaded: "normzoo-tiny-imagenet-25-paper-pairs.csv"."""
    return f"{downloads.file_name(model_set_name, what)}.csv"
