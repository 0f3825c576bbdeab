"""Many photos, as a person uses them: dropped, zipped, filtered, clicked through; and whose statistics the answers rest on."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from normzoo.app.core.examples import DRAWINGS, FOLDER
from tests.browser.driver import ZOO, drop, open_tab
from tests.support.image_files import plain, save, zipped


@pytest.fixture
def many(page: Page) -> Page:
    """The tab, with the answers to the drawings."""
    open_batches(page)
    expect(rows(page)).to_have_count(len(DRAWINGS))
    return page


def open_batches(page: Page) -> None:
    open_tab(page, "Batches")
    page.get_by_role("button", name="Photo by photo").click()


def rows(page: Page):
    return page.locator("#many-table tbody tr")


def drawing(thing: str, number: int = 1) -> bytes:
    return (FOLDER / f"drawn/{thing}-{number}.jpg").read_bytes()


def test_twelve_photos_are_dropped_one_of_them_broken_and_the_rest_answered(page: Page) -> None:
    files = [(f"photo {number}.jpg", "image/jpeg", drawing("orange", 1 + number % 4)) for number in range(11)]
    drop(page.locator("body"), *files, ("broken.jpg", "image/jpeg", drawing("pizza")[:700]))
    expect(page.get_by_role("tab", name="Batches")).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Photo by photo").click()
    expect(rows(page)).to_have_count(11)
    expect(page.locator("#many-report .problems")).to_contain_text(
        re.compile(r"broken\.jpg: This picture is (incomplete|damaged)")
    )
    assert rows(page).locator("th").first.inner_text().strip() == "photo 0.jpg"
    expect(page.locator("#many-report .verdict")).to_contain_text("of 11 ")


def test_a_zip_with_class_folders_is_counted_and_what_no_class_is_called_is_left_out(many: Page, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(
        zipped(
            {
                "mine/Orange/a.jpg": drawing("orange", 2),
                "mine/Orange/b.jpg": drawing("orange", 4),
                "mine/school_bus/a.jpg": drawing("school bus"),
                "mine/holiday/c.jpg": drawing("pizza"),
                "mine/.DS_Store": b"clutter",
            }
        )
    )
    with many.expect_file_chooser() as chooser:
        many.get_by_role("button", name="Choose photos or a .zip").click()
    chooser.value.set_files(path)
    expect(rows(many)).to_have_count(4)
    report = many.locator("#many-report")
    expect(report.locator("caption").first).to_contain_text("of 3")
    report.locator("summary").click()
    expect(report.locator("details li").filter(has_text="holiday")).to_contain_text("not counted")
    expect(report.locator("details li").filter(has_text="school_bus: school bus")).to_be_visible()
    many.get_by_role("button", name="More choices").click()
    many.get_by_label("Use folder names as labels").click()
    expect(report.locator("caption").first).to_contain_text("of 4")
    # A photo of the archive opens in Compare, with its class.
    rows(many).filter(has_text="c.jpg").get_by_role("button").click()
    expect(many.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(many.locator("#photo figcaption")).to_have_text("photo")
    expect(many.locator("#report .verdict")).to_contain_text("pizza")


def test_it_opens_on_the_rescue_and_one_click_shows_the_ruin(many: Page) -> None:
    verdict = many.locator("#many-report .verdict")

    def correct() -> list[int]:
        return [int(number) for number in re.findall(r"BN goes from (\d+) to (\d+)", verdict.inner_text())[0]]

    before, after = correct()
    assert after > before + 9
    many.get_by_role("radio", name="Sorted by class").check()
    expect(verdict).to_contain_text("sorted by class")
    assert correct()[1] < before
    severity = many.get_by_role("slider", name="Severity")
    expect(many.get_by_role("slider", name="Weight of running")).to_have_count(0)
    many.locator("#many-kind input").click()
    many.get_by_role("option", name="Original").click()
    expect(many.get_by_label(re.compile("only for a corruption")).first).to_be_disabled()
    many.locator("#batch-statistics").get_by_text("Running").click()
    expect(many.locator("#many-table td.changed")).to_have_count(0)
    expect(many.locator("#composition")).to_contain_text("no effect on running statistics")
    assert severity.count() <= 1


def test_the_table_is_filtered_and_sorted_and_its_photos_open_in_compare_and_inside(many: Page) -> None:
    agreed = many.locator("#many-table tr.agreed").count()
    assert agreed < len(DRAWINGS)
    many.get_by_label("Only where they disagree").check()
    expect(many.locator("#many-table tbody tr:visible")).to_have_count(len(DRAWINGS) - agreed)
    many.get_by_role("columnheader", name="Agree").get_by_role("button").click()
    values = [int(cell.get_attribute("data-value") or 0) for cell in many.locator("#many-table tbody td:nth-child(2)").all()]
    assert values == sorted(values)
    many.get_by_label("Only where they disagree").uncheck()
    rows(many).locator("th button").filter(has_text="lighthouse").first.focus()
    many.keyboard.press("Enter")
    expect(many.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(many.locator("#photo figcaption")).to_have_text(re.compile(r"lighthouse-\d.jpg"))
    expect(many.locator("#report .verdict")).to_contain_text("lighthouse")
    many.get_by_role("tab", name="Inside").click()
    expect(many.locator("#explorer-said")).to_contain_text(re.compile(r"lighthouse-\d.jpg"))


def test_one_photo_in_other_batches_is_a_strip_of_dots_for_each_network(many: Page) -> None:
    strips = many.locator("#strips")
    expect(strips.locator("circle")).to_have_count(8 * 2 + 2 * (ZOO - 2))  # norms that look at one photo are asked twice
    for network, spreads in (("BN", True), ("BIN", True), ("GN", False), ("IN", False)):
        name = strips.get_by_role("img", name=re.compile(rf"^{network}: ")).get_attribute("aria-label")
        low, high = re.findall(r"([\d.]+)(?: to|%)", name or "")
        assert (float(high) > float(low)) == spreads, name
    expect(strips).to_contain_text("to the last bit")


def test_a_folder_is_dropped_with_all_in_it(page: Page, tmp_path: Path) -> None:
    for thing in ("orange", "pizza"):
        (tmp_path / "mine" / thing).mkdir(parents=True)
        (tmp_path / "mine" / thing / "a.jpg").write_bytes(drawing(thing))
    open_batches(page)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Folder", exact=True).click()
    chooser.value.set_files(tmp_path / "mine")
    expect(rows(page)).to_have_count(2)
    expect(page.locator("#many-report caption").first).to_contain_text("of 2")


def test_too_many_are_told_and_the_first_ones_taken(page: Page) -> None:
    files = [(f"{number}.png", "image/png", save(plain(), "PNG")) for number in range(70)]
    drop(page.locator("body"), *files)
    expect(page.get_by_test_id("toast-body")).to_contain_text("The first 64 of these 70 files are taken.")
    page.get_by_role("button", name="Photo by photo").click()
    expect(rows(page)).to_have_count(64)
