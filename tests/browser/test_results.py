"""Results, Batch size and Robustness as a person uses them: choosing, reading, hovering."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.catalog import Catalog, classes_of
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.variants import short_name
from tests.browser.visitor import open_tab

ZOO = [short_name(variant) for variant in NORM_LAYERS]


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def body(table: Locator) -> list[list[str]]:
    return [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]


def test_the_best_final_figure_is_marked_in_its_right_direction(page):
    open_tab(page, "Curves & metrics")
    expect(page.locator("#results tbody tr")).to_have_count(len(ZOO))
    heads = page.locator("#results thead th").all_inner_texts()
    for title, best in (("Validation accuracy (%)", max), ("Validation loss", min)):
        column = next(place for place, head in enumerate(heads) if head.startswith(title))
        cells = page.locator("#results tbody tr").locator(f":nth-child({column + 1})")
        values = [float(cell.get_attribute("data-value")) for cell in cells.all()]
        marked = [
            float(cell.get_attribute("data-value")) for cell in cells.all() if "best" in (cell.get_attribute("class") or "")
        ]
        assert marked == [best(values)]


def test_who_beats_whom_is_told_and_goes_with_the_networks_shown(page):
    open_tab(page, "Evidence")
    matrix = page.locator("#versus")
    expect(matrix.locator("tbody tr")).to_have_count(len(ZOO))
    expect(matrix.locator(".wins, .loses, .even")).to_have_count(len(ZOO) * (len(ZOO) - 1))
    expect(matrix).to_contain_text(re.compile(r"\w+ (beats|is beaten by|is not told apart from) "))
    page.get_by_role("button", name="Every pair as a table").click()
    expect(page.locator("#pairs tbody tr")).to_have_count(len(ZOO) * (len(ZOO) - 1) // 2)
    page.get_by_role("checkbox", name=ZOO[0], exact=True).uncheck()
    expect(matrix.locator("tbody tr")).to_have_count(len(ZOO) - 1)


def test_the_original_study_is_beside_ours_and_every_class_has_its_f1(page):
    open_tab(page, "Evidence")
    expect(page.locator("#original tbody tr").first).to_be_visible()
    for row in body(page.locator("#original")):
        assert all(0 < float(cell) <= 100 for cell in row[1:3])
    expect(page.locator("#original")).to_contain_text("The images differ")
    open_tab(page, "Curves & metrics")
    expect(page.locator("#per-class .main-svg").first).to_be_visible()
    expect(page.locator("#per-class-text")).to_contain_text("Hardest:")
    expect(page.locator("#per-class .xtick text")).to_have_text(ZOO)
    page.get_by_role("button", name="F1 of every class as a table").click()
    expect(page.locator("#per-class-table tbody tr")).to_have_count(len(classes_of(Catalog().default)))


def test_a_class_is_told_about_and_two_networks_are_compared(page):
    open_tab(page, "Curves & metrics")
    expect(page.locator("#confusion .main-svg").first).to_be_visible()
    text = page.locator("#confusion-text")
    expect(text).to_contain_text("most often takes")
    label = classes_of(Catalog().default)[0]
    choose(page, "Network", ZOO[1])
    choose(page, "Tell about", label)
    expect(text).to_contain_text(re.compile(rf"{ZOO[1]} recognizes \d+ of \d+ photos of {label}"))
    choose(page, "Minus", ZOO[2])
    expect(text).to_contain_text(re.compile(rf"{ZOO[2]} recognizes \d+ of \d+ photos of {label}"))
    page.locator("#confusion .nsewdrag").first.hover()
    expect(page.locator("#confusion .hoverlayer")).to_contain_text("points")


def test_batch_sizes_tell_both_losses_or_what_is_missing(page):
    open_tab(page, "Evidence")
    text = page.locator("#batch-size-text")
    expect(text).to_contain_text(re.compile(r"BN: validation accuracy \d+\.\d+% at 8,"))
    expect(text).to_contain_text(re.compile(r"Not here yet: .*python -m training study|BN batch|division alone"))
    chart = page.locator("#batch-size")
    expect(chart.locator(".ytitle")).to_have_text("Loss (nats)")
    page.get_by_role("radio", name="Loss divided by the batch size").check()
    expect(chart.locator(".ytitle")).to_have_text("Loss divided by the batch size (nats)")
    expect(page.locator("#batch-size-table")).to_contain_text("Original training accuracy")


def click_cell(page: Page, chart: str, row: int, column: int) -> tuple[str, str]:
    """Click a cell of a heat map as a person does; gives what its row and its column are called."""
    plot = page.locator(chart)
    expect(plot.locator(".heatmaplayer image")).to_be_visible()
    rows, columns = (plot.locator(f".{axis}tick text").all_text_contents() for axis in "yx")
    field = plot.locator(".nsewdrag").first
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    place = {"x": box["width"] * (column + 0.5) / len(columns), "y": box["height"] * (row + 0.5) / len(rows)}
    field.hover(position={"x": place["x"] + 3, "y": place["y"] + 3})  # a chart hears of a pointer that moves
    page.wait_for_timeout(200)
    field.click(position=place)
    return rows[-1 - row], columns[column]  # plotly.js writes the lowest row first


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_a_click_on_a_cell_says_what_it_means(page):
    open_tab(page, "Curves & metrics")
    label, said = click_cell(page, "#confusion", 3, 4)
    text = page.locator("#confusion-text")
    expect(text).to_contain_text(re.compile(rf"\w+ takes \d+ of \d+ photos of {label} for {said}(, \d seeds together)?\."))
    expect(text).to_be_in_viewport()
    expect(page.get_by_label("Tell about", exact=True)).to_have_value(label)
    label, network = click_cell(page, "#per-class", 2, 1)
    text = page.locator("#per-class-text")
    expect(text).to_contain_text(
        re.compile(rf"{network} recognizes \d+ of \d+ photos of {label}(, \d seeds together)?: recall")
    )
    expect(text).to_be_in_viewport()


def test_robustness_is_shown_for_one_corruption_or_for_all(page):
    open_tab(page, "Evidence")
    chart, text = page.locator("#robustness"), page.locator("#robustness-text")
    legend = chart.locator(".legendtext")
    expect(legend.filter(has_not_text="own statistics")).to_have_text(ZOO)
    expect(text).to_contain_text("Hardest for these networks together")
    kind = CORRUPTIONS["gaussian_noise"]
    choose(page, "What is done to the images", kind.title.capitalize())
    expect(text).to_contain_text(kind.setting)
    expect(chart.locator(".xtick")).to_have_text([str(severity) for severity in (0, *SEVERITIES)])
    chart.scroll_into_view_if_needed()
    for x in (100, 200, 300):  # a chart that has just come hears only of a pointer that moves
        chart.locator(".nsewdrag").first.hover(position={"x": x, "y": 100})
        page.wait_for_timeout(200)
    expect(chart.locator(".hoverlayer")).to_contain_text(re.compile(r"BN \d+\.\d\d"))
    expect(page.locator("#robustness-table table").first.locator("tbody tr")).to_have_count(len(ZOO))
