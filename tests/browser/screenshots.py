"""python -m tests.browser.screenshots: every tab of the page, wide and narrow, light and dark, in screenshots/.

With `--docs` the picture of README and of the documentation alone.
"""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

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
        if "--docs" in sys.argv:
            visit = Visit(browser.new_context(**window("desktop", "light")))
            visit.page.goto(server.url)
            visit.page.locator(".card").first.wait_for()
            visit.page.locator("#examples button").first.click()  # its first answer is older than the page, and took longer
            visit.page.wait_for_timeout(SETTLE_MS)
            visit.page.screenshot(
                path=ROOT / "docs/page.png", clip={"x": 0, "y": 0, "width": 1280, "height": 930}, full_page=True
            )
            return 0
        for viewport in VIEWPORTS:
            for colour_scheme in ("light", "dark"):
                visit = Visit(browser.new_context(**window(viewport, colour_scheme)))
                visit.page.goto(server.url)
                visit.page.locator(".card").first.wait_for()
                for number, tab in enumerate(visit.page.get_by_role("tab").all(), start=1):
                    tab.click()
                    visit.page.wait_for_load_state("networkidle")
                    visit.page.wait_for_timeout(SETTLE_MS)
                    name = re.sub(r"\W+", "-", tab.inner_text().strip().lower())
                    path = FOLDER / f"{number}-{name}-{viewport}-{colour_scheme}.png"
                    visit.page.screenshot(path=path, full_page=True)
                    print(path.relative_to(ROOT))
                visit.context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
