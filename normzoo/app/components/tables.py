"""A table as HTML, sortable by its headings.

Not Gradio's Dataframe: its headings cannot be reached by keyboard, and its cells are drawn twice.
"""

import base64
import html
from collections.abc import Mapping

import pandas as pd

#: What a marked cell means, to be said once below its table.
BEST_NOTE = '<p class="explanation">★ the best of its column.</p>'

# `element` is what Gradio gives to such a script: the component's own part of the page. Its rows come and go; it stays.
SORT_SCRIPT = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("thead button");
  if (!button) return;
  const heading = button.closest("th"), table = button.closest("table"), column = heading.cellIndex;
  const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const compare = (a, b) => a === b ? 0 : isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  const value = (row) => row.cells[column].dataset.value;
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => direction * compare(value(a), value(b))));
});
"""


def sortable(
    numbers: pd.DataFrame, texts: pd.DataFrame, caption: str, higher_is_better: Mapping[str, bool] | None = None
) -> str:
    """A table whose first column names its rows.

    Args:
        numbers: what to sort by.
        texts: what to show, of the same shape.
        caption: what it is a table of.
        higher_is_better: the columns in which the best is marked, and in which direction.
    """
    headings = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{html.escape(str(title))}</button></th>'
        for title in texts.columns
    )
    best = {title: _best(numbers[title], higher) for title, higher in (higher_is_better or {}).items()}
    is_best = [[bool(row in best.get(title, ())) for title in texts.columns] for row in range(len(texts))]
    rows = "".join(
        f"<tr>{''.join(_cell(*cell, is_name=place == 0) for place, cell in enumerate(zip(*row, strict=True)))}</tr>"
        for row in zip(numbers.itertuples(index=False), texts.itertuples(index=False), is_best, strict=True)
    )
    caption = html.escape(caption)
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def csv_link(texts: pd.DataFrame, name: str, words: str = "Download as CSV") -> str:
    """A link that holds its file: nothing is written on the server, and nothing is left there."""
    data = base64.b64encode(texts.to_csv(index=False).encode()).decode()
    return (
        f'<p><a class="csv-link" download="{html.escape(name)}" href="data:text/csv;charset=utf-8;base64,{data}">'
        f"{html.escape(words)}</a></p>"
    )


def _best(column: pd.Series, higher: bool) -> list[int]:
    """The rows that hold the best number; none where all hold the same."""
    values = pd.to_numeric(column, errors="coerce").reset_index(drop=True)
    best = values.max() if higher else values.min()
    return [] if values.nunique() < 2 else values.index[values == best].tolist()


def _cell(value: object, text: object, is_best: bool, is_name: bool) -> str:
    tag = 'th scope="row"' if is_name else "td"
    mark = ' class="best"' if is_best else ""
    return f'<{tag}{mark} data-value="{html.escape(str(value))}">{html.escape(str(text))}</{tag.partition(" ")[0]}>'
