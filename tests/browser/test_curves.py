"""Curves & metrics as a person uses it: networks side by side, smoothing, axes, files, the matrix."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.driver import ZOO, open_tab

#: Open a fold, and focus the slider in it a frame after it is there.
OPEN = """(button) => new Promise((done) => {
  new MutationObserver((_, observer) => {
    const slider = document.querySelector('input[type=range][aria-label*="Smoothing"]');
    if (!slider) return;
    observer.disconnect();
    requestAnimationFrame(() => { slider.focus(); done(); });
  }).observe(document.body, {childList: true, subtree: true});
  button.click();
})"""


@pytest.fixture
def chart(page: Page) -> Locator:
    """The chart of all networks, drawn."""
    open_tab(page, "Curves & metrics")
    chart = page.locator("#curves")
    expect(chart.locator(".legendtext")).to_have_count(ZOO)
    return chart


def test_the_chart_follows_metric_split_smoothing_and_axes(page, chart):
    page.get_by_role("radio", name="Loss", exact=True).check()
    expect(chart.locator(".ytitle")).to_have_text("Loss (nats)")
    page.get_by_role("radio", name="Both").check()
    expect(chart.locator(".legendtext")).to_have_count(2 * ZOO)
    page.get_by_role("button", name="Smoothing and axes").click()
    lines = chart.locator(".scatterlayer .trace")
    measured = lines.count()
    page.get_by_role("slider", name="Smoothing").focus()
    page.keyboard.press("ArrowRight")
    expect(lines).to_have_count(measured + 2 * ZOO)
    page.get_by_role("checkbox", name="Epochs").check()
    expect(chart.locator(".xtick").filter(has_text="7")).to_have_count(1)
    page.get_by_role("button", name="All four metrics").click()
    expect(page.locator("#panel-micro-f1 .legendtext")).to_have_count(2 * ZOO)
    expect(page).to_have_url(re.compile("curves=loss/Both/0.05/x"))


def test_what_is_chosen_while_a_fold_opens_is_kept(page, chart):
    slow = page.context.new_cdp_session(page)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    slider = page.get_by_role("slider", name="Smoothing")
    page.get_by_role("button", name="Smoothing and axes").evaluate(OPEN)
    page.keyboard.press("ArrowRight")
    slow.detach()
    expect(page).to_have_url(re.compile("curves=accuracy/Validation/0.05/"))
    expect(slider).to_have_value("0.05")


def test_the_values_under_the_pointer_are_told_and_the_legend_hides_lines(page, chart):
    chart.locator(".nsewdrag").first.hover()
    expect(chart.locator(".hoverlayer")).to_contain_text(re.compile(r"BN (\(n=\d\) )?\d+\.\d\d"))
    toggles = chart.locator(".legendtoggle")
    lines = chart.locator(".scatterlayer .trace .points path.point").locator("xpath=ancestor::*[contains(@class, 'trace')]")
    toggles.first.click()
    expect(lines).to_have_count(ZOO - 1)


def test_the_table_fits_is_sorted_with_the_keyboard_and_marks_the_best(page, chart):
    table = page.locator("#results .table")
    assert table.evaluate("table => table.scrollWidth <= table.clientWidth")
    rows = table.locator("tbody tr")

    def values(cells: Locator) -> list[float]:
        return [float(value) for value in cells.evaluate_all("cells => cells.map((cell) => cell.dataset.value)")]

    expect(rows).to_have_count(ZOO)
    for place, best in ((2, max), (4, min)):  # accuracy, loss
        cells = rows.locator(f":nth-child({place})")
        assert values(cells.locator("xpath=self::*[contains(@class, 'best')]")) == [best(values(cells))]
    table.locator("thead button").nth(1).focus()
    for order, key in (("ascending", "Enter"), ("descending", "Space")):
        page.keyboard.press(key)
        expect(page.locator(f'th[aria-sort="{order}"]')).to_have_count(1)
        shown = values(rows.locator(":nth-child(2)"))
        assert shown == sorted(shown, reverse=order == "descending")


def click_cell(page: Page, chart: str, row: int, column: int) -> tuple[str, str]:
    """Click a cell of a heat map as a person does; gives what its row and its column are called."""
    plot = page.locator(chart)
    plot.scroll_into_view_if_needed()
    expect(plot.locator(".heatmaplayer image")).to_be_visible()
    rows, columns = (plot.locator(f".{axis}tick text").all_text_contents() for axis in "yx")
    field = plot.locator(".nsewdrag").first
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    place = {"x": box["width"] * (column + 0.5) / len(columns), "y": box["height"] * (row + 0.5) / len(rows)}
    field.hover(position={"x": place["x"] + 3, "y": place["y"] + 3})  # a chart hears of a pointer that moves
    page.wait_for_timeout(200)
    field.click(position=place)
    return rows[row], columns[column]


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_a_click_on_a_cell_says_what_it_means(page, chart):
    label, said = click_cell(page, "#confusion", 3, 4)
    text = page.locator("#confusion-text")
    expect(text).to_contain_text(re.compile(rf"\w+ predicts {said} for \d+ of \d+ images of {label}"))
    expect(text).to_be_in_viewport()
    expect(page.get_by_label("Class", exact=True).locator("visible=true")).to_have_value(label)
    label, network = click_cell(page, "#per-class", 2, 1)
    text = page.locator("#per-class-text")
    expect(text).to_contain_text(re.compile(rf"{network} recognizes \d+ of \d+ images of {label}"))
    expect(text).to_be_in_viewport()
