"""The security headers in a real browser: what they stop, and that the page does not feel them."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from normzoo.app import build_demo
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.server.settings import Limits
from tests.browser.driver import Server, Visit, running_server, window
from tests.support import warm
from tests.support.checkpoints import save_zoo
from tests.support.visitor import served

SPACE = "https://me-zoo.hf.space"
FORWARDED = {"x-forwarded-host": "me-zoo.hf.space", "x-forwarded-proto": "https", "x-forwarded-for": "8.8.8.8, 10.0.0.1"}
#: What the bar that Gradio puts on top of a Space asks for, and must not get.
FONTS = "https://fonts.googleapis.com/"
SLIP_IN_SCRIPTS = """() => {
  const add = (values) => document.body.append(Object.assign(document.createElement("script"), values));
  document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.ran = 1'>");
  add({textContent: "window.ran = 2"});
  add({src: "data:text/javascript,window.ran = 3"});
}"""


def wait_until_ready(page: Page) -> None:
    expect(page.locator("#photo img")).to_be_visible(timeout=60_000)


def test_a_script_that_was_slipped_in_does_not_run(page: Page, visit_in: Callable[[str], Visit]):
    violations = visit_in("desktop").violations
    assert violations == []
    page.evaluate(SLIP_IN_SCRIPTS)
    assert page.evaluate("() => new Promise((done) => setTimeout(() => done(window.ran === undefined), 500))")
    assert len(violations) == 3
    violations.clear()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page as Hugging Face runs it, but for the proxy in front."""
    settings = {"SYSTEM": "spaces", "SPACE_ID": "me/zoo", "SPACE_HOST": "me-zoo.hf.space"}
    with running_server(tmp_path_factory.mktemp("space"), settings, popen=warm.Popen) as server:
        yield server
        outside = server.outside_calls()
    assert outside == []


@pytest.fixture
def visit_to_space(browser: Browser, space: Server) -> Iterator[Visit]:
    """A visit to the page on Spaces."""
    yield from framed(browser, space.url)


def framed(browser: Browser, url: str) -> Iterator[Visit]:
    """A visit during which `SPACE` is the server of that address behind a proxy, and every other site frames it."""
    visit = Visit(browser.new_context(**window()))

    def proxy(route: Route) -> None:
        headers = {**route.request.headers, **FORWARDED}
        with contextlib.suppress(Error):  # the page was closed meanwhile
            route.fulfill(response=route.fetch(url=url.rstrip("/") + route.request.url[len(SPACE) :], headers=headers))

    frame = f"<iframe src='{SPACE}/' width=1000 height=800></iframe>"
    visit.context.route("**/*", lambda route: route.fulfill(body=frame, content_type="text/html"))
    visit.context.route("https://huggingface.co/api/**", lambda route: route.fulfill(status=404))
    visit.context.route(f"{SPACE}/**", proxy)
    yield visit
    visit.context.close()


def test_the_page_works_on_spaces(visit_to_space):
    page = visit_to_space.page
    page.goto(f"{SPACE}/")
    wait_until_ready(page)
    page.locator("#examples button").nth(2).click()
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[2].file, timeout=60_000)
    assert [words for words in visit_to_space.violations if FONTS not in words] == []
    assert visit_to_space.errors == []


@pytest.mark.parametrize(("site", "is_allowed"), [("https://huggingface.co", True), ("https://evil.example", False)])
def test_who_may_show_the_page_in_a_frame(visit_to_space, site, is_allowed):
    check_frame(visit_to_space.page, f"{site}/spaces/me/zoo", is_allowed)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a host that has named a course's site."""
    demo = build_demo(save_zoo(tmp_path_factory.mktemp("school")))
    with served(demo, limits=Limits(trust_proxy=True), frame_ancestors="https://*.example.edu") as url:
        yield url


@pytest.mark.parametrize(("site", "is_allowed"), [("https://canvas.example.edu", True), ("https://huggingface.co", False)])
def test_a_host_names_the_sites_that_may(browser, school, site, is_allowed):
    for visit in framed(browser, school):
        check_frame(visit.page, f"{site}/courses/1", is_allowed)
        if is_allowed:  # and it works there
            frame = visit.page.frame_locator("iframe")
            frame.locator("#examples button").nth(2).click()
            expect(frame.locator("#photo figcaption")).to_have_text(EXAMPLES[2].file, timeout=60_000)


def check_frame(page: Page, address: str, is_allowed: bool) -> None:
    page.goto(address)
    if is_allowed:
        expect(page.frame_locator("iframe").get_by_role("heading", name="NormZoo")).to_be_visible(timeout=60_000)
    else:
        page.wait_for_function("() => window.frames.length === 1")
        assert [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"]
