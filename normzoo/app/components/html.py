"""HTML by templates, which escape whatever is put into them; small pictures as part of it; tables that can be sorted."""

import base64
import functools
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from normzoo.plotting.spec import style_of
from normzoo.variants import describe_variant, short_name

NO_NETWORKS = '<p class="hint">Choose at least one network at the top of the page.</p>'
#: What a marked cell means, to be said once below its table.
BEST_NOTE = '<p class="explanation">★ the best of its column.</p>'
#: Tables are not Gradio's Dataframe, whose headings cannot be reached by keyboard, and whose cells are drawn twice.
SORT_SCRIPT = Path(__file__).with_name("tables.js").read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("normzoo.app.components"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (style_of, short_name, describe_variant, per_cent):
        environment.globals[function.__name__] = function
    return environment


def per_cent(probability: float) -> str:
    """Return a probability with as many digits as tell it from certainty: "83%", "99.8%"."""
    return f"{100 * probability:.{1 if 0.99 < probability < 0.9995 else 0}f}%"


def render(template: str, **context: Any) -> str:
    """Return the HTML of a template in `templates/`; `Markup` in its context stays as it is, all else is escaped."""
    return _environment().get_template(template).render(**context)


#: Of Markdown what sentences hold: code, and what is strong.
_MARKS = {r"`([^`]+)`": r"<code>\1</code>", r"\*\*(.+?)\*\*": r"<strong>\1</strong>"}


def marked(markdown: str) -> Markup:
    """A line of Markdown as HTML."""
    text = str(escape(markdown))  # of a Markup, re.sub would escape the tags too
    for mark, tag in _MARKS.items():
        text = re.sub(mark, tag, text)
    return Markup(text)


def unavailable(problems: Mapping[str, str]) -> str:
    """Return a list of the variants that could not be read, and why; nothing where there are none."""
    return render("unavailable.html", problems=problems)


def png_url(pixels: np.ndarray) -> str:
    """Pixels, uint8 (H, W), (H, W, 3) or (H, W, 4), as a `data:` address, exactly."""
    return _url(Image.fromarray(pixels), "PNG")


def tiles(maps: np.ndarray, columns: int) -> np.ndarray:
    """Grey maps side by side in rows of so many, see-through between.

    Args:
        maps: uint8, (N, h, w).

    Returns:
        uint8, (rows·(h+1) - 1, columns·(w+1) - 1, 4).
    """
    count, height, width = maps.shape
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height + 1, width + 1, 4), np.uint8)
    cells[:count, :-1, :-1, :3], cells[:count, :-1, :-1, 3] = maps[..., None], 255
    return cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2).reshape(rows * (height + 1), -1, 4)[:-1, :-1]


def jpeg_url(picture: Image.Image) -> str:
    """A picture as a `data:` address, much smaller and not exactly."""
    return _url(picture, "JPEG")


def _url(picture: Image.Image, file_format: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, file_format)
    return f"data:image/{file_format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


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


def _best(column: pd.Series, higher: bool) -> list[int]:
    """The rows that hold the best number; none where all hold the same."""
    values = pd.to_numeric(column, errors="coerce").reset_index(drop=True)
    best = values.max() if higher else values.min()
    return [] if values.nunique() < 2 else values.index[values == best].tolist()
