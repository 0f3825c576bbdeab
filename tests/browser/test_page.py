"""The page as a person uses it: open it, add a photo, read what it says."""

import re

from PIL import Image
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from normzoo.variants import short_name
from tests.browser.driver import ZOO, choose_file, open_tab


def test_the_page_opens_with_an_example_that_is_classified_others_to_choose_and_what_the_networks_know(page):
    expect(page.locator("#report .verdict")).to_contain_text(EXAMPLES[0].label)
    shown = page.locator(".card h3 .key").all_inner_texts()
    assert sorted(shown) == sorted(short_name(variant) for variant in NORM_LAYERS)
    for card in page.locator(".card").all():
        assert all(re.fullmatch(r"\d+(\.\d)?%", text) for text in card.locator(".value").all_inner_texts())
    for example in EXAMPLES:
        expect(page.get_by_role("button", name=example.title)).to_be_visible()
    page.get_by_role("button", name=re.compile("The 25 classes")).click()
    expect(page.locator("#classes")).to_contain_text("tabby cat")


def test_without_a_photo_it_is_said_what_to_do_and_an_uploaded_one_gets_six_answers(page, tmp_path):
    seen = page.locator("img.seen")
    source = seen.get_attribute("src")
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#report")).to_contain_text("Add a photo, or choose one of the examples.")
    Image.radial_gradient("L").convert("RGB").resize((640, 480)).save(tmp_path / "mine.png")
    choose_file(page, tmp_path / "mine.png")
    expect(page.locator(".card")).to_have_count(ZOO)
    assert seen.get_attribute("src") != source
    assert seen.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 64]
    expect(page.locator("#photo figcaption")).to_have_text("mine.png")


def test_a_choice_asks_for_the_open_tab_alone_and_for_the_others_when_they_are_opened(page: Page) -> None:
    open_tab(page, "Batches")
    rows = page.locator("#many-report .bars tbody tr")
    expect(rows).to_have_count(ZOO)
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.get_by_label("NN", exact=True).uncheck()
    expect(rows).to_have_count(ZOO - 1)
    page.wait_for_timeout(1000)
    assert len(asked) == 2  # the two parts of the open tab
    open_tab(page, "Compare")
    expect(page.locator(".card")).to_have_count(ZOO - 1)
    open_tab(page, "Curves & metrics")
    expect(page.locator("#results tbody tr")).to_have_count(ZOO - 1)


def test_about_tells_norms_the_chosen_runs_endpoints_and_terms(page, server_url):
    open_tab(page, "About")
    for title in ("Formulas and papers", "Recipe, data, runs", "Credits and terms"):
        page.get_by_role("button", name=title).click()
    expect(page.locator("#norms li")).to_have_count(len(NORM_LAYERS))
    expect(page.locator("#trained")).to_contain_text("python -m training study --recipe")
    expect(page.locator("#trained tbody tr")).to_have_count(len(NORM_LAYERS))
    expect(page.locator("#credits tbody tr")).to_have_count(len(EXAMPLES))
    expect(page.locator("#credits")).to_contain_text("non-commercial")
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    expect(page.locator("#trained tbody tr")).to_have_count(len(NORM_LAYERS) - 1)
    page.get_by_role("button", name="Use via API").click()
    expect(page.locator(".api-docs")).to_contain_text(f'Client("{server_url.rstrip("/")}")')
    expect(page.locator(".api-docs")).to_contain_text("/learning_curves")
