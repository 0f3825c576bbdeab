"""Classify's parts without a browser: who agrees, every probability, maps, the corrupted photo."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from normzoo import NORM_LAYERS, load_image
from normzoo.analysis.findings.unknowns import UNKNOWNS_COLUMNS
from normzoo.app.components import cards
from normzoo.app.core.catalog import Catalog
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.core.upload import open_photo, photo_name
from normzoo.app.tabs.classify import class_activation as maps
from normzoo.app.tabs.classify import perturbation, probabilities
from normzoo.app.tabs.classify import tab as classify
from normzoo.app.tabs.classify.severity_plot import plot
from normzoo.errors import ConfigError, ImageError
from normzoo.images.corruptions import CORRUPTIONS
from normzoo.inference.agreement import agreement
from normzoo.inference.perturbation import SeverityCurve
from normzoo.inference.predict import Prediction
from normzoo.plotting.style import MARKERS
from tests.support.checkpoints import CLASSES, save_variant, save_zoo
from tests.support.html_words import words


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    save_variant(root, "bn", "toy/broken")
    (save_variant(root, "gn", "toy/broken") / "model.safetensors").write_bytes(b"torn")
    return root


@pytest.fixture(scope="module")
def picture():
    return load_image(EXAMPLES[0].path)


def pictures(text: str) -> list[np.ndarray]:
    """The PNGs in some HTML."""
    sources = re.findall(r'"data:image/png;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) for source in sources]


def test_agreement_is_a_field_for_each_answer_as_wide_as_it_has_networks():
    report = cards.report([], agreement({"nn": "lion", "bn": "lion", "in": "<b>"}), None)
    fields = re.findall(r'<li style="flex-grow: (\d)">(.*?)</li>', report)
    assert [(width, words(field).split()) for width, field in fields] == [("2", ["NN", "BN", "lion"]), ("1", ["IN", "<b>"])]
    assert "<b>" not in report


def test_every_probability_is_told_to_two_decimals_the_most_probable_first():
    given = {"bn": np.array([0.1, 0.2, 0.70004, -0.00004]), "gn": np.array([0.3, 0.5, 0.123456, 0.076544])}
    table = probabilities.tabulate(
        dict.fromkeys(given, CLASSES), {variant: Prediction(variant, (), values, 1.0) for variant, values in given.items()}
    )
    rows = [words(row).split() for row in re.findall(r"<tr>(.*?)</tr>", table)]
    assert rows[0] == ["Class", "BN", "(%)", "GN", "(%)"]
    assert rows[1] == ["cat", "&", "dog", "70.00", "12.35"]
    assert rows[2] == ["bee", "<b>", "20.00", "50.00"]
    csv = base64.b64decode(re.search(r"base64,([^\"]+)", table)[1]).decode()
    assert csv.splitlines()[1] == "cat & dog,70.00,12.35"


def test_the_answer_and_the_table_say_the_same(catalog, picture):
    _, data = classify.answer(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture)
    table = classify.tabulate_answers(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture)
    assert sorted(variant for group in data["groups"].values() for variant in group) == sorted(NORM_LAYERS)
    for network in data["networks"].values():
        for probability in network["probabilities"].values():
            assert f"{100 * probability:.2f}" in table or f"{100 * probability - 0.005:.2f}" in table
    assert table.count('<th scope="row"') == len(CLASSES)


def test_each_network_has_a_map_of_its_own_answer(catalog, picture):
    text, data = maps.draw(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture, maps.OWN_ANSWER)
    _, answers = classify.answer(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture)
    assert text.count("<figure") == len(pictures(text)) == len(NORM_LAYERS)
    for variant, found in data.items():
        assert found["class"] == answers["networks"][variant]["answer"]
        assert np.sum(found["map"]) + found["bias"] == pytest.approx(found["logit"], abs=1e-3)
        assert f"logit {found['logit']:.2f}" in words(text)
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_a_class_is_explained_for_all(catalog, picture):
    text, data = maps.draw(catalog, catalog.get("toy/paper"), ["nn", "bn"], picture, CLASSES[1])
    assert {found["class"] for found in data.values()} == {CLASSES[1]}
    assert CLASSES[1] not in text
    assert html.escape(CLASSES[1]) in text


def test_the_strongest_place_of_all_maps_has_the_strongest_colour(catalog, picture):
    text, data = maps.draw(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture, None)
    strongest = max(np.abs(found["map"]).max() for found in data.values())
    opacity = [overlay[..., 3].max() for overlay in pictures(text)]
    assert max(opacity) == round(255 * maps.STRONGEST_OPACITY)
    assert f"+{strongest:.2f}" in text
    assert f"−{strongest:.2f}" in text


def test_red_is_for_and_blue_is_against():
    pixels = maps.overlay(np.array([[2.0, -1.0, 0.0]]), 2.0)[0]
    assert tuple(pixels[0, :3]) == maps.FOR
    assert tuple(pixels[1, :3]) == maps.AGAINST
    assert int(pixels[0, 3]) == pytest.approx(2 * int(pixels[1, 3]), abs=1)
    assert pixels[2, 3] == 0
    assert maps.overlay(np.zeros((2, 2)), 0.0)[..., 3].max() == 0


@pytest.mark.parametrize("label", ["no such class", 7, ["dune"]])
def test_an_unknown_class_is_refused(catalog, picture, label):
    with pytest.raises(ConfigError, match="Unknown class"):
        maps.draw(catalog, catalog.get("toy/paper"), ["bn"], picture, label)


def test_without_networks_there_is_nothing_to_map_or_corrupt(catalog, picture):
    assert maps.draw(catalog, catalog.get("toy/paper"), [], picture, None) == ("", {})
    assert perturbation.show(catalog, catalog.get("toy/paper"), [], picture, "jpeg", 1) == ("", {})


def test_a_broken_network_is_left_out(catalog, picture):
    assert list(maps.draw(catalog, catalog.get("toy/broken"), ["bn", "gn"], picture, None)[1]) == ["bn"]
    assert list(perturbation.show(catalog, catalog.get("toy/broken"), ["bn", "gn"], picture, "jpeg", 1)[1]["networks"]) == [
        "bn"
    ]


UNKNOWNS = f"{','.join(UNKNOWNS_COLUMNS)}\npaper,together,0,4,4,0.9,0.99,0.1,0.8,\n"


@pytest.mark.parametrize(
    ("table", "broken", "has_doubt"), [(UNKNOWNS, [], True), (UNKNOWNS, ["bn"], False), ("recipe\npaper", [], False)]
)
def test_the_doubt_is_that_of_all_networks_and_needs_a_whole_table(tmp_path, picture, table, broken, has_doubt):
    save_zoo(tmp_path)
    (tmp_path / "toy" / "unknowns.csv").write_text(table)
    for variant in broken:
        (tmp_path / "toy/paper" / variant / "config.json").write_text("{")
    catalog = Catalog(tmp_path)
    _, data = classify.answer(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture)
    assert data["doubt"].startswith("This may be none") == has_doubt
    assert len(data["networks"]) == len(NORM_LAYERS) - len(broken)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_before_and_after_are_what_the_networks_see(catalog, picture, kind):
    text, data = perturbation.show(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture, kind, 5)
    before, after = pictures(text)
    assert before.shape == after.shape == (32, 32, 3)
    assert not np.array_equal(before, after)
    assert f"{CORRUPTIONS[kind].levels[4]:g}" in words(text)
    for network in data["networks"].values():
        assert len(network["probabilities"]) == 6
        assert f"{100 * network['probabilities'][5]:.2f}%" in words(text)


def test_severity_0_changes_nothing(catalog, picture):
    text, data = perturbation.show(catalog, catalog.get("toy/paper"), list(NORM_LAYERS), picture, "jpeg", 0)
    before, after = pictures(text)
    np.testing.assert_array_equal(before, after)
    assert data["severity"] == 0
    assert 'class="changed"' not in text


@pytest.mark.parametrize(("kind", "severity"), [("rain", 1), ("jpeg", 9), ("jpeg", "<b>"), (None, None)])
def test_nonsense_is_refused_in_a_sentence(catalog, picture, kind, severity):
    with pytest.raises(ConfigError, match=r"^[A-Za-z].*\.$"):
        perturbation.show(catalog, catalog.get("toy/paper"), ["bn"], picture, kind, severity)


def curve(variant: str, *answers: str) -> SeverityCurve:
    return SeverityCurve(variant, answers[0], tuple(0.5 for _ in answers), tuple((answer, 0.5) for answer in answers))


def test_who_changes_the_answer_is_told_in_words():
    curves = {"nn": curve("nn", "lion", "lion", "pizza"), "bn": curve("bn", "alp", "alp", "alp")}
    assert perturbation.who_changed(curves, 0) == "Severity 0: the photo as it is. Move the slider."
    assert perturbation.who_changed(curves, 1) == "Nobody changes the answer."
    assert perturbation.who_changed(curves, 2) == "1 of 2 changes the answer: NN from lion to pizza."


def test_the_plot_tells_every_value_and_marks_the_chosen_severity():
    answers = ("<b>",) * 6
    drawn = plot({"bn": curve("bn", *answers), "gn": curve("gn", *answers)}, 4)
    assert drawn.count('class="column') == 6
    assert re.search(r'class="column current" tabindex="0" role="img" aria-label="Severity 4: BN &lt;b&gt; 50\.00%', drawn)
    assert "<b>" not in drawn


def test_the_plot_has_a_shape_for_every_marker():
    for marker, variant in zip(MARKERS, [*NORM_LAYERS, "torch-bn", "bn-bs8"], strict=False):
        assert plot({variant: curve(variant, *("a",) * 6)}, 1), marker


def test_a_photo_is_decoded_once_and_named_by_its_file():
    sent = {"path": str(EXAMPLES[1].path)}
    assert open_photo(sent) is open_photo(dict(sent))
    assert photo_name(sent) == EXAMPLES[1].file
    assert (open_photo(None), photo_name(None)) == (None, "")
    with pytest.raises(ImageError):
        open_photo({"path": "/no/such/file"})
