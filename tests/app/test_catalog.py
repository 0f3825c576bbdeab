"""What the page offers: the default set, choices that are known, networks loaded once, photos to try."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from normzoo import load_image, load_models, predict_many
from normzoo.app.core import catalog as module
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of
from normzoo.app.core.controls import read_link
from normzoo.app.core.examples import DRAWINGS, EXAMPLES, FOLDER
from normzoo.errors import ConfigError
from normzoo.nn.registry import NORM_LAYERS
from tests.support.checkpoints import save_variant


def test_own_sets_stand_first_and_those_that_teach_last_and_the_most_accurate_opens(tmp_path):
    data = "tiny-imagenet-25"
    for variant, recipe in (("bn", "paper"), ("ln", "strong"), ("nn", "strong"), ("gn", "paper,lr=0.001")):
        save_variant(tmp_path, variant, f"{data}/{recipe}")
    catalog = Catalog(tmp_path)  # the accuracies of these networks follow the zoo's order
    assert catalog.default.name == f"{data}/strong"
    assert catalog.titles == [
        ("32×32 · strong recipe", f"{data}/strong"),
        ("more: 32×32 · original recipe (paper), lr 0.001", f"{data}/paper,lr=0.001"),
        ("more: 32×32 · original recipe (paper)", f"{data}/paper"),
    ]
    save_variant(tmp_path, "bn", "a/paper", image_size=64)
    assert Catalog(tmp_path).titles[0] == ("a · 64×64 · original recipe (paper)", "a/paper")
    assert Catalog(tmp_path / "nothing").default is None


def test_an_unknown_set_is_refused_without_repeating_it(catalog):
    with pytest.raises(ConfigError, match="Choose one of: toy/extras, toy/paper") as caught:
        catalog.get("<script>")
    assert "script" not in str(caught.value)
    with pytest.raises(ConfigError):
        catalog.get(["toy/paper"])


def test_only_known_variants_are_chosen_in_the_zoos_order(catalog):
    model_set = catalog.get("toy/extras")
    assert chosen(model_set, ["torch-bn", "nothing", "gn", "bn"]) == ["bn", "gn", "torch-bn"]
    assert chosen(model_set, None) == main_variants_of(model_set) == ["bn", "gn"]
    for wrong in ("bn", 7, {"bn": 1}, [["bn"]], [{"bn": 1}], [7]):
        with pytest.raises(ConfigError, match="The networks must be a list of names"):
            chosen(model_set, wrong)


def test_a_network_is_loaded_once(catalog):
    model_set = catalog.get("toy/paper")
    assert catalog.load(model_set, ["bn"])[0]["bn"] is catalog.load(model_set, ["bn"])[0]["bn"]


def test_a_network_that_takes_long_to_load_keeps_nobody_from_the_others(root, monkeypatch):
    catalog, begun, go_on, load = Catalog(root), threading.Event(), threading.Event(), module.load_models

    def slow(model_set, variants):
        if variants == ["gn"]:
            begun.set()
            go_on.wait(30)
        return load(model_set, variants)

    monkeypatch.setattr(module, "load_models", slow)
    model_set = catalog.get("toy/paper")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(catalog.load, model_set, ["gn"])
        assert begun.wait(30)
        assert list(catalog.load(model_set, ["bn"])[0]) == ["bn"]
        assert not late.done()
        go_on.set()
    assert list(late.result()[0]) == ["gn"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"set": "toy/extras", "variants": "gn,bn-bs8"}, ("toy/extras", ["gn", "bn-bs8"], True)),
        ({"set": "toy/extras"}, ("toy/extras", ["bn", "gn"], True)),
        ({"set": "toy/extras", "variants": None}, ("toy/extras", ["bn", "gn"], True)),
        ({"variants": "gn"}, ("toy/paper", ["gn"], True)),
        ({"variants": ""}, ("toy/paper", [], True)),
        ({"variants": "gn,quux"}, ("toy/paper", ["gn"], False)),
        ({"variants": "quux"}, ("toy/paper", [*NORM_LAYERS], False)),
        ({"set": "no/such", "variants": "gn"}, ("toy/paper", ["gn"], False)),
        ({"set": ["toy/extras"], "variants": {"a": 1}}, ("toy/paper", [*NORM_LAYERS], False)),
        *((nothing, ("toy/paper", [*NORM_LAYERS], True)) for nothing in (None, "set", ["set"], {}, {"index": 1})),
    ],
)
def test_a_link_brings_what_is_there_and_leaves_out_the_rest(catalog, asked, expected):
    model_set, variants, is_known = read_link(catalog, "toy/paper", asked)
    assert (model_set.name, variants, is_known) == expected


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
