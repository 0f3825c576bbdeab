"""The page in two more browser engines: what a visitor does first, and twenty times every link into it.

`make test-browsers` runs it, by itself: it needs Debian's firefox-esr, webkit2gtk-driver and xvfb.
"""

import base64
import shutil
from collections.abc import Iterator

import pytest

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.page import TABS
from tests.browser.driver import DROP, ROOT, running_server
from tests.engines.driver import ENGINES, Browser

LINKS_EACH = 20
SIZES = {"wide": (1280, 900, "light"), "phone": (390, 844, "dark")}
#: What comes last to each tab.
CONTENT = {
    "compare": ".card",
    "batches": "#many-report table",
    "curves": "#results tbody tr",
    "evidence": ".finding h2",
    "inside": "#explorer-said .arithmetic",
    "about": "#norms, .label-wrap",
}
#: Address -> the tab that it opens, what the control of the model set says then, and how many networks are ticked.
LINKS = {
    "?tab=inside": ("inside", "64×64 · strong recipe", 6),
    "?set=tiny-imagenet-25-64px/strong&variants=bn,in&tab=results": ("evidence", "64×64 · strong recipe", 2),
    "?set=tiny-imagenet-25/paper&tab=learning-curves": ("curves", "32×32 · original recipe (paper)", 6),
}
TAB = "return [...document.querySelectorAll('[role=tab]')].findIndex((tab) => tab.getAttribute('aria-selected') === 'true')"
VIEW = """
const tabs = [...document.querySelectorAll('[role=tab]')];
return [tabs.findIndex((tab) => tab.getAttribute('aria-selected') === 'true'),
  document.querySelector('.chooser [role=combobox]')?.value,
  document.querySelectorAll('.chooser input[type=checkbox]:checked').length];
"""
#: Note what is saved as a file, in the place of saving it.
WATCH_FILES = """
window.saved = {};
const make = URL.createObjectURL;
URL.createObjectURL = (blob) => { blob.text().then((text) => saved[blob.type] = text); return make(blob); };
"""
SAVE = """
const buttons = [...document.querySelectorAll('.downloads button')].filter((each) => each.checkVisibility());
buttons.find((each) => each.textContent.includes(arguments[0])).click();
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server.url


@pytest.fixture(scope="module", params=list(ENGINES))
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if shutil.which(request.param) is None:
        pytest.skip(f"There is no {request.param} here.")
    with ENGINES[request.param](tmp_path_factory.mktemp("profile")) as browser:
        print(f"{browser.name} {browser.version}")
        yield browser


def appear(browser: Browser, selector: str, count: int = 1) -> None:
    script = (
        "return [...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility()).length >= arguments[1]"
    )
    browser.until(script, selector, count)


@pytest.mark.parametrize("size", list(SIZES))
def test_a_visitor_uses_the_page(browser: Browser, url: str, size: str) -> None:
    width, height, scheme = SIZES[size]
    browser.go(f"{url}?__theme={scheme}")
    browser.resize(width, height)
    appear(browser, ".card", len(NORM_LAYERS))
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("return document.body.classList.contains('dark')") == (scheme == "dark")

    browser.click("#examples li:nth-child(2) button")
    caption = "return document.querySelector('#photo figcaption')?.textContent.trim() === arguments[0]"
    browser.until(caption, EXAMPLES[1].file)
    photo = EXAMPLES[-1].path
    files = [[photo.name, "image/jpeg", base64.b64encode(photo.read_bytes()).decode()]]
    browser.run(f"({DROP})(document.body, {{files: arguments[0], strings: {{}}}})", files)
    browser.until(caption, photo.name)
    appear(browser, ".card", len(NORM_LAYERS))

    folder = ROOT / "screenshots"
    folder.mkdir(exist_ok=True)
    for number, (key, _, _) in enumerate(TABS):
        browser.click(f"[role=tab]:nth-of-type({number + 1})")
        browser.until(f"{TAB} === arguments[0]", number)
        appear(browser, f"[role=tabpanel] :is({CONTENT[key]})")
        browser.screenshot(folder / f"engine-{browser.name.lower()}-{size}-{number + 1}-{key}.png")
        if key == "batches":
            told = "document.querySelector('#many-report caption')?.textContent"
            drawings = browser.run(f"return {told}")
            browser.click("#many [data-set=examples]")
            browser.until(f"return {told} && {told} !== arguments[0]", drawings)
        elif key == "curves":
            browser.run(WATCH_FILES)
            for kind in ("SVG", "CSV"):
                browser.run(SAVE, kind)
            kinds = ["image/svg+xml", "text/csv;charset=utf-8"]  # plotly.js makes files of its own
            picture, numbers = browser.until(
                "const found = arguments[0].map((kind) => saved[kind]); return found.every(Boolean) && found", kinds
            )
            assert picture.rstrip().endswith("</svg>")
            assert numbers.count("\n") > 6
        elif key == "inside":
            said = browser.run("return document.querySelector('#explorer-said').textContent")
            browser.click('.maps-grid .map[data-photo="1"][data-channel="2"]')
            browser.until("return document.querySelector('#explorer-said').textContent !== arguments[0]", said)
            assert browser.run("return document.querySelectorAll('#explorer-maps .map.lit').length") == 4


@pytest.mark.parametrize("address", list(LINKS))
def test_a_link_opens_what_it_names(browser: Browser, url: str, address: str) -> None:
    browser.resize(1280, 900)
    tab, title, count = LINKS[address]
    wanted = [[key for key, *_ in TABS].index(tab), title, count]
    for _ in range(LINKS_EACH):
        browser.go("about:blank")
        browser.go(url + address)
        appear(browser, f"[role=tabpanel] :is({CONTENT[tab]})")
        browser.until(
            f"const shown = (() => {{ {VIEW} }})(); return JSON.stringify(shown) === JSON.stringify(arguments[0])", wanted
        )
        browser.run("return new Promise((done) => setTimeout(done, 300))")
        assert browser.run(VIEW) == wanted  # and nothing that comes late overwrites it
        assert browser.run("return new URLSearchParams(location.search).get('tab')") in (tab, address.partition("tab=")[2])
