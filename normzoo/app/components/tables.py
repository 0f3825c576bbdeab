"""A table as HTML, sortable by its headings.

Not Gradio's Dataframe: its headings cannot be reached by keyboard, and its cells are drawn twice.
"""

import base64
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from normzoo.app.components.html import render
from normzoo.formatting import to_csv

#: What a marked cell means, to be said once below its table.
BEST_NOTE = '<p class="explanation">★ the best of its column.</p>'

#: What pdflatex does not know outside of math.
_LATEX_SIGNS = str.maketrans(
    {"−": "$-$", "±": r"$\pm$", "×": r"$\times$", "√": r"$\surd$", "·": r"$\cdot$", "…": r"\dots{}", "★": r"$\star$"}
    | {"→": r"$\to$", "≤": r"$\leq$", "≥": r"$\geq$", "ε": r"$\varepsilon$", "–": "--", "\u00a0": "~"}
)

SORT_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def sortable(
    numbers: pd.DataFrame, texts: pd.DataFrame, caption: str, higher_is_better: Mapping[str, bool] | None = None
) -> str:
    """Return a table whose first column names its rows.

    Args:
        numbers: what to sort by.
        texts: what to show, of the same shape.
        caption: what it is a table of.
        higher_is_better: the columns in which the best is marked, and in which direction.
    """
    best = {title: _best(numbers[title], higher) for title, higher in (higher_is_better or {}).items()}
    rows = [
        [
            {"value": value, "text": text, "is_best": row in best.get(title, ())}
            for title, value, text in zip(texts.columns, values, shown, strict=True)
        ]
        for row, (values, shown) in enumerate(zip(numbers.itertuples(index=False), texts.itertuples(index=False), strict=True))
    ]
    return render("table.html", caption=caption, titles=list(texts.columns), rows=rows)


def csv_link(texts: pd.DataFrame, name: str, words: str = "Download as CSV", full: pd.DataFrame | None = None) -> str:
    """Return links that hold a table as CSV and as LaTeX: nothing is written on the server, and nothing is left there.

    Args:
        full: what the CSV holds in the place of what is shown.
    """
    table = to_csv(texts if full is None else full)
    csv, latex = (base64.b64encode(text.encode()).decode() for text in (table, to_latex(texts)))
    return render("csv_link.html", name=name.removesuffix(".csv"), csv=csv, latex=latex, words=words)


def to_latex(texts: pd.DataFrame) -> str:
    """Return a table for LaTeX with the package booktabs, its first column to the left, signs in math."""
    rows = texts.map(str).to_numpy().tolist()
    sides = ["left", *["right"] * (len(texts.columns) - 1)]
    # Not pandas' own `to_latex`: it takes 5 ms a table, more than a network takes for its answer.
    latex = tabulate(rows, list(texts.columns), "latex_booktabs", colalign=sides, disable_numparse=True)
    return latex.translate(_LATEX_SIGNS) + "\n"


def _best(column: pd.Series, higher: bool) -> list[int]:
    """The rows that hold the best number; none where all hold the same."""
    values = pd.to_numeric(column, errors="coerce").reset_index(drop=True)
    best = values.max() if higher else values.min()
    return [] if values.nunique() < 2 else values.index[values == best].tolist()
