"""From a folder of one's own photos to their names on the page."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from normzoo.app import build_demo
from normzoo.variants import short_name
from tests.browser.visitor import open_tab
from tests.support.own_images import CLASSES, make_photo, silent, write_photos
from tests.support.page import served
from training.config import Execution, Recipe, Run
from training.data.image_folder import load_folder
from training.engine.trainer import train
from training.package import package

RECIPE = Recipe(name="quick", depth=8, image_size=16, epochs=5, batch_size=10, lr=0.02)
#: For a machine that trains besides.
BUSY_MS = 120_000


def test_networks_trained_on_own_photos_are_on_the_page(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    data = load_folder(write_photos(tmp_path / "my photos"), RECIPE.image_size, silent)
    train(Run(data.name, RECIPE, "bn"), data, tmp_path / "runs", Execution(compile="off"), say=silent)
    package(tmp_path / "runs", tmp_path / "checkpoints", silent)
    name = "red <b>bird & co"
    make_photo(name, 1001).save(tmp_path / "new photo.png")

    with served(build_demo(tmp_path / "checkpoints")) as url:
        page.goto(url)
        expect(page.locator(".card h3 .key")).to_have_text([short_name("bn")], timeout=BUSY_MS)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a photo").click()
        chooser.value.set_files(tmp_path / "new photo.png")
        answers = page.locator(".card .top li:first-child .label")
        expect(answers).to_have_text([name], timeout=BUSY_MS)
        expect(page.locator(".card").first.locator(".top li")).to_have_count(len(CLASSES))
        open_tab(page, "Curves & metrics")
        expect(page.locator("#results tbody tr")).to_have_count(1)
        page.goto("about:blank")  # a server waits five seconds for those who are still there
