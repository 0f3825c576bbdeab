"""Compare as a person uses it: right and wrong, the slider, the switch, what opens below."""

import re

import pytest
from playwright.sync_api import Page, expect

from normzoo.app.core.examples import EXAMPLES
from tests.browser.driver import ZOO, answers, choose_file, wait_for_other_answers

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
