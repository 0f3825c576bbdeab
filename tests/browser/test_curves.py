"""Learning curves as a person uses them: smoothing, axes, the legend, the two views, files."""

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from normzoo import NORM_LAYERS
from tests.browser.visitor import ZOO, open_tab

FIRST_BYTES = {"PNG": b"\x89PNG", "SVG": b"<?xml"}


@pytest.fixture
def chart(page: Page) -> Locator:
    """The chart of all networks, drawn."""
    open_tab(page, "Curves & metrics")
    chart = page.locator("#curves")
    expect(chart.locator(".legendtext")).to_have_count(ZOO)
    return chart


def download(page: Page, button: str) -> tuple[str, bytes]:
    """A file's name and content."""
    with page.expect_download() as saved:
        page.get_by_role("button", name=f"Download {button}").locator("visible=true").click()
    return saved.value.suggested_filename, Path(saved.value.path()).read_bytes()


def test_smoothing_leaves_the_measured_lines_behind_the_smooth_ones(page, chart):
    measured = chart.locator(".scatterlayer .trace").count()  # lines, and bands where there are several seeds
    slider = page.get_by_role("slider", name="Smoothing")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(chart.locator(".scatterlayer .trace")).to_have_count(measured + ZOO)
    expect(page.locator("#curves-text")).to_contain_text("Smoothed by 0.15")
    expect(page.locator("#curves-text")).to_contain_text("TensorBoard")


def test_the_axes_become_logarithmic(page, chart):
    expect(chart.locator(".xtick").filter(has_text="7")).to_have_count(0)
    page.get_by_role("checkbox", name="Epochs").check()
    expect(chart.locator(".xtick").filter(has_text="7")).to_have_count(1)


def test_a_click_in_the_legend_hides_a_line(page, chart):
    toggles = chart.locator(".legendtoggle")
    lines = chart.locator(".scatterlayer .trace .points path.point").locator("xpath=ancestor::*[contains(@class, 'trace')]")
    toggles.first.click()
    expect(lines).to_have_count(ZOO - 1)
    toggles.first.click()
    expect(lines).to_have_count(ZOO)


def test_the_chart_is_saved_as_a_picture_and_its_numbers_as_csv(page, chart):
    for file_format, first in FIRST_BYTES.items():
        name, content = download(page, file_format)
        assert name.endswith(f"-accuracy-validation.{file_format.lower()}")
        assert content.startswith(first)
    name, content = download(page, "CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert name.endswith("-accuracy-validation.csv")
    assert {row["variant"] for row in rows} == set(NORM_LAYERS)
    assert {row["split"] for row in rows} == {"val"}


def test_one_network_is_shown_in_four_panels_and_saved(page, chart):
    page.get_by_role("radio", name="One network, four panels").check()
    expect(page.locator("#panel-micro-f1 .legendtext")).to_have_count(2)
    expect(chart).not_to_be_visible()
    titles = [page.locator(f"#panel-{key} .ytitle").text_content() for key in ("loss", "accuracy", "macro-f1", "micro-f1")]
    assert titles == ["Loss (nats)", "Accuracy (%)", "Macro F1 (%)", "Micro F1 (%)"]
    page.locator("#panels-network").get_by_role("radio", name="GN", exact=True).check()
    expect(page.locator("#panel-loss .legendtext").first).to_contain_text("GN validation")
    name, content = download(page, "PNG")
    assert name.endswith("-gn.png")
    assert content.startswith(FIRST_BYTES["PNG"])
