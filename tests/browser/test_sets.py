"""The page with other checkpoints than the packaged ones: several sets, broken variants, none at all."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from normzoo.app import build_demo
from tests.browser.driver import ZOO, open_tab
from tests.support.checkpoints import save_variant, save_zoo
from tests.support.visitor import served


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """In place of the one with the packaged networks."""
    folder = tmp_path_factory.mktemp("sets")
    root = save_zoo(folder / "zoo", "toy/first")
    for variant in ("bn", "bn-bs8", "torch-bn"):
        save_variant(root, variant, "toy/second", seeds=(0, 1, 2))
    save_zoo(root, "toy/torn")
    (root / "toy" / "torn" / "gn" / "model.safetensors").write_bytes(b"torn")
    (root / "toy" / "torn" / "ln" / "metrics.json").unlink()
    with served(build_demo(root)) as url:
        yield url


def test_a_broken_variant_is_shown_and_the_rest_works_in_every_tab(page, server_url):
    page.goto(f"{server_url}?set=toy/torn")
    expect(page.locator(".card.unavailable")).to_have_count(2)
    expect(page.locator(".card")).to_have_count(ZOO)
    expect(page.locator(".card.unavailable").first).to_contain_text("model.safetensors is not the file that was packaged")
    page.get_by_role("button", name="Rocket").click()
    expect(page.locator("#photo figcaption")).to_have_text("rocket.jpg")
    open_tab(page, "Curves & metrics")
    expect(page.locator("#results")).to_contain_text("LN is unavailable: metrics.json is missing")
    expect(page.locator("#results tbody tr")).to_have_count(ZOO - 1)


def choose_second(page: Page) -> None:
    page.get_by_label("Model set").fill("second")
    expect(page.get_by_role("option", name="second recipe")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(1)


def test_another_set_brings_its_own_networks_to_every_tab(page):
    choose_second(page)
    page.get_by_role("checkbox", name="BN batch 8").check()
    expect(page.locator(".card")).to_have_count(2)
    open_tab(page, "Curves & metrics")
    expect(page.locator("#results tbody tr")).to_have_count(2)
    expect(page.locator("#results")).to_contain_text("51.1 ± 0.1")


def test_a_chart_far_below_is_drawn_when_it_is_seen_of_the_set_that_is_chosen_then(page):
    choose_second(page)
    open_tab(page, "Curves & metrics")
    expect(page.locator("#curves .legendtext")).to_have_count(1)
    page.wait_for_load_state("networkidle")
    drawn = page.locator("#per-class .heatmaplayer image")
    expect(drawn).to_have_count(0)
    page.locator("#per-class").scroll_into_view_if_needed()
    expect(drawn).to_have_count(1)
    expect(page.locator("#per-class .xtick text")).to_have_text(["BN"])


def test_a_choice_asks_the_server_a_few_times_and_then_is_quiet(page):
    page.evaluate("""() => {
      window.told = [];
      const note = ({target}) => window.told.push(target.parentElement?.closest("[aria-live]")?.textContent);
      new MutationObserver((changes) => changes.forEach(note)).observe(document.body, {subtree: true, characterData: true});
    }""")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/queue/join" in request.url else None)

    def count_requests() -> int:
        count = -1
        while count != len(asked):  # until none has come for a second
            count = len(asked)
            page.wait_for_timeout(1000)
        asked.clear()
        return count

    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    expect(page.locator(".card")).to_have_count(5)
    tabs = page.get_by_role("tab").count()
    assert count_requests() <= 2 * tabs  # every tab and its parts, once each
    for name in ("BN", "IN", "GN"):
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    expect(page.locator(".card")).to_have_count(2)
    assert count_requests() <= 6 * tabs  # three times, or fewer where one choice came before the answer to the other
    page.get_by_role("button", name="Rocket").click()
    expect(page.locator("#photo figcaption")).to_have_text("rocket.jpg")
    assert count_requests() == 2  # the example, its answers
    choose_second(page)
    # Its networks, every tab and part, what can be chosen in them; Gradio's dropdown tells of a choice twice.
    assert count_requests() <= 6 * tabs
    assert count_requests() == 0
    told = page.evaluate("window.told.filter(Boolean)")
    assert told
    assert not any(re.fullmatch(r"\w+\.\w+", words) for words in told)  # a screen reader is told words, not their keys
