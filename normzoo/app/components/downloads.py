"""Buttons that save a figure or its numbers as a file, made when somebody asks for it; links that hold a table.

The file travels inside the answer and the browser saves it: nothing is written on the server, and nothing is left there.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import pandas as pd
from tabulate import tabulate

from normzoo.app.components.html import render
from normzoo.app.core.controls import LAST_WINS, UNDOCUMENTED
from normzoo.formatting import to_csv
from normzoo.plotting.spec import Chart

#: file format -> its media type
FORMATS = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv;charset=utf-8", "tex": "application/x-tex"}
TITLES = {"tex": "LaTeX"}

#: What pdflatex does not know outside of math.
_LATEX_SIGNS = str.maketrans(
    {"−": "$-$", "±": r"$\pm$", "×": r"$\times$", "√": r"$\surd$", "·": r"$\cdot$", "…": r"\dots{}", "★": r"$\star$"}
    | {"→": r"$\to$", "≤": r"$\leq$", "≥": r"$\geq$", "ε": r"$\varepsilon$", "–": "--", "\u00a0": "~"}
)

_SAVE = """
(file) => {
  const bytes = Uint8Array.from(atob(file.base64), (letter) => letter.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], {type: file.type}));
  Object.assign(document.createElement("a"), {href: url, download: file.name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
"""


def build(
    make: Callable[..., tuple[str, bytes]],
    inputs: Sequence[Any],
    api_name: str,
    busy: gr.Plot | gr.HTML,
    formats: Sequence[str] = tuple(FORMATS),
) -> None:
    """Place a button for each format.

    Args:
        make: gives the file's name without its ending, and its content; takes the values of `inputs`, and the format.
        api_name: how the events' names begin.
        busy: what shows that a file is being made.
        formats: keys of `FORMATS`.
    """
    with gr.Row(elem_classes="downloads"):
        for file_format in formats:
            file = gr.JSON(visible=False)
            button = gr.Button(f"Download {TITLES.get(file_format, file_format.upper())}", size="sm", scale=0, min_width=120)
            made = button.click(
                _maker(make, file_format),
                list(inputs),
                file,
                api_name=f"{api_name}_{file_format}",
                show_progress_on=busy,
                **{**UNDOCUMENTED, **LAST_WINS},
            )
            made.success(None, file, None, js=_SAVE, api_name=f"save_{api_name}_{file_format}", **UNDOCUMENTED)


def chart_file(chart: Chart, numbers: pd.DataFrame, file_format: str) -> bytes:
    """A chart as a picture, or its numbers."""
    if file_format == "csv":
        return to_csv(numbers, float_format="%.8g").encode()
    if file_format == "tex":
        return to_latex(numbers.map(lambda value: f"{value:.4g}" if isinstance(value, float) else value)).encode()
    from normzoo.plotting import matplotlib  # only for those who want a picture

    return matplotlib.to_bytes(matplotlib.draw(chart), file_format)


def file_name(model_set_name: str, *words: str) -> str:
    """A name that says what is in the file: "normzoo-tiny-imagenet-25-paper-loss-validation"."""
    return "-".join(["normzoo", *model_set_name.split("/"), *words]).replace("_", "-").lower()


def _maker(make: Callable[..., tuple[str, bytes]], file_format: str) -> Callable[..., dict[str, str]]:
    def make_file(*values: Any) -> dict[str, str]:
        """A file: its name, its media type, and its content in base64."""
        name, content = make(*values, file_format)
        return {"name": f"{name}.{file_format}", "type": FORMATS[file_format], "base64": base64.b64encode(content).decode()}

    return make_file


def csv_link(texts: pd.DataFrame, name: str, full: pd.DataFrame | None = None) -> str:
    """Return links that hold a table as CSV and as LaTeX: nothing is written on the server, and nothing is left there.

    Args:
        full: what the CSV holds in the place of what is shown.
    """
    table = to_csv(texts if full is None else full)
    csv, latex = (base64.b64encode(text.encode()).decode() for text in (table, to_latex(texts)))
    return render("csv_link.html", name=name.removesuffix(".csv"), csv=csv, latex=latex)


def to_latex(texts: pd.DataFrame) -> str:
    """Return a table for LaTeX with the package booktabs, its first column to the left, signs in math."""
    rows = texts.map(str).to_numpy().tolist()
    sides = ["left", *["right"] * (len(texts.columns) - 1)]
    # Not pandas' own `to_latex`: it takes 5 ms a table, more than a network takes for its answer.
    latex = tabulate(rows, list(texts.columns), "latex_booktabs", colalign=sides, disable_numparse=True)
    return latex.translate(_LATEX_SIGNS) + "\n"
