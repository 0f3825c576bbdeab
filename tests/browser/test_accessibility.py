"""What helps everybody: no serious fault that axe-core finds, the keyboard alone, a page that does not jump."""

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.page import TABS

ZOO = len(NORM_LAYERS)
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
MAX_LAYOUT_SHIFT = 0.1

#: Adds up how far things jumped while the page came, except right after something the visitor did.
WATCH_LAYOUT = """
window.layoutShift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.layoutShift += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture
def page(page: Page) -> Page:
    """The page, once its first answers are there."""
    expect(page.locator(".card")).to_have_count(ZOO)
    return page


def serious_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, each with the first elements that have it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: "
        + " | ".join(f"{node['target']} {node['html'][:120]}" for node in fault["nodes"][:4])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_any_tab(page):
    faults = {}
    for title, _ in TABS:
        page.get_by_role("tab", name=title, exact=True).click()
        page.wait_for_load_state("networkidle")
        expect(page.locator(".progress-text:visible")).to_have_count(0)  # half faded, for a moment
        if found := serious_faults(page):
            faults[title] = found
    assert not faults, "\n".join(f"{title}: {fault}" for title, found in faults.items() for fault in found)


def press_until(page: Page, key: str, reached: str, limit: int = 60) -> None:
    """Press a key until the focus is where the expression, a test of `active`, says."""
    for _ in range(limit):
        page.keyboard.press(key)
        if page.evaluate(f"((active) => {reached})(document.activeElement)"):
            return
    pytest.fail(f"{limit} times {key} did not reach {reached}.")


def test_the_keyboard_alone_gets_six_answers_and_to_another_tab(page):
    press_until(page, "Tab", "active.role === 'tab'")
    press_until(page, "Tab", f"active.innerText === '{EXAMPLES[1].title}'")
    before = page.locator(".card .top li:first-child").all_inner_texts()
    page.keyboard.press("Enter")
    expect(page.locator(".card .top li:first-child")).not_to_have_text(before)
    expect(page.locator(".card")).to_have_count(ZOO)
    press_until(page, "Shift+Tab", "active.role === 'tab' && active.innerText.trim() === 'Results'")
    page.keyboard.press("Enter")
    expect(page.locator("#results tbody tr").first).to_be_visible()


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_nothing_jumps_while_the_page_comes(page, server_url):
    page.goto("about:blank")
    page.add_init_script(WATCH_LAYOUT)
    page.goto(server_url)
    expect(page.locator(".card")).to_have_count(ZOO)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.layoutShift") < MAX_LAYOUT_SHIFT
