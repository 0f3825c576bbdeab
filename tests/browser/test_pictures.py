"""The networks are shown what the browser shows: `load_image` against Chromium, over many files of every format."""

import base64

import numpy as np
import pytest
from playwright.sync_api import Browser

from normzoo import load_image
from tests.support.variants import variants

#: In grey levels; two for what the one rounds and the other does not.
TOLERANCE = {
    "jpeg in CMYK with a profile": 6,  # between the steps of a table littleCMS goes another way than Chromium
    "png with codes (9, 16)": 3,  # PQ: one level of 256 is many of light
    "avif with codes (9, 16)": 3,
}
#: Draws files on white canvases; what it cannot show is null.
DRAW = """async (files) => Promise.all(files.map(async ([type, content]) => {
  const image = new Image();
  image.src = `data:${type};base64,${content}`;
  try { await image.decode(); } catch { return null; }
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const context = Object.assign(document.createElement("canvas"), {width, height}).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  let text = "";
  for (let at = 0; at < pixels.length; at += 0x8000) text += String.fromCharCode(...pixels.subarray(at, at + 0x8000));
  return [width, height, btoa(text)];
}))"""


def drawn(browser: Browser, files: dict[str, bytes]) -> dict[str, np.ndarray | None]:
    """What Chromium shows of each file: RGB on white."""
    page = browser.new_page()
    contents = [[f"image/{name.split()[0]}", base64.b64encode(content).decode()] for name, content in files.items()]
    pictures = page.evaluate(DRAW, contents)
    page.close()
    return {
        name: None
        if picture is None
        else np.frombuffer(base64.b64decode(picture[2]), np.uint8).reshape(picture[1], picture[0], 4)[..., :3]
        for name, picture in zip(files, pictures, strict=True)
    }


@pytest.mark.parametrize("kind", ["png", "gif", "webp", "jpeg", "avif"])
def test_every_variant_of_a_format_looks_as_in_the_browser(browser: Browser, kind: str):
    files = dict(variants(kind))
    differing, pictures = [], {name: np.asarray(load_image(content)) for name, content in files.items()}
    for name, shown in drawn(browser, files).items():
        seen = pictures[name]
        if shown is None or shown.shape != seen.shape:
            differing.append(f"{name}: {seen.shape}, in the browser {None if shown is None else shown.shape}")
        elif (most := np.abs(shown.astype(int) - seen).max()) > TOLERANCE.get(name, 2):
            differing.append(f"{name}: up to {most} levels")
    assert not differing, "\n".join(differing)
    assert len(pictures) > 20
