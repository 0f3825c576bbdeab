"""Tables as files: CSV and LaTeX say what the page shows."""

import csv
import html
import io
import re
import urllib.error
import urllib.request

import pandas as pd
import pytest

from normzoo.app.components.downloads import csv_link
from normzoo.app.components.html import sortable


def test_the_csv_is_the_table():
    numbers = pd.DataFrame({"Network": ["BN", "<GN>"], "Accuracy (%)": [51.0, 48.5]})
    texts = numbers.astype({"Accuracy (%)": str})
    shown = [
        [html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(?:<button[^>]*>)?(.*?)<", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", sortable(numbers, texts, "Results"))
    ]
    with urllib.request.urlopen(re.search(r'href="(data:[^"]+)"', csv_link(texts, "results.csv"))[1]) as link:
        assert [line.split(",") for line in link.read().decode().splitlines()] == shown


def test_the_latex_is_the_table_in_what_pdflatex_knows():
    signs = "−1 ± 2 × √3 · 4 … ★ → ≤ ≥ ε – 5\u00a06"
    texts = pd.DataFrame({"Norm": ["BN & IN", "50% of x_1"], "F1 #": [signs, 0.5]})
    address = re.findall(r'download="results\.(\w+)" href="(data:[^"]+)"', csv_link(texts, "results.csv"))
    assert [ending for ending, _ in address] == ["csv", "tex"]
    with urllib.request.urlopen(address[1][1]) as link:
        latex = re.sub(" +", " ", link.read().decode())
    assert latex.isascii()
    assert latex.startswith("\\begin{tabular}{lr}\n\\toprule\n Norm & F1 \\# \\\\\n")
    assert "50\\% of x\\_1 & 0.5 \\\\" in latex
    assert r"$-$1 $\pm$ 2 $\times$ $\surd$3 $\cdot$ 4 \dots{} $\star$ $\to$ $\leq$ $\geq$ $\varepsilon$ -- 5~6" in latex


@pytest.mark.parametrize(
    ("cell", "written"),
    [("=1+1", "'=1+1"), ("+cmd", "'+cmd"), ("-x", "'-x"), ("@a", "'@a"), ("\tb", "'\tb"), ("a\r=b", "a =b"), (" =c", "' =c")]
    + [(same, same) for same in ("-1.5", "+2", "a=b", "", "−0.4", "-1e-3")],
)
def test_no_cell_is_a_formula(cell, written):
    texts = pd.DataFrame({cell: [cell], "number": [-1.5]})
    with urllib.request.urlopen(re.search(r'href="(data:[^"]+)"', csv_link(texts, "results.csv"))[1]) as link:
        assert list(csv.reader(io.StringIO(link.read().decode(), newline=""))) == [[written, "number"], [written, "-1.5"]]
