"""What helps everybody: no serious fault that axe-core finds, the keyboard alone, a page that does not jump."""

import io
import time
from importlib.resources import files
from typing import Any

import pytest
from PIL import Image, ImageColor
from playwright.sync_api import Locator, Page, expect

from normzoo.app.core.examples import EXAMPLES
from normzoo.app.page import TABS
from normzoo.plotting.spec import style_of
from tests.browser.driver import ZOO, Visit, open_tab, window

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
#: On what is visible: other tabs, whose turn is when they are open, are taken out meanwhile. By rules of serious or critical
#: impact alone.
RUN_AXE = """async () => {
  const places = [...document.querySelectorAll("[role=tabpanel]")]
    .filter((tab) => !tab.checkVisibility())
    .map((tab) => [tab, document.createComment(tab.id)]);
  const others = axe._audit.rules.filter((rule) => !["serious", "critical"].includes(rule.impact));
  const rules = Object.fromEntries(others.map((rule) => [rule.id, {enabled: false}]));
  places.forEach(([tab, place]) => tab.replaceWith(place));
  try {
    return await axe.run(document, {resultTypes: ["violations"], rules});
  } finally {
    places.forEach(([tab, place]) => place.replaceWith(tab));
  }
}"""
MAX_LAYOUT_SHIFT = 0.1
#: What is wider than the window and cannot be scrolled to. Gradio hides what goes over its edge, so the page itself never is.
CUT_OFF = """() => {
  const isOpen = (part) => !["auto", "scroll"].includes(getComputedStyle(part).overflowX);
  const scrolls = (part) => part && (!isOpen(part) || scrolls(part.parentElement));
  return [...document.querySelectorAll(".gradio-container *")]
    .filter((part) => part.checkVisibility() && part.getBoundingClientRect().right > window.innerWidth + 1)
    .filter((part) => !part.closest(".unseen, svg *") && !scrolls(part.parentElement))
    .map((part) => `${part.tagName} ${part.id} ${part.className}`);
}"""
MOST_WORDS = 120
#: What comes last to each tab.
CONTENT = {
    "compare": ".card",
    "batches": "#many-report table",
    "curves": "#per-class .heatmaplayer image",
    "evidence": "#finding-chart .main-svg",
    "inside": "#explorer-said .arithmetic",
    "about": ".hint-line",
}
#: Words of prose, headings and controls of the open tab; not those of tables, charts, and the cards and maps that are charts.
COUNT_WORDS = """(panel) => {
  const data = "table, svg, .js-plotly-plot, .plot-container, script, style, .unseen, .cards, .maps-grid, .cubes, [role=math]";
  const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const {data: text, parentElement: parent} = walker.currentNode;
    if (parent.closest(data) || !parent.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    count += text.split(/\\s+/).filter((word) => /[\\p{L}\\p{N}]/u.test(word)).length;
  }
  return count;
}"""
#: How far things jumped since the page began to come, except right after something the visitor did.
LAYOUT_SHIFT = """() => new Promise((done) => {
  const sum = (list) => list.getEntries().reduce((total, entry) => total + (entry.hadRecentInput ? 0 : entry.value), 0);
  new PerformanceObserver((list) => done(sum(list))).observe({type: "layout-shift", buffered: true});
  setTimeout(() => done(0), 1000);  // nothing jumped, and nobody is called
})"""


def serious_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, each with the first elements that have it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate(RUN_AXE)
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: "
        + " | ".join(f"{node['target']} {node['html'][:120]}" for node in fault["nodes"][:4])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("viewport", "colour_scheme"), [("desktop", "light"), ("phone", "dark"), ("zoomed", "light")])
def test_nothing_jumps_and_no_tab_has_a_serious_fault_or_too_many_words_or_is_wider_than_the_window(page):
    page.wait_for_load_state("networkidle")
    assert page.evaluate(LAYOUT_SHIFT) < MAX_LAYOUT_SHIFT
    faults = {}
    for key, title, _ in TABS:
        open_tab(page, title)
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")  # what is lower is drawn when it comes into view
        panel = page.get_by_role("tabpanel").filter(visible=True)
        expect(panel.locator(CONTENT[key]).first).to_be_visible()
        page.wait_for_load_state("networkidle")
        expect(page.locator(".progress-text:visible")).to_have_count(0)  # half faded, for a moment
        assert 0 < panel.evaluate(COUNT_WORDS) <= MOST_WORDS, title
        assert page.evaluate(CUT_OFF) == [], title
        deadline = time.monotonic() + 5
        while (found := serious_faults(page)) and time.monotonic() < deadline:
            page.wait_for_timeout(300)  # a part that is just being renewed is half faded: a fault is what stays
        faults |= {title: found} if found else {}
    assert not faults, "\n".join(f"{title}: {fault}" for title, found in faults.items() for fault in found)


def colours_of(part: Locator) -> set[tuple[int, ...]]:
    """The colours of its pixels on the screen."""
    image = Image.open(io.BytesIO(part.screenshot())).convert("RGB")
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def is_colourful(part: Locator, expected: bool = True) -> bool:
    """Whether it is more than black, white and grey on the screen; looks again while that is not as expected."""
    deadline = time.monotonic() + 10
    while True:
        found = any(max(colour) - min(colour) > 50 for colour in colours_of(part))
        if found == expected or time.monotonic() > deadline:
            return found


@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_with_forced_colours_one_sees_what_is_on_and_how_probable_it_is(page, colour_scheme):
    page.emulate_media(color_scheme=colour_scheme, forced_colors="active")
    box = page.get_by_role("checkbox", name="NN", exact=True)
    assert is_colourful(box)
    box.uncheck()
    expect(page.locator(".card")).to_have_count(ZOO - 1)
    assert not is_colourful(box, expected=False)
    assert is_colourful(page.get_by_role("radio", name="Running"))
    assert not is_colourful(page.get_by_role("radio", name="with the example photos"), expected=False)
    assert is_colourful(page.locator("#severity input[type=range]"))
    backgrounds = [tab.evaluate("tab => getComputedStyle(tab).backgroundColor") for tab in page.get_by_role("tab").all()]
    assert len(set(backgrounds[1:])) == 1
    assert backgrounds[0] != backgrounds[1]
    bar = page.locator(".card[data-variant=bn] .bar").first
    assert ImageColor.getrgb(style_of("bn").colour) in colours_of(bar)
    assert len(colours_of(page.locator(".card .bar").last)) > 1  # its frame
    assert page.locator(".card").first.evaluate("card => getComputedStyle(card).borderLeft").startswith("1px solid")


def test_the_page_is_in_english_whatever_the_browser_speaks(browser, server_url):
    visit = Visit(browser.new_context(**window(locale="de-DE")))
    visit.page.goto(server_url)
    expect(visit.page.locator(".card")).to_have_count(ZOO)
    expect(visit.page.get_by_role("button", name="Use via API")).to_be_visible()
    expect(visit.page.locator("html")).to_have_attribute("lang", "en")
    visit.context.close()
    assert visit.faults() == []


def press_until(page: Page, key: str, reached: str, limit: int = 60) -> None:
    """Press a key until the focus is where the expression, a test of `active`, says."""
    for _ in range(limit):
        page.keyboard.press(key)
        if page.evaluate(f"((active) => {reached})(document.activeElement)"):
            return
    pytest.fail(f"{limit} times {key} did not reach {reached}.")


def test_the_keyboard_alone_gets_six_answers_and_to_another_tab(page):
    press_until(page, "Tab", "active.role === 'tab'")
    press_until(page, "Tab", f"active.querySelector('img')?.alt === '{EXAMPLES[1].title}'")
    before = page.locator(".card .top li:first-child").all_inner_texts()
    page.keyboard.press("Enter")
    expect(page.locator(".card .top li:first-child")).not_to_have_text(before)
    expect(page.locator(".card")).to_have_count(ZOO)
    press_until(page, "Shift+Tab", "active.role === 'tab' && active.innerText.trim() === 'Evidence'")
    page.keyboard.press("Enter")
    expect(page.locator("#finding h2")).to_be_visible()


def test_arrows_switch_tabs_and_a_list_closes_when_the_focus_leaves_it(page):
    page.get_by_role("tab", name="Compare").focus()
    for key, title in (("ArrowRight", "Batches"), ("ArrowLeft", "Compare"), ("ArrowLeft", "About")):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=title)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tab", name=title)).to_be_focused()
    page.get_by_label("Model set").click()
    assert page.get_by_role("option").count() > 1
    page.keyboard.press("Tab")
    expect(page.get_by_role("option")).to_have_count(0)
