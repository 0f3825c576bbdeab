"""Following a value as a person does: by mouse, touch and keyboard, in the maps, the larger map and the numbers."""

import re

import pytest
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from normzoo.nn.registry import describe_norm
from tests.browser.visitor import open_tab

#: Lit maps of four photos in eight of 16 channels, two of which are a group.
LIT = {"nn": 0, "bn": 4, "in": 1, "bin": 4, "gn": 2, "ln": 8}


@pytest.fixture
def page(page: Page) -> Page:
    """The page with the tab open and the maps drawn."""
    open_tab(page, "Inside")
    expect(page.locator("#explorer-maps .map.lit")).to_have_count(LIT["bn"])
    expect(page.locator("#explorer-said")).to_contain_text(f"Photo 1 ({EXAMPLES[0].file})")
    return page


def place(page: Page) -> list[int]:
    """Photo, channel, row and column as the numbers say."""
    return [int(page.get_by_label(name, exact=True).input_value()) for name in ("Photo", "Channel", "Row", "Column")]


def is_at(page: Page, photo: int, channel: int, row: int, column: int) -> None:
    """Wait until sentence, numbers and mark agree."""
    words = f"Photo {photo} ({EXAMPLES[photo - 1].file}), channel {channel}, row {row}, column {column}: x ="
    expect(page.locator("#explorer-said")).to_contain_text(words)
    assert place(page) == [photo, channel, row, column]
    marked = page.locator(f'.maps-grid .map[data-photo="{photo - 1}"][data-channel="{channel - 1}"] .marker')
    expect(marked).to_have_count(1)
    expect(page.locator("#explorer-maps .marker")).to_have_count(2)


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_a_pixel_of_any_map_can_be_chosen(page, viewport):
    cell = page.locator('.maps-grid .map[data-photo="2"][data-channel="5"]')
    (cell.tap if viewport == "phone" else cell.click)()
    expect(page.locator("#explorer-said")).to_contain_text(f"Photo 3 ({EXAMPLES[2].file}), channel 6, row 3")
    assert all(abs(number - 32.5) < 4 for number in place(page)[2:])  # the middle; a pixel of a map is one of the screen
    zoom = page.locator(".zoom .map")
    size = zoom.bounding_box()
    corner = {"x": size["width"] * 0.5 / 64, "y": size["height"] * 63.5 / 64}
    (zoom.tap if viewport == "phone" else zoom.click)(position=corner)
    is_at(page, 3, 6, 64, 1)
    expect(page.locator(".zoom figcaption")).to_have_text("Photo 3, channel 6")


def test_each_norm_lights_its_set_and_says_its_line_beside_the_map_of_a_lecture(page):
    page.set_viewport_size({"width": 1280, "height": 720})  # a projector's
    for part in (".zoom img", "#explorer-said .arithmetic"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1280, "height": 900})
    for key in NORM_LAYERS:
        page.locator("#explorer-norm").get_by_text(key.upper(), exact=True).click()
        expect(page.locator("#explorer-maps .map.lit")).to_have_count(LIT[key])
        expect(page.locator("#explorer-said")).to_contain_text(describe_norm(key).title.capitalize())
        expect(page.locator("#explorer-said .arithmetic")).to_have_text(re.compile(r" = −?\d+\.\d+$"))
        expect(page.locator("#explorer-said svg")).to_have_count(len(describe_norm(key).pooled_axes))


def test_the_keyboard_moves_by_pixels_and_maps_and_stops_at_the_edges(page):
    grid = page.locator(".maps-grid")
    grid.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    is_at(page, 2, 5, 18, 17)
    for _ in range(5):
        page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Shift+ArrowRight")
    is_at(page, 1, 8, 18, 17)
    expect(grid).to_be_focused()


def test_numbers_and_layers_lead_to_any_value_and_a_cube_lights_its_set_while_the_pointer_is_on_it(page):
    page.get_by_label("Channel", exact=True).fill("12")
    expect(page.locator(".maps-grid .head")).to_have_text([str(channel) for channel in range(9, 17)])
    is_at(page, 1, 12, 16, 16)
    page.get_by_label("Row", exact=True).fill("3")
    is_at(page, 1, 12, 3, 16)
    page.locator('#cubes figure[data-norm="ln"]').hover()
    expect(page.locator("#explorer-maps .map.lit")).to_have_count(LIT["ln"])
    page.get_by_role("heading", name="Follow a value").hover()
    expect(page.locator("#explorer-maps .map.lit")).to_have_count(LIT["bn"])
    page.get_by_label("Before layer", exact=True).click()
    page.get_by_role("option", name="Stage 3, block 1, norm 2").click()
    expect(page.locator(".maps-grid .map")).to_have_count(4 * 16)
    is_at(page, 1, 12, 3, 16)  # kept where it can be


def test_a_darker_photo_and_another_one_change_its_maps_and_the_means(page):
    page.get_by_role("button", name="Change photo 1").click()
    before = page.locator('.maps-grid .map[data-photo="0"] img').first.get_attribute("src")
    caption = page.locator("#explorer-pictures .verdict").inner_text()
    page.get_by_label("number input for Brightness of photo 1 (%)").fill("40")
    expect(page.locator("#explorer-pictures .change")).to_contain_text("photo 2, although unchanged")
    expect(page.locator("#explorer-pictures .verdict")).not_to_have_text(caption)
    expect(page.locator('.maps-grid .map[data-photo="0"] img').first).not_to_have_attribute("src", before)
    open_tab(page, "Compare")
    page.get_by_role("button", name=EXAMPLES[4].title).click()
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[4].file)
    open_tab(page, "Inside")
    expect(page.locator("#explorer-said")).to_contain_text(f"Photo 1 ({EXAMPLES[4].file})")
    expect(page.get_by_alt_text(f"Photo 1: {EXAMPLES[4].file}")).to_be_visible()
