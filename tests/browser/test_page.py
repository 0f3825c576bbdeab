"""The page as a person uses it: open it, add a photo, compare, open what is folded; About."""

import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from normzoo.variants import short_name
from tests.browser.driver import ZOO, answers, choose_file, open_tab, wait_for_other_answers


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


KNOWN, UNKNOWN = EXAMPLES[1], EXAMPLES[-1]


def choose_example(page: Page, title: str) -> None:
    before = answers(page)
    page.get_by_role("button", name=title, exact=True).click()
    wait_for_other_answers(page, before)


def test_the_first_example_has_right_and_wrong_answers_and_an_unknown_one_has_none(page):
    correct, wrong = page.locator(".card .right"), page.locator(".card .wrong")
    assert correct.count() > 0 < wrong.count()
    choose_example(page, UNKNOWN.title)
    expect(page.locator(".card :is(.right, .wrong)")).to_have_count(0)
    choose_example(page, KNOWN.title)
    expect(page.locator(".card :is(.right, .wrong)")).to_have_count(ZOO)
    expect(page.locator(".doubt")).to_have_count(0)


def test_the_slider_moves_all_six_and_the_switch_the_two_with_running_statistics(page):
    def shown() -> dict[str, str]:
        return dict(zip(*(page.locator(f".card {part}").all_inner_texts() for part in ("h3 .key", ".top")), strict=True))

    before = shown()
    page.locator("#severity input[type=range]").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    for card in page.locator(".card .top").all():
        expect(card).not_to_have_text(before[card.locator("xpath=../h3/span[1]").inner_text()])
    expect(page).to_have_url(re.compile("why=contrast/4/running"))
    page.wait_for_load_state("networkidle")  # an answer to severity 3 may have come first
    corrupted = shown()
    assert sum(corrupted[name] != before[name] for name in before) == ZOO
    expect(page.locator("#why-cubes .stored")).to_have_count(2)
    page.get_by_role("radio", name="with the example photos").check()
    expect(page.locator("#why-cubes .stored")).to_have_count(0)
    expect(page).to_have_url(re.compile("why=contrast/4/examples"))
    with_batch = shown()
    assert {name for name in before if corrupted[name] != with_batch[name]} == {"BN", "BIN"}
    said, address = page.locator("#report").inner_text(), page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("#why-cubes .stored")).to_have_count(0)
    expect(page.locator("#report .verdict")).to_have_text(said.splitlines()[0])


def test_what_is_folded_opens_and_follows_the_photo(page):
    page.get_by_role("button", name="Class activation maps").click()
    maps = page.locator("#maps")
    expect(maps.locator("figure")).to_have_count(ZOO)
    before = maps.locator("img").last.get_attribute("src")
    choose_example(page, KNOWN.title)
    expect(maps.locator("img").last).not_to_have_attribute("src", before or "")
    page.get_by_label("Class", exact=True).click()
    page.get_by_role("option", name="lighthouse").click()
    captions = maps.locator("figcaption")
    expect(captions.first).to_contain_text("lighthouse")
    for caption in captions.all_inner_texts():
        total, photo, sign, bias = re.search(r"logit (-?[\d.]+) = map (-?[\d.]+) ([+−]) bias ([\d.]+)", caption).groups()
        assert float(photo) + (1 if sign == "+" else -1) * float(bias) == pytest.approx(float(total), abs=0.011)
    page.get_by_role("button", name="All severities").click()
    expect(page.locator("#severities .legendtext")).to_have_count(ZOO)


@pytest.mark.parametrize("viewport", ["phone"])
def test_after_an_upload_a_phone_shows_the_verdict_and_two_cards_without_scrolling(page):
    before = answers(page)
    choose_file(page, UNKNOWN.path)
    wait_for_other_answers(page, before)
    assert page.evaluate("scrollY") == 0
    expect(page.locator("#report .verdict")).to_be_in_viewport(ratio=1)
    for card in page.locator(".card").all()[:2]:
        expect(card).to_be_in_viewport(ratio=1)
