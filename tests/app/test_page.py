"""The page without a browser: what it is made of, what its events answer, its tables as files."""

import contextlib
import csv
import html
import io
import json
import logging
import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import Mock
from urllib.parse import urlsplit

import gradio as gr
import pandas as pd
import pytest
from gradio.state_holder import SessionState
from gradio.utils import get_upload_folder

from normzoo import NORM_LAYERS, load_image
from normzoo.app import build_demo
from normzoo.app.components.downloads import csv_link
from normzoo.app.components.html import NO_NETWORKS, sortable
from normzoo.app.core import upload as photo
from normzoo.app.core.errors import UNEXPECTED, GuardedBlocks, guarded
from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.app.page import TABS
from normzoo.app.tabs import compare, curves
from normzoo.app.tabs.evidence import FORMER
from normzoo.errors import ImageError
from tests.support.checkpoints import save_variant, save_zoo
from tests.support.image_files import plain, save
from tests.support.visitor import Failed, Visitor, file_value, words

PHOTO = FOLDER / EXAMPLES[0].file


def test_the_page_has_its_tabs_and_choosers(demo):
    components = demo.get_config_file()["components"]
    assert [part["props"]["label"] for part in components if part["type"] == "tabitem"] == [title for _, title, _ in TABS]
    variants = next(part["props"] for part in components if part["type"] == "checkboxgroup")
    assert variants["choices"] == [(key.upper(), key) for key in NORM_LAYERS]
    assert variants["value"] == [*NORM_LAYERS]
    assert next(part["props"] for part in components if part["type"] == "dropdown")["visible"]
    report = next(part["props"] for part in components if part["props"].get("elem_id") == "report")
    assert report["value"].count('<li class="card') == len(NORM_LAYERS)  # before anyone asks


def test_the_chooser_of_sets_is_hidden_while_there_is_one(tmp_path):
    save_variant(tmp_path, "bn")
    components = build_demo(tmp_path).get_config_file()["components"]
    assert not next(part["props"] for part in components if part["type"] == "dropdown")["visible"]


def test_the_last_choice_wins(demo):
    """One event fills a part of the page, or some that take turns. Nothing else is started by what starts it."""
    filled: dict[int, set[str]] = {}
    started: Counter[Any] = Counter()
    for event in demo.fns.values():
        if event.api_name in FORMER:  # for programs alone
            continue
        assert event.trigger_mode == "always_last" or event.is_cancel_function, event.api_name
        if event.fn is None:
            continue
        assert not any(kind is gr.EventData for kind in get_type_hints(event.fn).values()), event.api_name
        started.update(target for target in event.targets if target[0] is not None)
        if event.api_name not in ("open_link", "list_variants"):  # the second cancels the first
            for output in event.outputs:
                filled.setdefault(output._id, set()).add(str(event.concurrency_id))
    assert set(started.values()) == {1}
    assert len(filled) > 20
    assert all(len(turns) == 1 for turns in filled.values())


def test_no_event_lets_gradio_open_what_a_visitor_sent_and_all_are_guarded(demo):
    assert not any(event.preprocess for event in demo.fns.values())
    with GuardedBlocks() as other:
        photo = gr.Image(type="pil")
        photo.change(lambda opened: 1 / 0, photo, None, preprocess=True)
    (event,) = other.fns.values()
    assert not event.preprocess
    with pytest.raises(gr.Error, match="went wrong on the server"):
        event.fn(None)


@pytest.mark.parametrize("kind", ["eps", "tiff", "ppm", "pcx", "ico", "pdf"])
def test_no_event_opens_a_file_that_is_no_photo(demo, url, kind, monkeypatch):
    opened = Mock(side_effect=AssertionError)
    monkeypatch.setattr("PIL.Image.open", opened)
    with contextlib.closing(Visitor(urlsplit(url).port)) as visitor:
        folder = Path(get_upload_folder())
        path = json.loads(visitor.upload(save(plain(), kind), name=f"x.{kind}").body)[0]
        before = sorted(folder.rglob("*"))
        for event in demo.fns.values():
            if event.fn is not None and any(isinstance(each, gr.Image) for each in event.inputs):
                values = [file_value(path) if isinstance(each, gr.Image) else each.value for each in event.inputs]
                with pytest.raises(Failed, match=r"^[A-Z].*\.$"):
                    visitor.run(event._id, values)
        assert opened.call_count == 0
        assert sorted(folder.rglob("*")) == before


def test_with_nothing_packaged_the_page_says_how_to_make_it_and_with_nothing_readable_it_opens(tmp_path):
    page = str(build_demo(tmp_path).get_config_file())
    assert "python -m training study" in page
    assert "Copy link" not in page
    (save_variant(tmp_path, "bn") / "config.json").unlink()
    assert "Unavailable." in words(str(build_demo(tmp_path).get_config_file()))


def test_without_networks_the_page_asks_for_some(catalog):
    model_set = catalog.get("toy/paper")
    assert compare.answer(catalog, model_set, [], load_image(PHOTO)) == (NO_NETWORKS, {})
    assert compare.tabulate_answers(catalog, model_set, [], load_image(PHOTO)) == ""
    assert NO_NETWORKS in curves.draw(catalog, curves.View(model_set, [], "loss", "Both"))[1]
    assert curves.tabulate(catalog, curves.View(model_set, [])) == (NO_NETWORKS, [])


@pytest.mark.parametrize("value", [{}, {"path": None}, {"path": ""}, {"url": "data:image/png;base64,AAAA"}, "photo.png", 3])
def test_what_is_not_an_upload_is_refused(value):
    with pytest.raises(ImageError, match="did not arrive as a file"):
        photo.photo_path(value)


@pytest.mark.parametrize(
    ("error", "told", "logged"),
    [
        (ImageError("<b>This</b> is no picture."), "&lt;b&gt;This&lt;/b&gt; is no picture.", False),
        (RuntimeError("/secret/path"), UNEXPECTED, True),
    ],
)
def test_an_expected_error_is_told_as_text_and_another_is_logged_alone(error, told, logged, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught:
        guarded(Mock(side_effect=error, __name__="fails"))()
    assert caught.value.message == told
    assert (str(error) in caplog.text) == logged


def test_a_new_visitor_does_not_wait_for_the_signatures_of_all_components(tmp_path, monkeypatch):
    demo = build_demo(save_zoo(tmp_path))
    asked = []
    monkeypatch.setattr("inspect._signature_from_function", lambda *arguments, **_: asked.append(arguments))
    SessionState(demo)
    assert asked == []


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
