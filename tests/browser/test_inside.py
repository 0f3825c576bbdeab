"""Inside as a person uses it: what is folded is about the photo of Compare, and shows what it says."""

import re

import pytest
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from tests.browser.visitor import ZOO, open_tab


@pytest.fixture
def page(page: Page) -> Page:
    """The page with the tab open."""
    open_tab(page, "Inside")
    expect(page.locator("#explorer-said")).to_contain_text(f"Photo 1 ({EXAMPLES[0].file})")
    return page


def unfold(page: Page, title: str) -> None:
    page.get_by_role("button", name=title).click()


def test_nothing_folded_is_computed_and_what_is_open_follows_the_photo(page):
    expect(page.locator("#cubes figure")).to_have_count(ZOO)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    page.wait_for_timeout(1000)
    assert asked == []
    unfold(page, "Feature maps")
    maps = page.locator("#features img")
    expect(maps).to_have_count(2)
    before = maps.first.get_attribute("src")
    open_tab(page, "Compare")
    page.get_by_role("button", name=EXAMPLES[1].title).click()
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[1].file)
    open_tab(page, "Inside")
    expect(page.locator("#explorer-said")).to_contain_text(EXAMPLES[1].file)
    expect(maps.first).not_to_have_attribute("src", before)


def test_the_charts_show_every_network_and_tell_the_layer_under_the_pointer(page):
    unfold(page, "Layers and gates")
    for chart in ("#before", "#after"):
        expect(page.locator(f"{chart} .scatterlayer .trace")).to_have_count(ZOO)
    chart = page.locator("#before")
    page.get_by_role("radio", name="Mean", exact=True).check()
    expect(chart.locator(".ytitle")).to_have_text("Mean")
    chart.locator(".nsewdrag").first.hover()
    expect(chart.locator(".hoverlayer")).to_contain_text(re.compile(r"\d\.\d norm \d"))
    expect(page.locator("#gates .main-svg").first).to_be_visible()
    page.get_by_role("checkbox", name="BIN", exact=True).uncheck()
    expect(page.locator("#before .scatterlayer .trace")).to_have_count(ZOO - 1)
    expect(page.locator("#gates")).to_be_hidden()


def test_another_block_of_another_network_is_shown(page):
    unfold(page, "Feature maps")
    expect(page.locator("#features figcaption").first).to_contain_text("16 maps of 64×64")
    page.get_by_label("Block", exact=True).click()
    page.get_by_role("option", name="Stage 3, block 2").click()
    expect(page.locator("#features figcaption").first).to_contain_text("64 maps of 16×16")
    page.get_by_label("Right", exact=True).click()
    page.get_by_role("option", name="GN", exact=True).click()
    expect(page.locator("#features figcaption").last).to_contain_text("group normalization")


def test_gates_and_border_are_changed_with_the_answers_beside_them(page):
    unfold(page, "Interventions")
    rows = page.locator("#turned tbody tr")
    expect(rows).to_have_count(ZOO)
    turned = page.locator("#turned tbody td:nth-of-type(2)")
    before = turned.all_inner_texts()
    page.get_by_label(re.compile("number input for Gates")).fill("-1")
    expect(turned).not_to_have_text(before, use_inner_text=True)
    assert [text for text, old in zip(turned.all_inner_texts(), before, strict=True) if text != old] == [
        turned.nth(list(NORM_LAYERS).index("bin")).inner_text()
    ]
    page.get_by_role("radio", name="Replicated pixels in the first convolution").check()
    page.get_by_label("number input for Less contrast (severity, 0: original)").fill("5")
    expect(rows.first.locator("td")).to_have_count(4)
