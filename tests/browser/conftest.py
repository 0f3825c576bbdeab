"""Fixtures that open the real page in Chromium, and watch what it does there.

A test asks for `page`. It chooses another window or colour scheme by parametrising the fixture of that name:
`@pytest.mark.parametrize("viewport", ["phone"])`, `@pytest.mark.parametrize("colour_scheme", ["light", "dark"])`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from normzoo import NORM_LAYERS
from tests.browser.driver import Visit, find_chromium, launch_chromium, launch_profile, running_server, window

expect.set_options(timeout=30_000)  # a busy machine takes its time over 4.6 MB of plotly.js


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, so that `-m "not browser"` leaves it out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """In CI a browser test that is skipped has failed."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"CI skips no browser test. {reason}"
    return report


@pytest.fixture(scope="package")
def chromium() -> str:
    """The path of the browser."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("There is no chromium here. Install your system's, or set CHROMIUM to its path.")
    return executable


# Per package, not per session: playwright keeps an event loop running, which the tests elsewhere must not find.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """For the tests that want a profile of their own."""
    browser = launch_chromium(playwright, chromium)
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the real app.py answers; once all tests are through it must have called no other machine."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server.url
    assert server.outside_calls() == [], f"The server tried to leave the machine; its log is {server.log}."


@pytest.fixture
def viewport() -> str:
    """A name in `VIEWPORTS`."""
    return "desktop"


@pytest.fixture
def colour_scheme() -> str:
    """`light` or `dark`: what the visitor's system asks for."""
    return "light"


@pytest.fixture(scope="package")
def visit_in(playwright: Playwright, chromium: str) -> Iterator[Callable[[str], Visit]]:
    """The visit in a window, whose browser need not load and compile the same scripts for every test."""
    visits: dict[str, Visit] = {}

    def visit_in(viewport: str) -> Visit:
        if viewport not in visits:
            visits[viewport] = Visit(launch_profile(playwright, chromium, **window(viewport)))
        return visits[viewport]

    yield visit_in
    for visit in visits.values():
        visit.context.close()


@pytest.fixture
def page(visit_in: Callable[[str], Visit], server_url: str, viewport: str, colour_scheme: str) -> Iterator[Page]:
    """The page, newly opened, once its first answers are there.

    The test fails if the page called another machine or left an error uncaught.
    """
    visit = visit_in(viewport)
    visit.page.emulate_media(color_scheme=colour_scheme, forced_colors="none")
    visit.page.goto(server_url)
    expect(visit.page.locator(".card")).to_have_count(len(NORM_LAYERS))
    yield visit.page
    faults = visit.faults()
    visit.leave()
    if faults:
        pytest.fail("The page did what it must not:\n" + "\n".join(faults))
