"""Compare without a browser: who is right, what moves the cards, maps, probabilities, the notice."""

import base64
import io
import json
import re

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from normzoo import NORM_LAYERS, load_image
from normzoo.analysis.ood import ENSEMBLE
from normzoo.app.core.catalog import Catalog
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.core.upload import open_photo
from normzoo.app.tabs import compare
from normzoo.errors import ConfigError
from normzoo.findings import Evidence
from normzoo.findings.accuracy import lead_words
from normzoo.images.corruptions import CORRUPTIONS, corrupt
from normzoo.images.preprocess import to_pixels
from normzoo.inference.predict import predict_many
from normzoo.pretrained.checkpoint import OOD_TABLE, TABLES
from normzoo.pretrained.registry import get_model_set
from tests.support.checkpoints import CLASSES, save_zoo
from tests.support.visitor import words

ALL = list(NORM_LAYERS)


@pytest.fixture(scope="module")
def toy(catalog):
    return catalog.get("toy/paper")


@pytest.fixture(scope="module")
def picture():
    return load_image(EXAMPLES[0].path)


def pictures(text: str) -> list[np.ndarray]:
    """The PNGs in some HTML."""
    sources = re.findall(r'"data:image/png;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) for source in sources]


def cards(report: str) -> list[tuple[str, str]]:
    """The variant of each card in its order, and what it says of right and wrong."""
    found = re.findall(r'<li class="card" data-variant="([\w-]+)".*?<h3>(.*?)</h3>', report, re.DOTALL)
    return [(variant, (re.findall(r'class="(right|wrong|moved)"', head) or [""])[0]) for variant, head in found]


@pytest.mark.parametrize("truth", CLASSES)
def test_a_known_class_marks_right_and_wrong_and_ranks_the_cards_by_its_probability(catalog, toy, picture, truth):
    report, data = compare.answer(catalog, toy, ALL, picture, truth)
    networks = data["networks"]
    assert data["truth"] == truth
    assert cards(report) == [
        (variant, "right" if networks[variant]["answer"] == truth else "wrong")
        for variant in sorted(ALL, key=lambda variant: -networks[variant]["probabilities"][truth])
    ]


def test_an_unknown_class_marks_nothing_and_ranks_by_the_most_frequent_answer(catalog, toy, picture):
    report, data = compare.answer(catalog, toy, ALL, picture, "red panda")
    top = next(iter(data["groups"]))
    ranked = sorted(ALL, key=lambda variant: -data["networks"][variant]["probabilities"][top])
    assert cards(report) == [(variant, "") for variant in ranked]
    assert data["truth"] is None


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_moves_all_six_and_they_see_what_is_shown(catalog, toy, picture, kind):
    report, data = compare.answer(catalog, toy, ALL, picture, "", kind, 5)
    expected = Image.fromarray(to_pixels(picture, 32))
    expected = corrupt(expected, kind, 5)
    (seen,) = pictures(report)
    np.testing.assert_array_equal(seen, np.asarray(expected))
    models, _ = catalog.load(toy, ALL)
    for variant, prediction in predict_many(models, [expected])[0].items():
        found = list(data["networks"][variant]["probabilities"].values())
        np.testing.assert_allclose(found, prediction.probabilities, atol=1e-5)
    original = compare.answer(catalog, toy, ALL, picture)[1]["networks"]
    moved = {variant for variant, mark in cards(report) if mark == "moved"}
    assert moved == {variant for variant in ALL if original[variant]["answer"] != data["networks"][variant]["answer"]}


def test_batch_statistics_move_those_that_have_running_ones_alone_and_light_their_cubes(catalog, toy, picture):
    running, batch = (compare.answer(catalog, toy, ALL, picture, batch=batch) for batch in (None, {"set": "examples"}))
    changed = {v for v in ALL if running[1]["networks"][v]["probabilities"] != batch[1]["networks"][v]["probabilities"]}
    assert changed == {"bn", "bin"}
    cubes = [compare.draw_cubes(catalog, toy, ALL, statistics) for statistics in ("running", "examples")]
    stored = [set(re.findall(r'data-norm="(\w+)" class="stored"', drawn)) for drawn in cubes]
    assert stored == [{"bn", "bin"}, set()]


def test_the_standing_is_the_finding_about_accuracy(catalog, toy):
    expected = lead_words(Evidence(toy, catalog.sets.values())).replace("`", "")
    assert expected in " ".join(words(compare.standing(catalog, toy)).split())


def test_the_table_holds_every_probability_the_most_probable_first(catalog, toy, picture):
    *_, data = compare.answer(catalog, toy, ["bn", "gn"], picture)
    table = compare.tabulate_answers(catalog, toy, ["bn", "gn"], picture)
    csv = base64.b64decode(re.search(r"base64,([^\"]+)", table)[1]).decode().splitlines()
    assert csv[0] == "Class,BN (%),GN (%)"
    found = {line.split(",")[0]: [float(cell) for cell in line.split(",")[1:]] for line in csv[1:]}
    for label, shares in found.items():
        assert shares == pytest.approx([100 * data["networks"][v]["probabilities"][label] for v in ("bn", "gn")], abs=0.006)
    assert [sum(shares) for shares in found.values()] == sorted((sum(shares) for shares in found.values()), reverse=True)


def draw(catalog, model_set, variants, picture, label=None, severity=0):
    return compare.draw_maps(catalog, model_set, variants, picture, label, "contrast", severity)


def test_maps_sum_to_the_logit_and_share_one_scale(catalog, toy, picture):
    text, data = draw(catalog, toy, ALL, picture)
    *_, answers = compare.answer(catalog, toy, ALL, picture)
    assert text.count("<figure") == len(pictures(text)) == len(ALL)
    for variant, found in data.items():
        assert found["class"] == answers["networks"][variant]["answer"]
        assert np.sum(found["map"]) + found["bias"] == pytest.approx(found["logit"], abs=1e-3)
    assert max(overlay[..., 3].max() for overlay in pictures(text)) == round(255 * compare.STRONGEST_OPACITY)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {found["class"] for found in draw(catalog, toy, ALL, picture, CLASSES[1])[1].values()} == {CLASSES[1]}
    assert draw(catalog, toy, ["bn"], picture, severity=5)[1] != draw(catalog, toy, ["bn"], picture)[1]


def test_red_raises_and_blue_lowers():
    pixels = compare.overlay(np.array([[2.0, -1.0, 0.0]]), 2.0)[0]
    assert [tuple(pixel[:3]) for pixel in pixels[:2]] == [compare.RAISES, compare.LOWERS]
    assert int(pixels[0, 3]) == pytest.approx(2 * int(pixels[1, 3]), abs=1)
    assert pixels[2, 3] == 0
    assert compare.overlay(np.zeros((2, 2)), 0.0)[..., 3].max() == 0


def test_all_severities_are_followed(catalog, toy, picture):
    models, _ = catalog.load(toy, ALL)
    plot, data = compare.draw_severities(models, picture, "jpeg")
    lines = json.loads(plot.plot)["data"]
    for line, network in zip(lines, data["networks"].values(), strict=True):
        assert line["y"] == pytest.approx([100 * share for share in network["probabilities"]], abs=1e-3)


def test_what_is_not_there_is_left_out_or_refused_in_a_sentence(catalog, toy, picture, events):
    assert draw(catalog, toy, [], picture) == ("", {})
    assert list(draw(catalog, catalog.get("toy/extras"), ["bn", "gn"], picture)[1]) == ["bn"]
    for label in ("no such class", 7, ["dune"]):
        with pytest.raises(ConfigError, match="Unknown class"):
            draw(catalog, toy, ["bn"], picture, label)
    sent = {"path": str(EXAMPLES[0].path)}
    for wrong in (("rain", 1, "running"), ("jpeg", 9, "running"), ("jpeg", "<b>", "running"), ("jpeg", 1, "mine"), (None,) * 3):
        with pytest.raises(gr.Error) as refused:
            events["classify"](sent, "toy/paper", ["bn"], "", *wrong)
        assert re.fullmatch(r"[A-Za-z].*\.", refused.value.message)


UNKNOWNS = f"{','.join(TABLES[OOD_TABLE])}\npaper,{ENSEMBLE},,0,4,4,0.9,0.1,0.5,0.99,0.1,0.8,,COVERS\n"


@pytest.mark.parametrize(
    ("table", "broken", "truth", "severity", "has_notice"),
    [
        (UNKNOWNS, [], "", 0, True),
        (UNKNOWNS, [], CLASSES[0], 0, False),  # its class is known
        (UNKNOWNS, [], "", 3, False),
        (UNKNOWNS, ["bn"], "", 0, False),
        (UNKNOWNS.replace("0.9,0.1", "0.4,0.1"), [], "", 0, False),  # the threshold tells nothing
        ("recipe\npaper", [], "", 0, False),
    ],
)
def test_the_notice_is_for_original_photos_of_unknown_class_and_needs_a_whole_table(
    tmp_path, picture, table, broken, truth, severity, has_notice
):
    save_zoo(tmp_path)
    covers = get_model_set("toy/paper", tmp_path).covers(ENSEMBLE)
    (tmp_path / "toy" / "ood.csv").write_text(table.replace("COVERS", covers))
    for variant in broken:
        (tmp_path / "toy/paper" / variant / "config.json").write_text("{")
    catalog = Catalog(tmp_path)
    *_, data = compare.answer(catalog, catalog.get("toy/paper"), ALL, picture, truth, "contrast", severity)
    assert bool(data["doubt"]) == has_notice
    assert len(data["networks"]) == len(NORM_LAYERS) - len(broken)


def test_a_photo_is_decoded_once():
    sent = {"path": str(EXAMPLES[1].path)}
    assert open_photo(sent) is open_photo(dict(sent))
