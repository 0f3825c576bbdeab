"""The parts of Classify below the answers, as a person uses them: the table, the maps, the corrupted photo."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from normzoo.app.core.catalog import Catalog, classes_of
from normzoo.app.core.examples import EXAMPLES
from tests.browser.visitor import ZOO, answers, wait_for_other_answers

OTHER = EXAMPLES[1]


def choose_example(page: Page) -> None:
    before = answers(page)
    page.get_by_role("button", name=OTHER.title).click()
    wait_for_other_answers(page, before)


def wait_for_other_pictures(part: Locator, before: str | None) -> None:
    expect(part.locator("img").last).not_to_have_attribute("src", before or "")


def test_agreement_shows_each_network_once_under_its_own_answer(page):
    choose_example(page)
    said = page.locator(".agreement")
    expect(said.locator(".chip")).to_have_count(ZOO)
    answer_of = dict(
        zip(
            page.locator(".card h3 .key").all_inner_texts(),
            page.locator(".card .top li:first-child .label").all_inner_texts(),
            strict=True,
        )
    )
    for field in said.locator("li").all():
        label = field.locator(".what").inner_text()
        assert {answer_of[name] for name in field.locator(".chip").all_inner_texts()} == {label}


def test_the_table_holds_every_probability_and_its_csv_the_same(page):
    page.get_by_role("button", name="Every probability as a table").click()
    table = page.locator("#probabilities")
    expect(table.locator("tbody tr")).to_have_count(len(classes_of(Catalog().default)))
    rows = [row.locator("th, td").all_inner_texts() for row in table.locator("table tr").all()]
    assert len(rows[0]) == ZOO + 1
    for column in range(1, ZOO + 1):
        shown = [row[column] for row in rows[1:]]
        assert all(re.fullmatch(r"\d+\.\d\d", text) for text in shown)
        assert sum(map(float, shown)) == pytest.approx(100, abs=0.2)
    with page.expect_download() as download:
        table.get_by_role("link", name="Download as CSV").click()
    assert list(csv.reader(io.StringIO(Path(download.value.path()).read_text()))) == rows


def test_the_table_follows_the_photo_while_it_is_open_and_when_it_is_opened_again(page):
    switch = page.get_by_role("button", name="Every probability as a table")
    first = page.locator("#probabilities tbody th").first
    switch.click()
    before = first.inner_text()
    choose_example(page)
    expect(first).not_to_have_text(before)
    now = first.inner_text()
    switch.click()
    expect(first).to_be_hidden()
    page.get_by_role("button", name=EXAMPLES[0].title).click()
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[0].file)
    switch.click()
    expect(first).to_have_text(before)
    assert now != before


def test_a_map_of_each_network_is_there_from_the_start_and_follows_the_photo(page):
    maps = page.locator("#maps")
    expect(maps.locator("figure")).to_have_count(ZOO)
    expect(maps.locator(".explanation")).to_contain_text("Red speaks for the class, blue against it")
    before = maps.locator("img").last.get_attribute("src")
    choose_example(page)
    wait_for_other_pictures(maps, before)
    expect(maps.locator("figure")).to_have_count(ZOO)


def test_another_class_is_explained_when_it_is_chosen(page):
    page.get_by_label("Class to explain").click()
    page.get_by_role("option", name="lighthouse").click()
    captions = page.locator("#maps figcaption")
    expect(captions.first).to_contain_text("lighthouse")
    for caption in captions.all_inner_texts():
        total, photo, sign, bias = re.search(
            r"lighthouse \d+\.\d\d%\s+logit (-?\d+\.\d\d) = photo (-?\d+\.\d\d) ([+−]) bias (\d+\.\d\d)", caption
        ).groups()
        assert float(photo) + (1 if sign == "+" else -1) * float(bias) == pytest.approx(float(total), abs=0.011)


def test_the_photo_is_corrupted_as_the_slider_moves(page):
    part = page.locator("#corrupted")
    expect(part.locator(".answers tbody tr")).to_have_count(ZOO)
    page.get_by_role("radio", name="Darker").check()
    expect(part).to_contain_text("Darker 3 of 5")
    before = part.locator("img").last.get_attribute("src")
    slider = page.locator("#severity input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(part).to_contain_text("Darker 5 of 5")
    wait_for_other_pictures(part, before)
    expect(part.locator(".column.current")).to_have_attribute("aria-label", re.compile("^Severity 5: "))
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(part.locator(".verdict")).to_have_text("Severity 0: the photo as it is. Move the slider.")


def test_the_plot_tells_the_values_at_the_severity_under_the_pointer(page):
    columns = page.locator("#corrupted .column")
    expect(columns).to_have_count(6)
    expect(columns.nth(3).locator(".told")).to_be_visible()
    columns.nth(1).locator("rect").hover()
    expect(columns.nth(1).locator(".told")).to_be_visible()
    expect(columns.nth(3).locator(".told")).to_be_hidden()
    values = columns.nth(1).locator(".told text").all_text_contents()
    assert values[0] == "Severity 1"
    assert len([text for text in values if re.fullmatch(r"\d+\.\d\d%", text)]) == ZOO
