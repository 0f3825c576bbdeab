"""Inside as a person uses it: it is about the photo of Classify, and shows what it says."""

import re

import pytest
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from tests.browser.visitor import ZOO, open_tab


@pytest.fixture
def page(page: Page) -> Page:
    """The page with the tab open and filled."""
    open_tab(page, "Inside")
    expect(page.locator("#features img")).to_have_count(2)
    return page


def test_it_is_about_the_photo_of_classify(page):
    expect(page.locator("#inside-photo")).to_contain_text(EXAMPLES[0].file)
    before = page.locator("#features img").first.get_attribute("src")
    open_tab(page, "Compare")
    page.get_by_role("button", name=EXAMPLES[1].title).click()
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[1].file)
    open_tab(page, "Inside")
    expect(page.locator("#inside-photo")).to_contain_text(EXAMPLES[1].file)
    expect(page.locator("#features img").first).not_to_have_attribute("src", before)


def test_every_network_has_its_line_and_its_cube(page):
    expect(page.locator("#cubes figure")).to_have_count(ZOO)
    for chart in ("#before", "#after"):
        expect(page.locator(f"{chart} .scatterlayer .trace")).to_have_count(ZOO)
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    for chart in ("#before", "#after"):
        expect(page.locator(f"{chart} .scatterlayer .trace")).to_have_count(ZOO - 1)
    expect(page.locator("#cubes figure")).to_have_count(ZOO - 1)


def test_the_chart_shows_the_mean_and_tells_the_layer_under_the_pointer(page):
    chart = page.locator("#before")
    expect(chart.locator(".ytitle")).to_have_text("Spread (standard deviation)")
    page.get_by_role("radio", name="Mean", exact=True).check()
    expect(chart.locator(".ytitle")).to_have_text("Mean")
    expect(page.locator("#layers-text")).to_contain_text("Mean before the first norm")
    chart.locator(".nsewdrag").first.hover()
    expect(chart.locator(".hoverlayer")).to_contain_text(re.compile(r"stage \d, block \d, norm \d"))


def test_the_gates_are_drawn_and_explained_and_go_with_their_network(page):
    expect(page.locator("#gates-text")).to_contain_text(re.compile(r"The mean gate of BIN is \d\.\d\d in the first layer"))
    expect(page.locator("#gates .main-svg").first).to_be_visible()
    page.get_by_role("checkbox", name="BIN", exact=True).uncheck()
    expect(page.locator("#gates-text")).to_contain_text("None of the networks shown has gates.")
    expect(page.locator("#gates")).to_be_hidden()


def test_another_block_of_another_network_is_shown(page):
    expect(page.locator("#features figcaption").first).to_contain_text("16 maps of 32×32")
    page.get_by_label("Block", exact=True).click()
    page.get_by_role("option", name="Stage 3, block 2").click()
    expect(page.locator("#features figcaption").first).to_contain_text("64 maps of 8×8")
    page.get_by_label("Right", exact=True).click()
    page.get_by_role("option", name="GN", exact=True).click()
    expect(page.locator("#features figcaption").last).to_contain_text("group normalization")


def test_gates_and_border_are_turned_by_hand_with_the_answers_beside_them(page):
    rows = page.locator("#turned tbody tr")
    expect(rows).to_have_count(ZOO)
    expect(rows.first.locator("td")).to_have_count(2)
    turned = page.locator("#turned tbody td:nth-of-type(2)")
    before = turned.all_inner_texts()
    page.get_by_label("number input for Gates: −1 all instance, 0 as learned, 1 all batch").fill("-1")
    expect(turned).not_to_have_text(before, use_inner_text=True)
    assert [text for text, old in zip(turned.all_inner_texts(), before, strict=True) if text != old] == [
        turned.nth(list(NORM_LAYERS).index("bin")).inner_text()
    ]
    page.get_by_role("radio", name="Replicated pixels in the first convolution").check()
    page.get_by_label("number input for Less contrast (severity)").fill("5")
    expect(rows.first.locator("td")).to_have_count(4)
