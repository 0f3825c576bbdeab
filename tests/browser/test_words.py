"""At most 120 words are visible in a tab before something is opened."""

import pytest
from playwright.sync_api import Page, expect

from normzoo.app.page import TABS
from tests.browser.visitor import open_tab

MOST = 120
#: What comes last to each tab.
CONTENT = {
    "compare": ".card",
    "batches": "#many-report table",
    "curves": "#per-class .heatmaplayer image",
    "evidence": ".finding h2",
    "inside": "#explorer-said .arithmetic",
    "about": ".hint-line",
}
#: Words of prose, headings and controls of the open tab; not those of tables, charts, and the cards and maps that are charts.
COUNT = """(panel) => {
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


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_a_tab_says_no_more_than_can_be_read_at_once(page: Page) -> None:
    counts = {}
    for key, title, _ in TABS:
        open_tab(page, title)
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")  # what is lower is drawn when it comes into view
        expect(page.get_by_role("tabpanel").filter(visible=True).locator(CONTENT[key]).first).to_be_visible()
        counts[title] = page.get_by_role("tabpanel").filter(visible=True).evaluate(COUNT)
    print(counts)
    assert all(0 < count <= MOST for count in counts.values()), counts
