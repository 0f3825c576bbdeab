"""The photos to try: small, credited, and what the packaged networks say of them."""

import re

from PIL import Image

from normzoo import load_image, load_models, predict_many
from normzoo.app.core.catalog import Catalog, main_variants_of
from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.app.tabs.classify import tab as classify


def test_every_example_is_small_credited_and_opens():
    credited = set(re.findall(r"^\| `([\w-]+\.jpg)`", (FOLDER / "CREDITS.md").read_text(), re.MULTILINE))
    assert len(EXAMPLES) >= 6
    assert {example.file for example in EXAMPLES} == credited == {path.name for path in FOLDER.glob("*.jpg")}
    for example in EXAMPLES:
        assert example.path.stat().st_size < 60_000
        assert max(load_image(example.path).size) <= 512
        with Image.open(example.path) as image:
            assert not image.getexif()


def test_most_examples_show_what_the_packaged_networks_know():
    """A first visitor shall see them right more often than wrong; what they do not know is there as well."""
    meant = {"Mountains": "alp", "Camel": "Arabian camel"}
    models = load_models("tiny-imagenet-25/strong")
    said = predict_many(models, [load_image(example.path) for example in EXAMPLES], k=1)
    right = [
        example.title
        for example, answers in zip(EXAMPLES, said, strict=True)
        if [each.label for each in answers.values()].count(meant.get(example.title, example.title.lower())) >= 4
    ]
    assert len(right) >= 8, right
    assert len(EXAMPLES) == 12


def test_a_red_panda_may_be_none_of_what_they_know_and_mountains_are():
    catalog = Catalog()
    model_set = catalog.get("tiny-imagenet-25/strong")
    doubts = {}
    for example in EXAMPLES:
        _, data = classify.answer(catalog, model_set, main_variants_of(model_set), load_image(example.path))
        doubts[example.title] = data["doubt"]
    assert doubts["Red panda"].startswith("This may be none of the 25 things that the 6 networks know")
    assert (doubts["Mountains"], doubts["Espresso"]) == ("", "")
