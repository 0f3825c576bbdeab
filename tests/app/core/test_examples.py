"""The photos to try: small, credited, and what the packaged networks say of them."""

import re

from PIL import Image

from normzoo import load_image, load_models, predict_many
from normzoo.app.core.catalog import Catalog
from normzoo.app.core.examples import DRAWINGS, EXAMPLES, FOLDER


def test_every_example_is_small_credited_and_opens():
    assert (len(DRAWINGS), len({drawing.title for drawing in DRAWINGS})) == (32, 8)
    assert sum(drawing.path.stat().st_size for drawing in DRAWINGS) < 250_000
    credited = set(re.findall(r"^\| `([\w-]+\.jpg)`", (FOLDER / "CREDITS.md").read_text(), re.MULTILINE))
    assert {example.file for example in EXAMPLES} == credited == {path.name for path in FOLDER.glob("*.jpg")}
    for example in EXAMPLES:
        assert example.path.stat().st_size < 60_000
        assert max(load_image(example.path).size) <= 512
        with Image.open(example.path) as image:
            assert not image.getexif()


def test_the_networks_differ_most_on_the_first_example_and_most_are_known():
    """A first visitor shall see where they differ, and that they are right more often than wrong."""
    known = [example for example in EXAMPLES if example.label]
    said = predict_many(load_models(Catalog().default), [load_image(example.path) for example in known], k=1)
    labels = [[each.label for each in answers.values()] for answers in said]
    right = [given.count(example.label) for given, example in zip(labels, known, strict=True)]
    assert len(set(labels[0])) == max(len(set(given)) for given in labels)
    assert 0 < right[0] < len(labels[0])
    assert sum(count >= 4 for count in right) >= 7
    assert len(EXAMPLES) == 12
