"""The page without a browser: what it is made of, what its events answer, and how it is served."""

import html
import json
import logging
import re
import socket
import urllib.error
import urllib.request
from collections import Counter
from typing import Any, get_type_hints

import gradio as gr
import pandas as pd
import pytest
from gradio.state_holder import SessionState
from gradio_client import Client, handle_file
from gradio_client.exceptions import ValidationError
from PIL import Image

from normzoo import NORM_LAYERS, load_image, load_models, predict_many
from normzoo.analysis.results import METRICS, final_metrics, metrics_on_screen
from normzoo.app import build_demo
from normzoo.app.components import theme
from normzoo.app.components.html import NO_NETWORKS
from normzoo.app.components.tables import csv_link, sortable
from normzoo.app.core import upload as photo
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of, variants_of
from normzoo.app.core.errors import UNEXPECTED, guarded
from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.app.page import TABS
from normzoo.app.server.launch import serve
from normzoo.app.server.settings import Settings
from normzoo.app.tabs.classify import tab as classify
from normzoo.app.tabs.curves import tab as curves
from normzoo.app.tabs.results import tab as results
from normzoo.errors import ConfigError, ImageError
from tests.support.checkpoints import CLASSES, save_variant, save_zoo

PUBLIC_EVENTS = {
    "follow_value",
    "value_maps",
    "turn",
    "compare_networks",
    "calibration",
    "confusion",
    "per_class",
    "batch_sizes",
    "robustness",
    "classify",
    "every_probability",
    "many_photos",
    "other_companies",
    "activation_maps",
    "disturb",
    "learning_curves",
    "learning_panels",
    "about",
    "results",
    "inside",
    "feature_maps",
}
PHOTO = FOLDER / EXAMPLES[0].file


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    for variant in ("bn", "gn", "torch-bn", "bn-bs8"):
        save_variant(root, variant, "toy/extras")
    (root / "toy" / "extras" / "gn" / "model.safetensors").write_bytes(b"torn")
    (root / "toy" / "extras" / "torch-bn" / "metrics.json").write_text("{")
    return root


@pytest.fixture(scope="module")
def catalog(root):
    return Catalog(root)


@pytest.fixture(scope="module")
def demo(root):
    return build_demo(root)


@pytest.fixture(scope="module")
def url(demo):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield serve(demo, Settings(port=port))
    demo.close()


def words(text: str) -> str:
    """What a person reads of some HTML."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def test_the_page_has_its_tabs_and_choosers(demo):
    components = demo.get_config_file()["components"]
    assert [part["props"]["label"] for part in components if part["type"] == "tabitem"] == [title for title, _ in TABS]
    variants = next(part["props"] for part in components if part["type"] == "checkboxgroup")
    assert variants["choices"] == [("BN", "bn"), ("GN", "gn"), ("BN batch 8", "bn-bs8"), ("torch BN", "torch-bn")]
    assert variants["value"] == ["bn", "gn"]
    assert next(part["props"] for part in components if part["type"] == "dropdown")["visible"]


def test_the_chooser_of_sets_is_hidden_while_there_is_one(tmp_path):
    save_variant(tmp_path, "bn")
    components = build_demo(tmp_path).get_config_file()["components"]
    assert not next(part["props"] for part in components if part["type"] == "dropdown")["visible"]


def test_every_event_has_a_name_and_the_public_ones_are_explained(demo):
    events = list(demo.fns.values())
    assert all(isinstance(event.api_name, str) for event in events)
    assert len({event.api_name for event in events}) == len(events)
    public = {event.api_name: event for event in events if event.api_visibility == "public"}
    assert set(public) == PUBLIC_EVENTS
    assert all(event.fn.__doc__ for event in public.values())


def test_the_last_choice_wins(demo):
    """One event fills a part of the page, or some that take turns. Nothing else is started by what starts it."""
    filled: dict[int, set[str]] = {}
    started: Counter[Any] = Counter()
    for event in demo.fns.values():
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


def test_the_example_is_classified_before_anyone_asks(demo):
    report = next(part["props"] for part in demo.get_config_file()["components"] if part["props"].get("elem_id") == "report")
    assert report["value"].count('<li class="card') == 2


def test_with_nothing_packaged_the_page_says_how_to_make_it(tmp_path):
    texts = [part["props"].get("value") for part in build_demo(tmp_path).get_config_file()["components"]]
    assert any("python -m training study" in str(text) for text in texts)


def test_every_network_answers(catalog):
    report, data = classify.answer(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), load_image(PHOTO))
    assert report.count('<li class="card"') == 6
    assert set(data["networks"]) == set(NORM_LAYERS)
    for variant, network in data["networks"].items():
        assert list(network["probabilities"]) == list(CLASSES)
        assert sum(network["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert network["answer"] == max(network["probabilities"], key=network["probabilities"].get)
        assert f"{100 * network['val_accuracy']:.2f}% (1 seed)" in words(report), variant
    assert data["agreement"] in words(report)


def test_a_broken_variant_is_shown_with_its_reason_and_the_others_answer(catalog):
    model_set = catalog.get("toy/extras")
    report, data = classify.answer(catalog, model_set, variants_of(model_set), load_image(PHOTO))
    assert set(data["networks"]) == {"bn", "bn-bs8"}
    assert set(data["unavailable"]) == {"gn", "torch-bn"}
    assert words(report).count("Unavailable.") == 2
    for reason in data["unavailable"].values():
        assert reason in words(report)
    _, chart_words = curves.draw(model_set, variants_of(model_set), "loss", "Both")
    table, rows = results.tabulate(model_set, variants_of(model_set))
    assert "torch BN is unavailable" in words(chart_words)
    assert "torch BN is unavailable" in words(table)
    assert [row["variant"] for row in rows] == ["bn", "gn", "bn-bs8"]


def test_a_set_with_nothing_readable_still_opens(tmp_path):
    (save_variant(tmp_path, "bn") / "config.json").unlink()
    assert "Unavailable." in words(str(build_demo(tmp_path).get_config_file()))


def test_names_from_files_are_escaped(catalog):
    report, _ = classify.answer(catalog, catalog.get("toy/paper"), ["bn"], load_image(PHOTO))
    table = classify.tabulate_answers(catalog, catalog.get("toy/paper"), ["bn"], load_image(PHOTO))
    assert "bee &lt;b&gt;" in report
    assert "bee <b>" not in report + table
    assert "bee &lt;b&gt;" in table
    assert "bee &lt;b&gt;" in classify.list_classes(catalog.get("toy/paper"))


def test_without_networks_the_page_asks_for_some(catalog):
    model_set = catalog.get("toy/paper")
    assert classify.answer(catalog, model_set, [], load_image(PHOTO)) == (NO_NETWORKS, {})
    assert classify.tabulate_answers(catalog, model_set, [], load_image(PHOTO)) == ""
    assert NO_NETWORKS in curves.draw(model_set, [], "loss", "Both")[1]
    assert results.tabulate(model_set, []) == (NO_NETWORKS, [])


@pytest.mark.parametrize("value", [{}, {"path": None}, {"path": ""}, {"url": "data:image/png;base64,AAAA"}, "photo.png", 3])
def test_what_is_not_an_upload_is_refused(value):
    with pytest.raises(ImageError, match="did not arrive as a file"):
        photo.photo_path(value)


def test_no_photo_is_no_error():
    assert photo.photo_path(None) is None


def test_the_catalog_prefers_the_strong_recipe(tmp_path):
    for name in ("a/b", "tiny-imagenet-25/paper"):
        save_variant(tmp_path, "bn", name)
    assert Catalog(tmp_path).default.name == "tiny-imagenet-25/paper"
    save_variant(tmp_path, "bn", "tiny-imagenet-25/strong")
    assert Catalog(tmp_path).default.name == "tiny-imagenet-25/strong"
    assert Catalog(tmp_path / "nothing").default is None


def test_an_unknown_set_is_refused_without_repeating_it(catalog):
    with pytest.raises(ConfigError, match="Choose one of: toy/extras, toy/paper") as caught:
        catalog.get("<script>")
    assert "script" not in str(caught.value)
    with pytest.raises(ConfigError):
        catalog.get(["toy/paper"])


def test_only_known_variants_are_chosen_in_the_zoos_order(catalog):
    model_set = catalog.get("toy/extras")
    assert chosen(model_set, ["torch-bn", "nothing", "gn", "bn"]) == ["bn", "gn", "torch-bn"]
    assert chosen(model_set, None) == main_variants_of(model_set) == ["bn", "gn"]


def test_a_network_is_loaded_once(catalog):
    model_set = catalog.get("toy/paper")
    assert catalog.load(model_set, ["bn"])[0]["bn"] is catalog.load(model_set, ["bn"])[0]["bn"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("splits", curves.SPLIT_CHOICES)
def test_every_metric_and_split_is_drawn_and_told_in_words(catalog, metric, splits):
    plot, text = curves.draw(catalog.get("toy/paper"), list(NORM_LAYERS), metric, splits)
    chart = json.loads(plot.plot)
    assert len(chart["data"]) == 6 * len(curves.SPLIT_CHOICES[splits])
    assert ("ln 4" in words(text)) == (metric == "loss")
    assert f"{METRICS[metric].title}, best first: " in words(text)
    assert "seed 0" in words(text)


@pytest.mark.parametrize(("metric", "splits"), [("speed", "Both"), ("loss", "both")])
def test_an_unknown_metric_or_split_is_refused(catalog, metric, splits):
    with pytest.raises(ConfigError, match="Choose one of"):
        curves.draw(catalog.get("toy/paper"), ["bn"], metric, splits)


def test_the_csv_is_the_table(catalog):
    numbers, texts = metrics_on_screen(final_metrics(catalog.get("toy/paper"), NORM_LAYERS).frame)
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


def test_an_expected_error_is_told_as_text():
    @guarded
    def fails():
        raise ImageError("<b>This</b> is no picture.")

    with pytest.raises(gr.Error) as caught:
        fails()
    assert caught.value.message == "&lt;b&gt;This&lt;/b&gt; is no picture."


def test_an_unexpected_error_is_logged_and_not_told(caplog):
    @guarded
    def fails():
        raise RuntimeError("/secret/path")

    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught:
        fails()
    assert caught.value.message == UNEXPECTED
    assert "/secret/path" in caplog.text


def test_the_theme_fetches_nothing_from_elsewhere():
    assert theme.theme()._stylesheets == []
    assert not re.search(r"https?:|@import", theme.STYLE_SHEET.read_text())


def test_a_new_visitor_does_not_wait_for_the_signatures_of_all_components(tmp_path, monkeypatch):
    demo = build_demo(save_zoo(tmp_path))
    asked = []
    monkeypatch.setattr("inspect._signature_from_function", lambda *arguments, **_: asked.append(arguments))
    SessionState(demo)
    assert asked == []


def test_every_example_is_small_credited_and_opens():
    credited = set(re.findall(r"^\| `([\w-]+\.jpg)`", (FOLDER / "CREDITS.md").read_text(), re.MULTILINE))
    assert len(EXAMPLES) >= 6
    assert {example.file for example in EXAMPLES} == credited == {path.name for path in FOLDER.glob("*.jpg")}
    for example in EXAMPLES:
        assert example.path.stat().st_size < 60_000
        assert max(load_image(example.path).size) <= 512
        with Image.open(example.path) as image:
            assert not image.getexif()


def test_programs_can_ask_the_page(url, tmp_path):
    client = Client(url, verbose=False, download_files=str(tmp_path))
    assert {name.strip("/") for name in client.view_api(return_format="dict")["named_endpoints"]} == PUBLIC_EVENTS
    report, data = client.predict(handle_file(PHOTO), "toy/paper", ["bn", "ln"], api_name="/classify")
    assert set(data["networks"]) == {"bn", "ln"}
    assert data["agreement"] in words(report)
    _, rows = client.predict("toy/paper", ["gn"], api_name="/results")
    assert rows[0]["val_accuracy"] == pytest.approx(0.54)
    plot, _ = client.predict("toy/paper", ["gn"], "loss", "Validation", api_name="/learning_curves")
    assert len(json.loads(plot["plot"])["data"]) == 1


def test_a_program_that_names_an_address_is_told_what_to_do(url):
    client = Client(url, verbose=False)
    with pytest.raises(ValidationError, match="A photo has to come as a file, not as an address"):
        client.predict(handle_file("https://example.com/photo.png"), "toy/paper", ["bn"], api_name="/classify")


@pytest.mark.parametrize("path", ["gradio_api/run/classify", "gradio_api/run/results"])
def test_nobody_gets_past_the_queue(url, path):
    request = urllib.request.Request(url + path, b'{"data": []}', {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    assert caught.value.code == 404


def test_most_examples_show_what_the_packaged_networks_know():
    """A first visitor shall see them right more often than wrong; what they do not know is there as well."""
    meant = {"Mountains": "alp", "Camel": "Arabian camel"}
    models = load_models("tiny-imagenet-25/strong")
    said = predict_many(models, [load_image(example.path) for example in EXAMPLES], k=1)
    right = [
        example.title
        for example, answers in zip(EXAMPLES, said, strict=True)
        if [each.label for each in answers.values()].count(meant.get(example.title, example.title.lower())) >= 4
    ]
    assert len(right) >= 8, right
    assert len(EXAMPLES) == 12


def test_a_red_panda_may_be_none_of_what_they_know_and_mountains_are():
    catalog = Catalog()
    model_set = catalog.get("tiny-imagenet-25/strong")
    doubts = {}
    for example in EXAMPLES:
        _, data = classify.answer(catalog, model_set, main_variants_of(model_set), load_image(example.path))
        doubts[example.title] = data["doubt"]
    assert doubts["Red panda"].startswith("This may be none of the 25 things that the 6 networks know")
    assert (doubts["Mountains"], doubts["Espresso"]) == ("", "")
