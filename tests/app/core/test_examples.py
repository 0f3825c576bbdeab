"""The photos to try: small, credited, and what the packaged networks say of them."""

import re

import numpy as np
from PIL import Image

from normzoo import load_image, load_models, predict_many
from normzoo.app.core.catalog import Catalog, classes_of
from normzoo.app.core.examples import EXAMPLES, FOLDER


def test_every_example_is_small_credited_and_opens():
    credited = set(re.findall(r"^\| `([\w-]+\.jpg)`", (FOLDER / "CREDITS.md").read_text(), re.MULTILINE))
    assert len(EXAMPLES) >= 6
    assert {example.file for example in EXAMPLES} == credited == {path.name for path in FOLDER.glob("*.jpg")}
    for example in EXAMPLES:
        assert example.path.stat().st_size < 60_000
        assert max(load_image(example.path).size) <= 512
        with Image.open(example.path) as image:
            assert not image.getexif()


def test_the_first_example_parts_the_networks_most_and_most_are_known():
    """A first visitor shall see where they differ, and that they are right more often than wrong."""
    model_set = Catalog().default
    known = [example for example in EXAMPLES if example.label]
    said = predict_many(load_models(model_set), [load_image(example.path) for example in known], k=1)
    right = [
        [each.label for each in answers.values()].count(example.label) for example, answers in zip(known, said, strict=True)
    ]
    place = {example.label: classes_of(model_set).index(example.label) for example in known}
    spread = {
        example.title: np.ptp([each.probabilities[place[example.label]] for each in answers.values()])
        for example, answers, count in zip(known, said, right, strict=True)
        if 0 < count < len(answers)
    }
    assert EXAMPLES[0].title == max(spread, key=spread.get)
    assert sum(count >= 4 for count in right) >= 7
    assert len(EXAMPLES) == 12
