"""What is odd in a person's own folder of images: refused, or left out, and said in either case."""

import shutil

import pytest

from normzoo.errors import DataError
from tests.support.own_images import rows_of, save_colours, silent
from training.data.image_folder import load_folder, open_images


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["bus", "plane", "train"], "has train beside bus, plane"),
        (["train/ant", "train/bee", "val/ant", "valid/ant"], "has both val and valid. Keep one of them"),
        (["val/ant", "test/ant"], "has test, val, but no train"),
        (["train/ant", "train/bee", "val/wasp"], "not in train: wasp"),
        (["line\nbreak", "bee"], "control character"),
        (["ant"], "at least 2 classes"),
    ],
)
def test_what_can_be_read_in_two_ways_or_would_be_passed_over_is_refused(tmp_path, root, folders, message):
    for number, name in enumerate(folders):
        save_colours(tmp_path / "set", name, 1, number)
    with pytest.raises(DataError, match=message):
        load_folder(tmp_path / "set", 16, silent, root)


def test_no_file_is_passed_over_without_a_word(tmp_path, root):
    folder = tmp_path / "set"
    for level, name in enumerate(("ant", "bee")):
        save_colours(folder, name, 4, level)
    (folder / "stray.png").write_bytes((folder / "ant/0.png").read_bytes())
    (folder / "bee/all").symlink_to(folder)  # pulls in what is no bee
    for left_behind in ("__MACOSX", "__pycache__"):
        (folder / left_behind).mkdir()
    (folder / "bee/gone.png").symlink_to(folder / "nowhere.png")
    (folder / "bee/README").write_text("Bees.")
    (folder / "bee/.DS_Store").write_bytes(b"")
    (folder / "bee/two\rlines.png").write_bytes(b"no image")
    lines = []
    data = load_folder(folder, 16, lines.append, root)
    assert data.classes == ("ant", "bee")
    assert sum(len(labels) for labels in data.labels.values()) == 8
    assert not any("\r" in line for line in lines)
    skipped = {row["file"]: row["problem"] for row in rows_of(data) if row["split"] == "skipped"}
    assert skipped.pop(r"bee/two\rlines.png")
    assert skipped == {
        "stray.png": "It is not in a class folder.",
        "bee/all": "It is a link to a folder with other classes.",
        "bee/gone.png": "It is a broken link.",
        "bee/README": "Its name is not that of an image.",
        "bee/.DS_Store": "It is hidden.",
    }
    assert any(line.startswith("5 of 13 files were skipped") for line in lines)


def test_a_flat_folder_is_told_what_to_do(tmp_path, root):
    save_colours(tmp_path, "set", 3, 0)
    with pytest.raises(DataError, match=r"holds 3 files but no class folders.*metadata\.csv"):
        load_folder(tmp_path / "set", 16, silent, root)


def test_that_all_are_copies_is_said(tmp_path, root):
    for level, name in enumerate(("ant", "bee")):
        for copy in ("a", "b"):
            save_colours(tmp_path / "set" / name, copy, 3, level)
    with pytest.raises(DataError, match="every image has copies"):
        load_folder(tmp_path / "set", 16, silent, root)


def test_an_image_under_two_classes_and_a_class_without_validation_images_are_said(tmp_path, root):
    for level, name in enumerate(("ant", "bee", "wasp")):
        save_colours(tmp_path / "set/train", name, 2, level)
    shutil.copyfile(tmp_path / "set/train/ant/0.png", tmp_path / "set/train/bee/same.png")
    for level, name in enumerate(("ant", "bee")):
        save_colours(tmp_path / "set/val", name, 1, 10 + level)
    lines = []
    load_folder(tmp_path / "set", 16, lines.append, root)
    assert "1 image in two or more classes, such as one in ant and bee." in lines
    assert "1 of 3 classes have no validation image (wasp): macro F1 is over the others." in lines


def _empty_class(photos):
    (photos / "nothing").mkdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_empty_class, "No image to train on in .* for nothing"),
        (shutil.rmtree, "There is no folder"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_folder_that_will_not_do_says_why(change, message, photos, root):
    change(photos)
    with pytest.raises(DataError, match=message):
        open_images(str(photos), 16, silent, root)
    assert not list(root.glob("*px"))


def test_another_folder_of_the_same_name_is_refused(photos, root, tmp_path):
    load_folder(photos, 16, silent, root)
    other = tmp_path / "other" / photos.name
    shutil.copytree(photos, other)
    (other / "空" / "photo 1.jpg").unlink()
    with pytest.raises(DataError, match=rf"holds the images of {photos}. Rename {other}, or delete that cache"):
        load_folder(other, 16, silent, root)
    shutil.rmtree(photos)
    assert len(load_folder(other, 16, silent, root).labels["train"]) == 59


def test_name_of_a_known_data_set_is_refused(tmp_path, root):
    (tmp_path / "cifar-10").mkdir()
    with pytest.raises(DataError, match=r"cifar-10 is the name of a data set .* Rename"):
        load_folder(tmp_path / "cifar-10", 16, silent, root)
