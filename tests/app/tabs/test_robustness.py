"""Robustness without a browser: the chart, the words, the table, and what its event answers."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest

from normzoo import NORM_LAYERS
from normzoo.app.components.html import NO_NETWORKS
from normzoo.app.core.catalog import Catalog
from normzoo.app.tabs.robustness import tab as robustness
from normzoo.errors import ConfigError
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from tests.support.checkpoints import save_variant, save_zoo
from tests.support.html_words import words


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    (save_variant(root, "bn", "toy/torn") / "robustness.csv").unlink()
    return root


def write_robustness(folder: Path, accuracy: Callable[[str, int], float]) -> None:
    rows = [f"0,{kind},{severity},1.0,{accuracy(kind, severity)}" for kind in CORRUPTIONS for severity in SEVERITIES]
    (folder / "robustness.csv").write_text("\n".join(["seed,corruption,severity,loss,accuracy", *rows]))


def test_robustness_begins_with_the_clean_accuracy_and_falls_with_severity(events):
    plot, text, table, rows = events["robustness"]("toy/paper", ["nn", "gn"], "all")
    lines = json.loads(plot.plot)["data"]
    assert [line["name"] for line in lines] == ["NN", "GN"]
    assert lines[0]["x"] == [0, *SEVERITIES]
    assert lines[0]["y"] == [50, 45, 40, 35, 30, 25]
    assert "best first, with 95% intervals over the " in words(text)
    assert "in the same order: NN 70.0% (" in words(text)
    assert "35.00" in table
    assert len(rows) == 2 * len(CORRUPTIONS) * len(SEVERITIES)


def test_robustness_of_one_kind_tells_its_settings(events, tmp_path):
    write_robustness(save_variant(tmp_path, "bn"), lambda kind, severity: 0.1 if kind == "jpeg" else 0.4)
    plot, text, *_ = robustness.tell(Catalog(tmp_path).get("toy/paper"), ["bn"], "jpeg")
    assert json.loads(plot.plot)["data"][0]["y"][1:] == [10] * len(SEVERITIES)
    assert "JPEG (quality: 80, 65, 58, 50, 40; saved and read by Pillow" in words(text)


@pytest.mark.parametrize(
    ("severest", "verdict"), [(0.1, "points where theory has it lose none"), (0.49, "keeps nearly all of it")]
)
def test_whether_instance_norm_stands_less_contrast_is_read_from_the_figures(tmp_path, severest, verdict):
    for variant, accuracy in {"bn": 0.3, "in": severest}.items():
        write_robustness(save_variant(tmp_path, variant), lambda kind, severity, accuracy=accuracy: accuracy)
    _, text, *_ = robustness.tell(Catalog(tmp_path).get("toy/paper"), ["bn", "in"], "contrast")
    assert verdict in words(text)
    assert "python -m training contrast" in words(text)


def test_what_the_border_does_is_read_from_the_stored_table(tmp_path):
    save_variant(tmp_path, "in")
    rows = {
        "none": 0.7,
        "stored": 0.3,
        "about the padding": 0.7,
        "none, replicated border": 0.6,
        "unrounded, replicated border": 0.6,
    }
    table = "\n".join(f'paper,in,0.15,"{change}",{accuracy}' for change, accuracy in rows.items())
    (tmp_path / "toy/contrast.csv").write_text(f"recipe,variant,factor,change,accuracy\n{table}\n")
    _, text, tables, _ = robustness.tell(Catalog(tmp_path).get("toy/paper"), ["in"], "contrast")
    assert "60.00% on clean images and 60.00% under the strongest loss of contrast" in words(text)
    assert "less contrast does it no harm" in words(text)
    assert "it uses the border" in words(text)
    assert "Towards the padding" in tables


def test_the_best_of_each_column_is_marked(tmp_path):
    for variant, kept in {"bn": 0.2, "ln": 0.3}.items():
        write_robustness(save_variant(tmp_path, variant), lambda kind, severity, kept=kept: kept)
    _, _, table, _ = robustness.tell(Catalog(tmp_path).get("toy/paper"), ["bn", "ln"], "all")
    rows = re.findall(r"<tr>(?:(?!</tr>).)*</tr>", table)
    assert 'class="best"' not in rows[1]
    assert rows[2].count('class="best"') == 3 + len(CORRUPTIONS)


def test_robustness_that_was_not_measured_is_said_with_the_command_that_measures_it(events):
    plot, text, table, rows = events["robustness"]("toy/torn", ["bn"], "all")
    assert json.loads(plot.plot)["data"] == []
    assert "python -m training package --again" in words(text)
    assert "BN is unavailable: robustness.csv" in words(text)
    assert (table, rows) == ("", [])
    assert events["robustness"]("toy/paper", [], "all")[1] == NO_NETWORKS


def test_an_unknown_kind_of_harm_is_refused_with_the_known_ones(root, events):
    with pytest.raises(ConfigError, match="Choose one of: all, brightness_up"):
        robustness.tell(Catalog(root).get("toy/paper"), list(NORM_LAYERS), "fog")
    with pytest.raises(gr.Error, match="Unknown corruption"):
        events["robustness"]("toy/paper", None, ["jpeg"])


def test_a_damaged_table_is_named_and_the_rest_is_told(tmp_path):
    save_variant(tmp_path, "bn")
    (tmp_path / "toy" / "companies.csv").write_text("recipe,variant\npaper,bn\n")
    _, text, table, rows = robustness.tell(Catalog(tmp_path).get("toy/paper"), ["bn"], "all")
    assert "companies.csv is damaged" in words(text)
    assert "35.00" in table
    assert rows
