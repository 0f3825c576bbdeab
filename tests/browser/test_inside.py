"""Inside as a person uses it: a value is followed by mouse, touch and keyboard; folds are about the photo of Compare."""

import re

import pytest
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from normzoo.nn.registry import describe_norm
from tests.browser.driver import ZOO, open_tab

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


def unfold(page: Page, title: str) -> None:
    page.get_by_role("button", name=title).click()


def test_nothing_folded_is_computed_and_what_is_open_follows_the_photo(page):
    expect(page.locator("#cubes figure")).to_have_count(ZOO)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    page.wait_for_timeout(1000)
    assert asked == []
    unfold(page, "Feature maps")
    maps = page.locator("#features img")
    expect(maps).to_have_count(2)
    before = maps.first.get_attribute("src")
    open_tab(page, "Compare")
    page.get_by_role("button", name=EXAMPLES[1].title).click()
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[1].file)
    open_tab(page, "Inside")
    expect(page.locator("#explorer-said")).to_contain_text(EXAMPLES[1].file)
    expect(maps.first).not_to_have_attribute("src", before)


def test_the_charts_show_every_network_and_tell_the_layer_under_the_pointer(page):
    unfold(page, "Layers and gates")
    for chart in ("#before", "#after"):
        expect(page.locator(f"{chart} .scatterlayer .trace")).to_have_count(ZOO)
    chart = page.locator("#before")
    page.get_by_role("radio", name="Mean", exact=True).check()
    expect(chart.locator(".ytitle")).to_have_text("Mean")
    chart.locator(".nsewdrag").first.hover()
    expect(chart.locator(".hoverlayer")).to_contain_text(re.compile(r"\d\.\d norm \d"))
    expect(page.locator("#gates .main-svg").first).to_be_visible()
    page.get_by_role("checkbox", name="BIN", exact=True).uncheck()
    expect(page.locator("#before .scatterlayer .trace")).to_have_count(ZOO - 1)
    expect(page.locator("#gates")).to_be_hidden()


def test_another_block_of_another_network_is_shown(page):
    unfold(page, "Feature maps")
    expect(page.locator("#features figcaption").first).to_contain_text("16 maps of 64×64")
    page.get_by_label("Block", exact=True).click()
    page.get_by_role("option", name="Stage 3, block 2").click()
    expect(page.locator("#features figcaption").first).to_contain_text("64 maps of 16×16")
    page.get_by_label("Right", exact=True).click()
    page.get_by_role("option", name="GN", exact=True).click()
    expect(page.locator("#features figcaption").last).to_contain_text("group normalization")


def test_gates_and_border_are_changed_with_the_answers_beside_them(page):
    unfold(page, "Interventions")
    rows = page.locator("#turned tbody tr")
    expect(rows).to_have_count(ZOO)
    turned = page.locator("#turned tbody td:nth-of-type(2)")
    before = turned.all_inner_texts()
    page.get_by_label(re.compile("number input for Gates")).fill("-1")
    expect(turned).not_to_have_text(before, use_inner_text=True)
    assert [text for text, old in zip(turned.all_inner_texts(), before, strict=True) if text != old] == [
        turned.nth(list(NORM_LAYERS).index("bin")).inner_text()
    ]
    page.get_by_role("radio", name="Replicated pixels in the first convolution").check()
    page.get_by_label("number input for Less contrast (severity, 0: original)").fill("5")
    expect(rows.first.locator("td")).to_have_count(4)
