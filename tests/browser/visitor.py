"""What a visitor does on the page, and sees there."""

import base64
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from normzoo import NORM_LAYERS

ZOO = len(NORM_LAYERS)

#: Drops on the element what is given: files as [name, MIME type, base64], strings by their type.
DROP = """
(target, {files, strings}) => {
  const dataTransfer = new DataTransfer();
  for (const [name, type, content] of files) {
    dataTransfer.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name, {type}));
  }
  for (const [type, text] of Object.entries(strings)) dataTransfer.setData(type, text);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer}));
  }
}
"""


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def choose_file(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photo").click()
    chooser.value.set_files(path)


def drop(target: Locator, *files: tuple[str, str, bytes], **strings: str) -> None:
    """Drop files, each with name, MIME type and content, and strings, by MIME types written with underscores."""
    encoded = [[name, kind, base64.b64encode(content).decode()] for name, kind, content in files]
    named = {kind.replace("_", "/").replace("uri/list", "uri-list"): text for kind, text in strings.items()}
    target.evaluate(DROP, {"files": encoded, "strings": named})


def answers(page: Page) -> list[str]:
    """Each network's first answer with its probability, as it is read."""
    return page.locator(".card .top li:first-child").all_inner_texts()


def wait_for_other_answers(page: Page, before: list[str]) -> None:
    expect(page.locator(".card .top li:first-child")).not_to_have_text(before)
    expect(page.locator(".card")).to_have_count(ZOO)
