"""Names that are markup: of classes, recipes, data sets, files; on no tab do they become any."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from normzoo.app.core.examples import EXAMPLES
from tests.support.checkpoints import save_variant

#: As the name of a folder, of a class, of a device. Whatever shows it must have escaped it.
MARKUP = '<img src=x onerror="alert(1)">'
NAME = f"toy{MARKUP}/paper{MARKUP}".replace('"', "")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("zoo")
    for variant in ("bn", "bin", "gn"):
        folder = save_variant(root, variant, NAME)
        config = json.loads((folder / "config.json").read_text())
        config["classes"][0] = MARKUP
        (folder / "config.json").write_text(json.dumps(config))
        metrics = json.loads((folder / "metrics.json").read_text())
        session = {"seconds": 3.0, "device": MARKUP, "commit": MARKUP, "command": MARKUP}
        metrics["provenance"]["runs"] = [{"seed": 0, "sessions": [session]}]
        metrics["provenance"]["recipe"] = {MARKUP: MARKUP}
        metrics["provenance"]["data"] = {"name": MARKUP, "note": MARKUP, "digest": MARKUP, "num_train": MARKUP}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    (save_variant(root, "ln", NAME) / "config.json").write_text(MARKUP)
    return root


def inputs_of(event: Any, photo: dict[str, str]) -> list[Any]:
    """What the page itself would send at first, with the photo and all networks."""
    values = []
    for block in event.inputs:
        kind = type(block).__name__
        value = block.value
        if kind == "Image":
            value = photo
        elif kind == "Api":
            value = None if values else NAME
        elif kind == "JSON":
            value = [photo, {**photo, "path": __file__}]  # and one that is no photo
        elif kind == "CheckboxGroup" and str(block.label).startswith("Models"):
            value = ["bn", "bin", "gn", "ln"]
        values.append(value)
    return values


def texts(value: Any) -> list[str]:
    """Every text in an answer that is shown as HTML."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return [text for each in value for text in texts(each)]
    return []


def test_what_the_page_opens_with_has_escaped_them(demo: Any) -> None:
    shown = [part["props"].get("value") for part in demo.get_config_file()["components"] if part["type"] == "html"]
    assert any("onerror" in str(text) for text in shown)
    assert not any(re.search(r"<img src=x", text) for text in texts(shown))


def test_no_answer_of_any_tab_makes_markup_of_them(demo: Any, tmp_path: Path) -> None:
    path = tmp_path / f"{MARKUP.replace('/', '')}.jpg"
    Image.open(EXAMPLES[0].path).save(path)
    photo = {"path": str(path), "name": path.name, "folder": MARKUP}
    seen = 0
    for event in demo.fns.values():
        if event.fn is None or event.api_visibility != "public":
            continue
        answers = event.fn(*inputs_of(event, photo))
        answers = answers if len(event.outputs) > 1 else (answers,)
        for block, answer in zip(event.outputs, answers, strict=True):
            if type(block).__name__ not in ("HTML", "Api"):
                continue
            for text in texts(answer):
                assert "<img src=x" not in text, (event.api_name, text[max(0, text.find("<img src=x") - 200) :][:400])
                seen += "onerror" in text
    assert seen > 5
