"""Every way to another photo, as clumsy as people are: what is no picture changes nothing and is answered in a sentence."""

import re
from collections.abc import Callable

from PIL import Image
from playwright.sync_api import Page, expect

from normzoo import load_image
from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.images.limits import MAX_BYTES
from tests.browser.driver import ZOO, answers, choose_file, drop, open_tab, wait_for_other_answers
from tests.support.image_files import BLUE, plain, save

PICTURE = save(plain(), "PNG")


def expect_photo(page: Page, name: str) -> None:
    """The photo of that name is shown, and has been answered."""
    expect(page.locator("#photo figcaption")).to_have_text(name)
    expect(page.locator("#photo-status")).to_be_empty()
    expect(page.locator(".card")).to_have_count(ZOO)


def everything(page: Page) -> list[str | None]:
    """The photo and all answers to it."""
    page.wait_for_timeout(300)  # until its events have begun
    expect(page.locator("#report")).not_to_contain_text("processing")
    pictures = page.locator("#photo img, img.seen").all()
    return [page.locator("#report").inner_text(), *(each.get_attribute("src") for each in pictures)]


def expect_refusal(page: Page, act: Callable[[], object], words: str) -> None:
    """What is done is answered in one sentence, and changes nothing."""
    before = everything(page)
    assert len(before) == 3
    act()
    message = page.get_by_test_id("toast-body")
    expect(message).to_contain_text(words)
    expect(message).to_have_count(1)
    text = message.inner_text().split("\n")[-1]
    assert re.fullmatch(r"[A-Z][^.]+\.", text), text
    assert not re.search(r"Traceback|Error:|HTTP|/tmp|\.py|None", text)
    expect(page.locator("#photo-status")).to_be_empty()
    assert everything(page) == before
    page.get_by_test_id("toast-close").click()
    expect(message).to_have_count(0)


def test_what_is_chosen_and_no_photo_is_refused_and_the_photo_stays(page, tmp_path):
    for name, content, words in (
        ("torn.jpg", (FOLDER / EXAMPLES[0].file).read_bytes()[:5000], "incomplete"),
        ("words.jpg", b"these are only words", "not a picture"),
        ("empty.png", b"", "empty"),
        ("huge.jpg", b"\xff" * (MAX_BYTES + 1), "larger than the 20 MB"),
    ):
        (tmp_path / name).write_bytes(content)
        expect_refusal(page, lambda name=name: choose_file(page, tmp_path / name), words)
    page.route("**/gradio_api/upload*", lambda route: route.abort())
    expect_refusal(page, lambda: choose_file(page, FOLDER / EXAMPLES[2].file), "could not be sent")
    page.unroute("**/gradio_api/upload*")
    choose_file(page, FOLDER / EXAMPLES[2].file)
    expect_photo(page, EXAMPLES[2].file)
    choose_file(page, FOLDER / EXAMPLES[3].file)
    expect_photo(page, EXAMPLES[3].file)
    choose_file(page, FOLDER / EXAMPLES[2].file)
    expect_photo(page, EXAMPLES[2].file)


def test_what_is_dropped_and_no_photo_is_refused_and_the_photo_stays(page):
    place = page.locator("#photo")
    for act, words in (
        (lambda: drop(place, ("x.dng", "", b"II*\0" + bytes(99))), "TIFF"),
        (lambda: drop(place, ("photo", "", b"anything")), "not a picture"),
        (lambda: drop(place, ("notes.txt", "text/plain", b"anything")), "not a picture"),
        (lambda: drop(place, text_uri_list="https://example.com/a.png", text_plain="words"), "A link is not a photo"),
        (lambda: drop(page.locator("h1"), text_plain="some words"), "no photo"),
    ):
        expect_refusal(page, act, words)
    drop(page.locator("h1"), ("mine", "", PICTURE))  # beside the photo, and without a type
    expect_photo(page, "mine")


def test_a_photo_dropped_on_another_tab_is_shown_and_several_open_batches_and_leave_it(page):
    expect(page.locator(".card")).to_have_count(ZOO)
    first = answers(page)
    open_tab(page, "Curves & metrics")
    drop(page.locator("body"), ("mine.png", "image/png", PICTURE))
    expect_photo(page, "mine.png")
    expect(page.locator("#photo img")).to_be_visible()
    wait_for_other_answers(page, first)
    before = everything(page)
    drop(page.locator("#photo"), ("one.png", "image/png", PICTURE), ("two.png", "image/png", save(plain(BLUE), "PNG")))
    page.get_by_role("button", name="Photo by photo").click()
    expect(page.locator("#many-table tbody tr")).to_have_count(2)
    open_tab(page, "Compare")
    assert everything(page) == before


def test_a_pasted_photo_replaces_the_one_that_is_there_and_pasted_words_do_not(page):
    expect_refusal(page, lambda: page.get_by_role("button", name="Paste").click(), "does not let the page read the clipboard")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('some words')")
    expect_refusal(page, lambda: page.get_by_role("button", name="Paste").click(), "no picture in the clipboard")
    page.locator("body").press("ControlOrMeta+v")
    expect(page.get_by_test_id("toast-body")).to_contain_text("no picture in the clipboard")
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 64});
          const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
          await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
        }"""
    )
    page.get_by_role("button", name="Paste").click()
    expect_photo(page, "pasted.png")
    page.get_by_role("button", name=EXAMPLES[1].title).click()
    expect_photo(page, EXAMPLES[1].file)
    page.locator("body").press("ControlOrMeta+v")
    expect_photo(page, "image.png")  # as Chromium calls it


def test_the_camera_is_closed_with_its_photo_and_without_one_and_where_there_is_none_the_photo_stays(page):
    camera = page.locator("#photo-camera")
    for button, name in (("Close the camera", EXAMPLES[0].file), ("Take the photo", "camera.jpg")):
        page.get_by_role("button", name="Camera", exact=True).click()
        page.get_by_role("button", name=button).click()
        expect(camera).to_be_hidden()
        expect_photo(page, name)
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no')); }")
    expect_refusal(page, lambda: page.get_by_role("button", name="Camera").click(), "does not let the page use a camera")


def test_the_last_of_quick_choices_wins_also_after_one_that_fails(page, tmp_path):
    for _ in range(3):
        for example in (EXAMPLES[4], EXAMPLES[7], EXAMPLES[2], EXAMPLES[5]):
            page.get_by_role("button", name=example.title).evaluate("button => button.click()")
        expect_photo(page, EXAMPLES[5].file)
        drop(page.locator("#photo"), ("words.jpg", "image/jpeg", b"these are only words"))
        expect(page.get_by_test_id("toast-body").first).to_contain_text("not a picture")
        page.get_by_role("button", name=EXAMPLES[1].title).click()
        expect_photo(page, EXAMPLES[1].file)


def test_a_choice_that_comes_while_an_older_one_is_asked_about_is_not_lost(page):
    """Here the older one is refused, and the page learns of that late."""
    held = []
    page.route("**/queue/join*", lambda route: held.append(route) if not held else route.continue_())
    page.evaluate("() => window.shown = document.querySelector('#photo figcaption').textContent")
    page.get_by_role("button", name=EXAMPLES[4].title).click()
    page.get_by_role("button", name=EXAMPLES[7].title).click()
    page.get_by_role("button", name=EXAMPLES[2].title).click()
    page.wait_for_timeout(50)
    held[0].fulfill(status=503, json={"detail": "The page is busy."})
    expect_photo(page, EXAMPLES[2].file)


def test_an_upload_that_arrives_late_does_not_replace_a_newer_choice(page):
    held = []

    def hold(route):
        held.append(route)

    page.route("**/gradio_api/upload*", hold)
    drop(page.locator("#photo"), ("late.png", "image/png", PICTURE))
    expect(page.locator("#photo-status")).to_have_text("Sending the photo…")
    page.get_by_role("button", name=EXAMPLES[1].title).click()
    expect_photo(page, EXAMPLES[1].file)
    with page.expect_response("**/gradio_api/upload*"):
        held[0].continue_()
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()  # one more answer, after that of the late one
    expect(page.locator(".card")).to_have_count(ZOO - 1)
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[1].file)


def test_the_photo_is_shown_as_it_was_decoded(page, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn to the right
    for file_format in ("JPEG", "WEBP", "PNG"):
        (tmp_path / file_format).write_bytes(save(plain(), file_format, exif=turned))
        choose_file(page, tmp_path / file_format)
        expect_photo(page, file_format)
        shown = page.locator("#photo img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
        assert shown == list(load_image(tmp_path / file_format).size)
