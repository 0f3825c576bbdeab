"""The page as a person uses it: open it, add a photo, read what it says."""

import csv
import io
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.variants import short_name
from tests.browser.visitor import ZOO, answers, choose_file, open_tab, wait_for_other_answers


def rows_of(page: Page) -> list[list[str]]:
    """The table as it is read: headings, then one row for each network."""
    return [row.locator("th, td").all_inner_texts() for row in page.locator("#results table tr").all()]


def test_the_page_opens_with_an_example_that_is_classified_others_to_choose_and_what_the_networks_know(page):
    expect(page.locator("#report .verdict")).to_contain_text(EXAMPLES[0].label)
    shown = page.locator(".card h3 .key").all_inner_texts()
    assert sorted(shown) == sorted(short_name(variant) for variant in NORM_LAYERS)
    for card in page.locator(".card").all():
        assert all(re.fullmatch(r"\d+(\.\d)? %", text) for text in card.locator(".value").all_inner_texts())
    for example in EXAMPLES:
        expect(page.get_by_role("button", name=example.title)).to_be_visible()
    page.get_by_role("button", name=re.compile("The 25 classes")).click()
    expect(page.locator("#classes")).to_contain_text("tabby cat")


def test_an_uploaded_photo_gets_six_results_and_the_picture_that_was_seen(page, tmp_path):
    before, seen = answers(page), page.locator("img.seen")
    source = seen.get_attribute("src")
    Image.radial_gradient("L").convert("RGB").resize((640, 480)).save(tmp_path / "mine.png")
    choose_file(page, tmp_path / "mine.png")
    wait_for_other_answers(page, before)
    assert seen.get_attribute("src") != source
    assert seen.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 64]
    expect(page.locator("#photo figcaption")).to_have_text("mine.png")


def test_an_example_gets_six_other_results(page):
    before = answers(page)
    page.get_by_role("button", name=EXAMPLES[1].title).click()
    wait_for_other_answers(page, before)
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[1].file)


def test_removing_the_photo_says_what_to_do_next(page):
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#report")).to_contain_text("Add a photo, or choose one of the examples.")
    choose_file(page, FOLDER / EXAMPLES[2].file)
    expect(page.locator(".card")).to_have_count(ZOO)


def test_the_chosen_networks_are_those_of_every_tab(page):
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    expect(page.locator(".card")).to_have_count(ZOO - 1)
    open_tab(page, "Curves & metrics")
    expect(page.locator("#results tbody tr")).to_have_count(ZOO - 1)
    open_tab(page, "Curves & metrics")
    expect(page.locator("#curves .legendtext")).to_have_count(ZOO - 1)
    for variant in list(NORM_LAYERS)[1:]:
        page.get_by_role("checkbox", name=short_name(variant), exact=True).uncheck()
    expect(page.locator("#curves-text")).to_contain_text("Choose at least one network")
    open_tab(page, "Compare")
    expect(page.locator("#report")).to_contain_text("Choose at least one network")


def test_the_curves_show_another_metric_and_split(page):
    open_tab(page, "Curves & metrics")
    chart = page.locator("#curves")
    expect(chart.locator(".ytitle")).to_have_text("Accuracy (%)")
    expect(chart.locator(".legendtext")).to_have_count(ZOO)
    page.get_by_role("radio", name="Loss").check()
    expect(chart.locator(".ytitle")).to_have_text("Loss (nats)")
    expect(chart).to_contain_text("guessing: 3.2189")
    page.get_by_role("radio", name="Both").check()
    expect(chart.locator(".legendtext")).to_have_count(2 * ZOO)
    expect(page.locator("#curves-text")).to_contain_text("training loss, best first")


def test_the_curves_tell_the_values_under_the_pointer(page):
    open_tab(page, "Curves & metrics")
    chart = page.locator("#curves")
    expect(chart.locator(".legendtext")).to_have_count(ZOO)
    chart.locator(".nsewdrag").first.hover()
    expect(chart.locator(".hoverlayer")).to_contain_text(re.compile(r"BN \d+\.\d\d"))


def test_the_csv_holds_what_the_table_shows(page):
    open_tab(page, "Curves & metrics")
    with page.expect_download() as download:
        page.locator("#results").get_by_role("link", name="Download as CSV").click()
    assert re.fullmatch(r"normzoo-.+-results\.csv", download.value.suggested_filename)
    stored = list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))
    assert stored == rows_of(page)
    assert len(stored) == ZOO + 1


def test_the_table_is_sorted_by_its_headings_with_the_keyboard(page):
    open_tab(page, "Curves & metrics")
    heading = page.get_by_role("button", name="Validation accuracy (%)")
    heading.focus()
    column = rows_of(page)[0].index("Validation accuracy (%)")
    for order, key in (("ascending", "Enter"), ("descending", "Space")):
        page.keyboard.press(key)
        expect(page.locator(f'th[aria-sort="{order}"]')).to_have_count(1)
        shown = [float(row[column].split()[0]) for row in rows_of(page)[1:]]
        assert shown == sorted(shown, reverse=order == "descending")


def test_an_example_is_chosen_with_the_keyboard_alone(page):
    before = answers(page)
    page.get_by_role("tab", name="Compare").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == EXAMPLES[1].title:
            break
    page.keyboard.press("Enter")
    wait_for_other_answers(page, before)


def test_a_choice_asks_for_the_open_tab_alone_and_for_the_others_when_they_are_opened(page: Page) -> None:
    open_tab(page, "Evidence")
    expect(page.locator("#robustness-table table").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.get_by_label("NN", exact=True).uncheck()
    expect(page.locator("#robustness-table table").first.locator("tbody tr")).to_have_count(ZOO - 1)
    page.wait_for_timeout(1000)
    assert len(asked) <= 5  # one for each part of the open tab
    open_tab(page, "Compare")
    expect(page.locator(".card")).to_have_count(ZOO - 1)
    open_tab(page, "Curves & metrics")
    expect(page.locator("#results tbody tr")).to_have_count(ZOO - 1)
