"""Every button and link of every tab that saves something, clicked; what arrives is opened."""

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.driver import open_tab

BUTTON = "button:visible:text-matches('^\\\\s*(Download|Save) ', 'i')"
FOLDED = "details:not([open]) > summary:visible, button[aria-expanded=false]:visible"
NEW = ":not([data-saved])"
QUIET_SECONDS = 0.5


def check(name: str, content: bytes) -> None:
    """Open a file as the program would that people open it with."""
    assert len(content) > 20, name
    kind = Path(name).suffix
    if kind == ".png":
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert min(picture.size) > 100, name
    elif kind == ".svg":
        assert ElementTree.fromstring(content).tag.endswith("svg"), name
    elif kind == ".csv":
        table = pd.read_csv(io.BytesIO(content))
        assert table.size > 0, name
    elif kind == ".tex":
        text = content.decode()
        assert re.findall(r"\\(begin|end){tabular}", text) == ["begin", "end"], name
        rows = [line for line in text.splitlines() if line.rstrip().endswith(r"\\")]
        assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1, name
    else:
        raise AssertionError(f"Nobody has said how {name} is opened.")


def settled(page: Page, found: Locator) -> int:
    """How many there are, once the tab is filled and nothing comes any more."""
    page.wait_for_load_state("networkidle")
    count, quiet = -1, 0.0
    while quiet < QUIET_SECONDS:
        before, count = count, found.count()
        quiet = quiet + 0.25 if count == before else 0
        page.wait_for_timeout(250)
    return count


def save_all(page: Page, found: Locator) -> list[str]:
    """Click all of them, and open what comes; gives the names of the files."""
    names = []
    settled(page, found)
    while found.count():
        one = found.first
        one.scroll_into_view_if_needed()
        with page.expect_download() as download:
            one.click()
        names.append(download.value.suggested_filename)
        check(names[-1], Path(download.value.path()).read_bytes())
        one.evaluate("(element) => { element.dataset.saved = 'yes'; }")
    return names


def test_what_every_button_and_link_saves_can_be_opened(page: Page) -> None:
    is_button = "(part) => part.type === 'button' && /^(Download|Save) /.test(part.props.value)"
    there = page.evaluate(f"window.gradio_config.components.filter({is_button}).length")
    tabs, links, buttons = page.get_by_role("tab").all_inner_texts(), [], []
    for tab, has_views in [(tab, False) for tab in tabs] + [(tab, True) for tab in tabs]:
        if has_views and len(buttons) == there:
            break  # none is in a view that was not chosen
        open_tab(page, tab)
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")  # what is lower is drawn when it comes into view
        panel = page.get_by_role("tabpanel").filter(visible=True)
        settled(page, panel.locator("*"))
        for _ in range(2):  # what is folded may hold more that is
            panel.locator(FOLDED).evaluate_all("(folded) => folded.forEach((each) => each.click())")
            settled(page, panel.locator(FOLDED))
        links += save_all(page, panel.locator(f"a[download]:visible{NEW}")) if not has_views else []
        for view in [None, *(panel.locator("input[type=radio]:not(:checked):visible").all() if has_views else ())]:
            if view is not None:
                view.check()
            buttons += save_all(page, panel.locator(BUTTON + NEW))
    expect(page.locator(".toast-body.error")).to_have_count(0)
    assert len(buttons) == there > 0
    assert {Path(name).suffix for name in links + buttons} >= {".png", ".svg", ".csv", ".tex"}
