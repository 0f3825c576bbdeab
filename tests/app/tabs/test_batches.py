"""Many photos without a browser: reading them, who is in the batch, what is said of it, and strangers' tricks."""

import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from PIL import Image

from normzoo import NORM_LAYERS
from normzoo.app.components import photo as photos
from normzoo.app.components.photo import read_photos
from normzoo.app.core.catalog import classes_of, main_variants_of
from normzoo.app.core.examples import EXAMPLES, PREPARED
from normzoo.app.core.upload import MOST, chosen_path
from normzoo.app.tabs import batches
from normzoo.app.tabs.batches import paired_tests
from normzoo.errors import ConfigError, ImageError, NormZooError
from normzoo.images.preprocess import load_image
from normzoo.inference.predict import predict_many
from tests.support import image_files
from tests.support.image_files import plain, zipped
from tests.support.visitor import words

HOSTILE = "<img src=x onerror=alert(1)>\"'&"
ALL = {"set": "drawings"}


@pytest.fixture(scope="module")
def zoo(catalog):
    model_set = catalog.get("toy/paper")
    return catalog.load(model_set, main_variants_of(model_set))[0], classes_of(model_set)


def save(path: Path, color: str = "orange", size: tuple[int, int] = (40, 30)) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return {"path": str(path), "name": path.name, "folder": path.parent.name}


def test_photos_are_read_small_and_what_cannot_be_is_named(tmp_path):
    good, broken = save(tmp_path / "a.png"), {"path": str(tmp_path / "b.png"), "name": HOSTILE}
    (tmp_path / "b.png").write_bytes(b"no picture")
    told = []
    read = read_photos([good, broken], 16, lambda *done: told.append(done))
    assert [(photo.name, photo.folder, photo.square.size) for photo in read.read] == [("a.png", tmp_path.name, (16, 16))]
    assert [problem.rpartition(": ")[0] for problem in read.problems] == [HOSTILE]
    assert told == [(1, 2), (2, 2)]
    with pytest.raises(ImageError, match="no longer here"):
        read_photos([good, {"path": str(tmp_path / "gone.png")}], 16)


@pytest.mark.parametrize(
    "wanted", [None, "drawings", 3, [3], [{}], [{"path": 3}], {"set": "x"}, {"set": ["drawings"]}, [{"path": "a"}] * 65]
)
def test_what_is_no_list_of_photos_is_refused_in_a_sentence(wanted: object):
    with pytest.raises(NormZooError, match=r"^[A-Z].*\.$"):
        read_photos(wanted, 16)


def test_an_archive_is_read_and_each_of_its_photos_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    path = tmp_path / "photos.zip"
    path.write_bytes(zipped({"../../orange/evil.png": image_files.save(plain(), "PNG"), "notes.txt": "no picture"}))
    read = read_photos([{"path": str(path), "name": "photos.zip"}], 16)
    (photo,) = read.read
    assert (photo.name, photo.folder) == ("evil.png", "orange")
    assert re.match(r"photos\.zip, notes\.txt: ", read.problems[0])
    chosen = chosen_path(photo.choice)
    assert chosen is not None
    assert chosen.parent.parent == tmp_path / "uploads"
    assert chosen.name == "photo"
    assert load_image(chosen).getpixel((0, 0)) == (255, 0, 0)
    for wrong in (5, -1, None, "0", [0]):
        with pytest.raises(ImageError):
            chosen_path({**photo.choice, "member": wrong})


def test_every_prepared_photo_can_be_chosen_and_no_other():
    for name, examples in PREPARED.items():
        for number, example in enumerate(examples):
            assert chosen_path({"set": name, "number": number}) == example.path
    for wrong in ({"set": "x", "number": 0}, {"set": "examples", "number": len(EXAMPLES)}, {"set": [], "number": 0}):
        with pytest.raises(ImageError):
            chosen_path(wrong)


def test_who_is_there_how_many_and_how_corrupted(zoo):
    read = read_photos(ALL, 16).read
    classes = ("orange", "pizza")
    batch = batches.gather(read, classes, batches.EVERYBODY, 10, "contrast", 5, True)
    assert len(batch.photos) == 10
    assert {label for label in batch.labels if label} <= {"orange", "pizza"}
    assert batch == batches.gather(read, classes, batches.EVERYBODY, 10, "contrast", 5, True), "the same each time"
    for photo, image in zip(batch.photos, batch.images, strict=True):
        assert max(image.convert("L").getextrema()) - min(image.convert("L").getextrema()) < 60
        assert image != photo.square
    only = batches.gather(read, classes, "orange", MOST, batches.UNCHANGED, 5, False)
    assert [photo.folder for photo in only.photos] == ["orange"] * 4
    assert only.labels == (None,) * 4
    assert only.severity == 0
    for wrong in (
        ("x", 3, 10),
        (["contrast"], 3, 10),
        ("contrast", 6, 10),
        ("contrast", True, 10),
        ("contrast", 3, 0),
        ("contrast", 3, "8"),
    ):
        with pytest.raises(ConfigError):
            batches.gather(read, classes, batches.EVERYBODY, wrong[2], wrong[0], wrong[1], True)


def test_sorted_by_class_each_folder_is_a_batch_of_its_own(zoo):
    models, _ = zoo
    read = read_photos(ALL, 16).read
    batch = batches.gather(read, (), batches.EVERYBODY, MOST, "contrast", 5, False, "sorted")
    assert [len(group) for group in batch.groups] == [4] * 8
    found = batches.ask({"bn": models["bn"]}, batch, "batch")["bn"]
    for group in batch.groups:
        alone = predict_many({"bn": models["bn"]}, [batch.images[number] for number in group], 1, "batch")
        for number, answer in zip(group, alone, strict=True):
            assert found.own[number].top[0][1] == pytest.approx(answer["bn"].top[0][1], abs=1e-6)


def test_the_events_answer_programs(events):
    _, table, data = events["many_photos"](ALL, "toy/paper", ["bn", "gn"], "mix", 16, "everybody", 8, "contrast", 3, True)
    assert list(data["networks"]) == ["bn", "gn"]
    assert len(data["photos"]) == 8
    assert data["statistics"] == 16
    assert table.count("<tr") == 9
    taken, folders, choices = events["choose_photos"]({"set": "examples"}, "toy/paper")
    assert taken == {"set": "examples"}
    assert len(choices.choices) == len(EXAMPLES)
    assert folders.choices[0][0] == "All photos"


def test_what_everybody_sees_first_is_asked_once_and_no_other_than_what_is_asked_anew(events, monkeypatch):
    asked, measured = Mock(wraps=batches.ask), Mock(wraps=batches.measure)
    monkeypatch.setattr(batches, "ask", asked)
    monkeypatch.setattr(batches, "measure", measured)
    both = ["bn", "gn"]

    def see(count: int, photo: int) -> tuple[Any, Any]:
        view = ("contrast", 5)
        many = events["many_photos"](ALL, "toy/paper", both, "batch", 16, "everybody", count, *view, True)
        return many, events["other_companies"](ALL, "toy/paper", both, "batch", 16, photo, 8, *view)

    first, _ = see(MOST, 0), [each.reset_mock() for each in (asked, measured)]
    assert see(MOST, 0) == first
    assert (asked.call_count, measured.call_count) == (0, 0)
    many, strips = see(MOST + 1, 1)  # the same batch, and another photo
    assert many == first[0]
    assert strips != first[1]
    assert (asked.call_count, measured.call_count) == (2, 2)  # each network


def test_hiding_networks_changes_no_test(events, monkeypatch):
    counted_pairs = []

    def remember(labels: list[str], given: dict[str, list[str]]) -> list[Any]:
        counted_pairs.append(list(given))
        return paired_tests(labels, given)

    monkeypatch.setattr(batches, "paired_tests", remember)
    monkeypatch.setattr(batches, "match_classes", lambda folders, classes: dict.fromkeys(folders, classes[0]))
    shown, _, data = events["many_photos"](ALL, "toy/paper", ["bn", "gn"], "batch", 16, "everybody", 8, "none", 3, True)
    assert list(data["networks"]) == ["bn", "gn"]
    assert set(counted_pairs[0]) == set(NORM_LAYERS)
    assert "15 pairs, of hidden networks too" in words(shown)


def test_what_failed_once_is_tried_again(tmp_path, monkeypatch):
    entry = save(tmp_path / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(photos, "load_image", Mock(side_effect=OSError("too many open files")))
        assert read_photos([entry], 16).read == ()
    assert len(read_photos([entry], 16).read) == 1


def test_nobody_there_is_said_and_no_error(events, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    shown, table, data = events["many_photos"](
        [{"path": str(tmp_path / "a.png")}], "toy/paper", ["bn"], "batch", 16, "everybody", 8, "none", 3, True
    )
    assert "None of these could be read." in words(shown)
    assert (table, data) == ("", {})
    shown, *_ = events["many_photos"](ALL, "toy/paper", ["bn"], "batch", 16, "no folder", 8, "none", 3, True)
    assert "None of these photos is in that folder." in words(shown)
    one = [{"path": str(EXAMPLES[0].path)}]
    assert "more than one photo" in events["other_companies"](one, "toy/paper", ["bn"], "batch", 0, 0, 5)[0]
