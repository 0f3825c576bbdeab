"""Finding: sentences and tables that follow from stored results, for the page and the report to render."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from normzoo.analysis.comparisons import ControlledChange
from normzoo.formatting import listed, minus, signed
from normzoo.variants import short_name


@dataclass
class Figures:
    """Table of figures: the numbers to sort by, the texts to show.

    Args:
        caption: one phrase about all of it.
    """

    caption: str
    numbers: dict[str, list[Any]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    #: Column -> is a higher figure the better one? Columns without an answer are not there.
    higher_is_better: dict[str, bool] = field(default_factory=dict)

    def add(
        self,
        title: str,
        values: Iterable[Any],
        pattern: str = "",
        higher_is_better: bool | None = None,
        texts: Sequence[str] | None = None,
    ) -> None:
        """Add a column; None becomes a dash. The pattern is one of `format`, applied once, to the stored figure; `texts` stand
        in place of what it gives.
        """
        column = list(values)
        self.numbers[title] = [float("nan") if value is None else value for value in column]
        formatted = ("–" if pd.isna(value) else minus(format(value, pattern)) for value in column)
        self.texts[title] = list(formatted if texts is None else texts)
        if higher_is_better is not None:
            self.higher_is_better[title] = higher_is_better

    @property
    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The numbers and the texts, of the same shape."""
        return pd.DataFrame(self.numbers), pd.DataFrame(self.texts)


@dataclass
class Finding:
    """Sentences and tables that stored results give for one question.

    Args:
        summary: one sentence for the top of a report; empty where there is nothing to say.
    """

    summary: str = ""
    paragraphs: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    tables: list[Figures] = field(default_factory=list)


def beyond_words(change: ControlledChange) -> str:
    """Return the part of a change that is beyond the control's, its interval, and whether it can be told from nothing."""
    beyond = change.beyond
    verdict = "cannot be told from nothing" if beyond.low <= 0 <= beyond.high else "is more than chance over images"
    return (
        f"{signed(beyond.value)} points (95% interval {signed(beyond.low)} to {signed(beyond.high)}, "
        f"n = {len(change.seeds)}): it {verdict}"
    )


def changes_told(changes: pd.DataFrame) -> str:
    """Return "BN +1.2 and GN −0.4 (seeds of both: n = 3)", of what `comparisons.changes` gives."""
    told = [f"{short_name(row.variant)} {signed(row.change, 1)}" for row in changes.itertuples()]
    return f"{listed(told)} (seeds of both: n = {listed([str(count) for count in sorted(set(changes['n']))])})"


def change_figures(changes: pd.DataFrame, caption: str, before: str, after: str) -> Figures:
    """Return the table of what `comparisons.changes` gives, under the names of both forms."""
    table = Figures(f"{caption}; change with its 95% interval, a paired bootstrap")
    table.add("Network", [short_name(variant) for variant in changes["variant"]])
    table.add("n", changes["n"], "d")
    for title, key in ((before, "before"), (after, "after")):
        table.add(f"{title} (%)", 100 * changes[key], ".2f", higher_is_better=True)
    for title, key in (("Change (points)", "change"), ("From", "low"), ("To", "high")):
        table.add(title, 100 * changes[key], "+.2f")
    return table
