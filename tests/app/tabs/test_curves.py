"""The tab of learning curves without a browser: what it draws, says and saves."""

import csv
import io
import json

import pytest

from normzoo import NORM_LAYERS
from normzoo.analysis.results import METRICS
from normzoo.app.tabs.curves import panels
from normzoo.app.tabs.curves import tab as curves
from normzoo.errors import ConfigError
from tests.support.checkpoints import save_variant, save_zoo

FIRST_BYTES = {"png": b"\x89PNG", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    save_variant(root, "bn", "toy/seeds", seeds=(0, 1, 2), epochs=5)
    (save_variant(root, "gn", "toy/seeds") / "metrics.json").write_text("{")
    return root


def chart(plot) -> dict:
    return json.loads(plot.plot)


def test_a_smoothed_line_has_the_measured_one_faint_behind_it(catalog):
    plot, words = curves.draw(catalog.get("toy/seeds"), ["bn"], "accuracy", "Validation", 0.6)
    measured, band, line = chart(plot)["data"]
    assert measured["y"] == pytest.approx([20, 40, 60, 80, 100])
    assert measured["opacity"] < 0.5
    assert line["y"][0] == pytest.approx(20)
    assert line["y"][-1] < 100
    assert len({measured["legendgroup"], band["legendgroup"], line["legendgroup"]}) == 1
    assert "TensorBoard" in words
    assert "n\u00a0=\u00a03 seeds" in words


def test_without_smoothing_nothing_is_faint(catalog):
    plot, words = curves.draw(catalog.get("toy/paper"), list(NORM_LAYERS), "accuracy", "Validation")
    assert len(chart(plot)["data"]) == len(NORM_LAYERS)
    assert "TensorBoard" not in words


def test_logarithmic_axes_have_plain_numbers_and_bands_stay_above_zero(catalog):
    plot, _ = curves.draw(catalog.get("toy/seeds"), ["bn"], "loss", "Both", 0.5, ["x", "y"])
    drawn = chart(plot)
    assert drawn["layout"]["xaxis"]["type"] == drawn["layout"]["yaxis"]["type"] == "log"
    assert {"2", "20"} <= set(drawn["layout"]["xaxis"]["ticktext"])
    assert min(min(line["y"]) for line in drawn["data"]) > 0
    plain, _ = curves.draw(catalog.get("toy/seeds"), ["bn"], "loss", "Both", 0.5, [])
    assert "type" not in chart(plain)["layout"]["yaxis"]


def test_one_network_has_a_panel_for_every_metric(catalog):
    *plots, words = panels.draw(catalog.get("toy/paper"), "gn")
    titles = [chart(plot)["layout"]["yaxis"]["title"]["text"] for plot in plots]
    assert titles == ["Loss (nats)", "Accuracy (%)", "Macro F1 (%)", "Micro F1 (%)"]
    for plot in plots:
        assert [line["name"] for line in chart(plot)["data"]] == ["GN validation", "GN training"]
    assert "Validation after epoch 3: loss 0.5000, accuracy 60.00%, macro F1 57.00%, micro F1 60.00%." in words


def test_a_broken_network_is_named_in_its_panels(catalog):
    *_, words = panels.draw(catalog.get("toy/seeds"), "gn")
    assert "GN</strong> is unavailable" in words


@pytest.mark.parametrize("file_format", FIRST_BYTES)
@pytest.mark.parametrize("log_axes", [[], ["x", "y"]])
def test_both_views_become_pictures(catalog, file_format, log_axes):
    name, content = curves.as_file(catalog.get("toy/seeds"), ["bn"], "macro_f1", "Both", 0.5, log_axes, file_format)
    assert name == "normzoo-toy-seeds-macro-f1-both"
    assert content.startswith(FIRST_BYTES[file_format])
    name, content = panels.as_file(catalog.get("toy/seeds"), "bn", 0.5, log_axes, file_format)
    assert name == "normzoo-toy-seeds-bn"
    assert content.startswith(FIRST_BYTES[file_format])


def test_the_csv_holds_what_is_drawn(catalog):
    _, content = curves.as_file(catalog.get("toy/seeds"), ["bn"], "loss", "Training", 0.5, [], "csv")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["split"] for row in rows] == ["train"] * 5
    assert [float(row["loss_mean"]) for row in rows] == pytest.approx([1.5 / epoch + 1 for epoch in range(1, 6)])
    assert {(row["n"], row["loss_sd"]) for row in rows} == {("3", "1")}
    plot, _ = curves.draw(catalog.get("toy/seeds"), ["bn"], "loss", "Training", 0.5)
    assert [float(row["loss_smoothed_0.5"]) for row in rows] == pytest.approx(chart(plot)["data"][-1]["y"], abs=1e-6)


def test_the_csv_of_panels_holds_every_metric_of_both_splits(catalog):
    _, content = panels.as_file(catalog.get("toy/paper"), "bn", 0, [], "csv")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert len(rows) == 2 * 3
    assert list(rows[0]) == ["variant", "split", "epoch", "loss_mean", "loss_sd", "n"] + [
        f"{key}_{part}" for key in list(METRICS)[1:] for part in ("mean", "sd")
    ]


def test_nothing_chosen_makes_an_empty_file_and_no_error(catalog):
    for file_format in ("png", "csv"):
        assert curves.as_file(catalog.get("toy/paper"), [], "loss", "Both", 0.5, ["y"], file_format)[1]


@pytest.mark.parametrize("log_axes", ["xy", ["z"], [["x"]], {"x": 1}, 3])
def test_unknown_axes_are_refused(catalog, log_axes):
    with pytest.raises(ConfigError, match="list of x and y"):
        curves.draw(catalog.get("toy/paper"), ["bn"], "loss", "Both", 0, log_axes)


@pytest.mark.parametrize("variant", ["torch-bn", None, ["bn"]])
def test_an_unknown_network_is_refused(catalog, variant):
    with pytest.raises(ConfigError, match="Choose one of: nn, bn"):
        panels.draw(catalog.get("toy/paper"), variant)
