"""python -m tests.browser.screenshots: every tab of the page, wide and narrow, light and dark, in screenshots/.

With `--docs` the picture of README and of the documentation alone.
"""

import itertools
import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.driver import ROOT, VIEWPORTS, Visit, find_chromium, launch_chromium, running_server, window

FOLDER = ROOT / "screenshots"
SETTLE_MS = 1500


def main() -> int:
    """Take the pictures; gives the exit code."""
    executable = find_chromium()
    if executable is None:
        print("There is no chromium here. Install your system's, or set CHROMIUM to its path.", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server, sync_playwright() as playwright:
        browser = launch_chromium(playwright, executable)

        def visit(viewport: str, colour_scheme: str) -> Page:
            page = Visit(browser.new_context(**window(viewport, colour_scheme))).page
            page.goto(server.url)
            page.locator(".card").first.wait_for()
            return page

        if "--docs" in sys.argv:
            page = visit("desktop", "light")
            page.locator("#examples button").first.click()  # its first answer is older than the page, and took longer
            page.wait_for_timeout(SETTLE_MS)
            clip = {"x": 0, "y": 0, "width": 1280, "height": 930}
            page.screenshot(path=ROOT / "docs/page.png", clip=clip, full_page=True)
            return 0
        for viewport, colour_scheme in itertools.product(VIEWPORTS, ("light", "dark")):
            page = visit(viewport, colour_scheme)
            for number, tab in enumerate(page.get_by_role("tab").all(), start=1):
                tab.click()
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(SETTLE_MS)
                name = re.sub(r"\W+", "-", tab.inner_text().strip().lower())
                path = FOLDER / f"{number}-{name}-{viewport}-{colour_scheme}.png"
                page.screenshot(path=path, full_page=True)
                print(path.relative_to(ROOT))
            page.context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
