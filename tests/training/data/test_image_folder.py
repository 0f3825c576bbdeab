"""A person's own images: any folder of class folders becomes a data set, and what is odd in it is named."""

import io
import os
import shutil
import sys
import tarfile
import unicodedata
from collections import Counter

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

import normzoo
from normzoo.app.core.catalog import Catalog
from normzoo.errors import DataError
from normzoo.images.preprocess import load_image, to_pixels
from tests.support import warm
from tests.support.hub_server import client_environment, serve_hub
from tests.support.own_images import CLASSES, make_photo, rows_of, save_colours, silent, write_photos
from tests.support.tiny import ROOT
from training import cli as command_line
from training.data.image_folder import load_folder, open_images

pytestmark = pytest.mark.process

QUICK = ["--depth=8", "--image-size=16", "--epochs=2", "--batch-size=20", "--lr=0.01", "--amp=fp32", "--compile=off"]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "My photos, 2026")


def test_folder_without_val_gives_a_tenth_of_each_class(photos, root):
    lines = []
    data = load_folder(photos, 16, lines.append, root)
    assert data.name == "My-photos-2026"
    assert data.classes == tuple(sorted(CLASSES))
    counts = {name: count for name, (_, count) in CLASSES.items()}
    held = Counter(data.classes[label] for label in data.labels["val"].tolist())
    assert held == {"Grüner Baum": 2, "red <b>bird & co": 3, "空": 1}
    assert len(data.labels["train"]) + len(data.labels["val"]) == sum(counts.values())
    assert lines[0].startswith("My-photos-2026: 3 classes, 60 training and 6 validation images in ")
    assert lines[1].startswith("3 of 69 files were skipped; ")
    assert [line.split(":")[0].strip() for line in lines[2:]] == [
        f"Grüner Baum/{name}" for name in ("empty.png", "notes.txt", "torn.jpg")
    ]
    assert data.note == (
        "The images of the folder 'My photos, 2026'. Validation: 0.1 of each class, drawn with seed 0. "
        "3 of 69 files were skipped."
    )


def test_table_says_where_every_file_went(photos, root):
    data = load_folder(photos, 16, silent, root)
    rows = rows_of(data)
    splits = Counter(row["split"] for row in rows)
    assert splits == {"train": len(data.labels["train"]), "val": len(data.labels["val"]), "skipped": 4}  # and a hidden one
    for split in ("train", "val"):
        of_split = [row for row in rows if row["split"] == split]
        assert [row["class"] for row in of_split] == [data.classes[label] for label in data.labels[split].tolist()]
        for row, pixels in list(zip(of_split, data.pixels[split], strict=True))[:7]:
            expected = to_pixels(load_image(photos / row["file"]), 16)
            np.testing.assert_array_equal(pixels.numpy(), expected)


def test_names_in_the_table_are_no_formulas(tmp_path, root, capsys):
    for name in ("=cmd", "-b"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (20, 20), (number, 9, len(name))).save(tmp_path / "own" / name / f"{number}.png")
    (tmp_path / "own" / "-b" / "\x1b[2J.png").write_bytes(b"no picture")
    data = load_folder(tmp_path / "own", 16, command_line.say, root)
    assert data.classes == ("-b", "=cmd")
    assert {row[name][:1] for row in rows_of(data) for name in ("class", "file")} == {"'"}
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\\x1b[2J.png" in told


def test_same_files_elsewhere_are_the_same_data_set(photos, root, tmp_path):
    data = load_folder(photos, 16, silent, root)
    copy = tmp_path / "elsewhere" / photos.name
    for path in sorted((path for path in photos.rglob("*") if path.is_file()), reverse=True):
        target = copy / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    again = load_folder(copy, 16, silent, tmp_path / "other")
    assert again.digest == data.digest
    assert torch.equal(again.pixels["train"], data.pixels["train"])
    assert (again.mean, again.std) == (data.mean, data.std)


def test_second_call_reads_the_cache_and_a_change_builds_it_anew(photos, root):
    first = load_folder(photos, 16, silent, root)
    lines = []
    assert load_folder(photos, 16, lines.append, root).digest == first.digest
    assert lines == []
    make_photo("空", 99).save(photos / "空" / "one more.png")
    changed = load_folder(photos, 16, lines.append, root)
    assert changed.digest != first.digest
    assert lines[0].startswith("My-photos-2026: 3 classes, 61 training")
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == ["My-photos-2026-16px"]


def test_train_and_val_folders_are_taken_as_they_are(tmp_path, root):
    folder = tmp_path / "split"
    for split, count in {"Train": 3, "VALIDATION": 2}.items():
        for name in ("ant", "bee"):
            (folder / split / name / "deep").mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (9, 9), (number * 40, 10 * len(split), (name == "ant" and 255) or 0))
                image.save(folder / split / name / "deep" / f"{number}.png")
    data = load_folder(folder, 16, silent, root)
    assert {split: data.labels[split].tolist() for split in data.labels} == {"train": [0] * 3 + [1] * 3, "val": [0, 0, 1, 1]}
    assert data.note == "The images of the folder 'split'."
    shutil.copyfile(folder / "Train/ant/deep/0.png", folder / "VALIDATION/ant/copy.png")
    lines = []
    assert load_folder(folder, 16, lines.append, root).note.endswith("1 validation image also among the training images.")
    assert "1 validation image also among the training images." in lines


def test_a_metadata_table_gives_the_labels_of_a_flat_folder(tmp_path, root):
    folder = tmp_path / "set"
    save_colours(folder, "pictures", 8, 0)
    with pytest.raises(DataError, match="at least 2 classes"):
        load_folder(folder, 16, silent, root)
    decomposed = unicodedata.normalize("NFD", "pictures/é.png")
    (folder / "pictures/7.png").rename(folder / decomposed)
    rows = [f"pictures{'/' if number else chr(92)}{number}.png,{'ant' if number % 2 else 'bee'}" for number in range(6)]
    rows += ["pictures/é.png,ant", "../../secret.png,ant"]  # written by Windows, in the other form of the accent, outside
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *rows]) + "\n")
    data = load_folder(folder, 16, silent, root)
    assert data.classes == ("ant", "bee")
    assert sum(len(labels) for labels in data.labels.values()) == 7
    assert {row["problem"] for row in rows_of(data) if row["split"] == "skipped"} == {
        "metadata.csv does not list it.",
        "metadata.csv lists it, but it does not exist.",
    }


def test_one_metadata_table_beside_the_parts_is_theirs(tmp_path, root):
    for part, level in (("train", 0), ("validation", 9)):
        save_colours(tmp_path / "set", part, 4, level)
    rows = [f"{part}/{number}.png,{'ant' if number % 2 else 'bee'}" for part in ("train", "validation") for number in range(4)]
    (tmp_path / "set/metadata.csv").write_text("\n".join(["file_name,label", *rows]) + "\n")
    data = load_folder(tmp_path / "set", 16, silent, root)
    assert (data.classes, {split: len(each) for split, each in data.labels.items()}) == (("ant", "bee"), {"train": 4, "val": 4})
    assert not [row for row in rows_of(data) if row["split"] == "skipped"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"file_name;label\n1.png;ant\n", "must have comma-separated columns file_name and label .*'file_name'"),
        ("file_name,label\npictures/1.png,Bär\n".encode("cp1252"), "must be in UTF-8"),
        (b"file_name,label\n1,ant\n2,bee\n", "none of the 2 files listed in .*, such as '1'"),
    ],
)
def test_a_metadata_table_that_cannot_be_used_says_why(table, message, tmp_path, root):
    save_colours(tmp_path / "set", "pictures", 4, 0)
    (tmp_path / "set/metadata.csv").write_bytes(table)
    with pytest.raises(DataError, match=message):
        load_folder(tmp_path / "set", 16, silent, root)


def test_copies_of_a_file_stay_in_training_together(tmp_path, root):
    folder = tmp_path / "twins"
    for name, shade in (("ant", 50), ("bee", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8), (shade, 0, number // 2 if number < 18 else number)).save(folder / name / f"{number}.png")
    held = [row["file"] for row in rows_of(load_folder(folder, 16, silent, root)) if row["split"] == "val"]
    assert sorted(held) == ["ant/18.png", "ant/19.png", "bee/18.png", "bee/19.png"]


def test_bare_name_means_the_folder_that_its_cache_was_made_from(photos, root, tmp_path, monkeypatch):
    plain = photos.rename(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    first = open_images("photos", 16, silent, root)
    (plain / "空" / "photo 1.jpg").unlink()
    assert open_images("photos", 16, silent, root).digest != first.digest
    (tmp_path / "somewhere" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "somewhere")
    assert len(open_images("photos", 16, silent, root).labels["train"]) == 59  # as a study's workers ask for it


def test_from_a_folder_to_predictions(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("training.launch.local.POLL_SECONDS", 0.05)
    monkeypatch.setattr("training.launch.local.subprocess", warm)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # `evaluate` starts no process for itself alone
    runs, checkpoints = tmp_path / "runs", tmp_path / "checkpoints"
    study = ["study", f"--data={photos}", "--norm=bn,gn", *QUICK, f"--runs={runs}", "--workers=1"]
    assert command_line.main(study) == 0
    for seed_folder in runs.glob("*/*/*/seed-0"):
        assert (seed_folder / "files.csv").read_text().startswith("split,class,file,sha256,problem\n")
    folders = [f"--runs={runs}", f"--checkpoints={checkpoints}"]
    assert command_line.main(["package", *folders]) == 0
    assert command_line.main(["evaluate", "--check", folders[1]]) == 0
    assert capsys.readouterr().out.count("(from the images)") == 2
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "another computer"))
    shutil.rmtree(photos)
    assert command_line.main(["evaluate", "--check", folders[1]]) == 0
    assert capsys.readouterr().out.count("WEAKER CHECK") == 3

    catalog = Catalog(checkpoints)
    name = "My-photos-2026/paper,depth=8,image_size=16,epochs=2,batch_size=20,lr=0.01"
    assert list(catalog.sets) == [name]
    models, problems = catalog.load(catalog.get(name), ["bn", "gn"])
    assert problems == {}
    answers = normzoo.predict(models, make_photo("red <b>bird & co", 1234), k=5)
    assert {len(answer.top) for answer in answers.values()} == {3}
    assert answers["bn"].top[0][0] in CLASSES


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"bus": 1, "plane": 2, "train": 3}, "has train beside bus, plane"),
        ({"train/ant": 1, "train/bee": 2, "val/ant": 3, "valid/ant": 4}, "has both val and valid. Keep one of them"),
        ({"val/ant": 1, "test/ant": 2}, "has test, val, but no train"),
        ({"train/ant": 1, "train/bee": 2, "val/wasp": 3}, "not in train: wasp"),
        ({"line\nbreak": 1, "bee": 2}, "control character"),
        ({"ant": 1}, "at least 2 classes"),
        ({"ant": 1, "bee": 2, "nothing": 0}, "No image to train on in .* for nothing"),
        ({"ant/a": 1, "ant/b": 1, "bee/a": 2, "bee/b": 2}, "every image has copies"),
        ({".": 1}, r"holds 3 files but no class folders.*metadata\.csv"),
        ({}, "There is no folder"),
        ({"../cifar-10/ant": 1, "../cifar-10/bee": 2}, "cifar-10 is the name of a data set .* Rename"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_can_be_read_in_two_ways_or_not_at_all_is_refused(tmp_path, root, levels, message):
    for name, level in levels.items():
        save_colours(tmp_path / "set", name, 3 if level else 0, level)
    with pytest.raises(DataError, match=message):
        open_images(str(tmp_path / ("cifar-10/." if "cifar" in message else "set")), 16, silent, root)
    assert not list(root.glob("*px"))


def test_no_file_is_passed_over_without_a_word(tmp_path, root):
    folder = tmp_path / "set"
    for level, name in enumerate(("ant", "bee")):
        save_colours(folder, name, 4, level)
    (folder / "stray.png").write_bytes((folder / "ant/0.png").read_bytes())
    (folder / "bee/all").symlink_to(folder)  # pulls in what is no bee
    (folder / "bee/again").symlink_to(folder / "bee")  # without end
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


def test_another_folder_of_the_same_name_is_refused(photos, root, tmp_path):
    load_folder(photos, 16, silent, root)
    other = tmp_path / "other" / photos.name
    shutil.copytree(photos, other)
    (other / "空" / "photo 1.jpg").unlink()
    with pytest.raises(DataError, match=rf"holds the images of {photos}. Rename {other}, or delete that cache"):
        load_folder(other, 16, silent, root)
    shutil.rmtree(photos)
    assert len(load_folder(other, 16, silent, root).labels["train"]) == 59


PACKED = ("a/b: red", "green")


def contents(folder):
    """Images as bytes, with their labels: 12 of each class."""
    for label in range(len(PACKED)):
        save_colours(folder, str(label), 12, 100 * label)
    return [(path.read_bytes(), int(path.parent.name)) for path in sorted(folder.glob("*/*.png"))]


def write_parquet(folder, images):
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(PACKED)))
    for split, part in (("train", images[::2]), ("validation", images[1::2])):
        rows = {"image": [{"bytes": content} for content, _ in part], "label": [label for _, label in part]}
        datasets.Dataset.from_dict(rows, features).to_parquet(folder / f"{split}-0.parquet")


def write_shards(folder, images):
    with tarfile.open(folder / "train-0.tar", "w") as shard:
        for number, (image, label) in enumerate(images):
            for suffix, content in (("png", image), ("cls", str(label).encode())):
                entry = tarfile.TarInfo(f"{number:04d}.{suffix}")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("write", [write_parquet, write_shards])
def test_packed_images_are_those_of_the_files_and_new_ones_are_seen(tmp_path, write):
    images = contents(tmp_path / "files")
    folder = tmp_path / "packed"
    folder.mkdir()
    write(folder, images)
    data = open_images(str(folder), 16, silent, tmp_path / "data")
    assert len(data.classes) == 2
    seen = np.concatenate([data.pixels[split][:, 8, 8].numpy() for split in ("train", "val")])
    assert sorted(map(tuple, seen.tolist())) == sorted((100 * label, number, 0) for label in (0, 1) for number in range(12))
    if write is write_parquet:
        assert data.classes == ("a-b- red", "green"), "a name that no folder can have"
        assert len(data.labels["val"]) == 12
    write(folder, images[:-2])
    fewer = open_images(str(folder), 16, silent, tmp_path / "data")
    assert sum(map(len, fewer.labels.values())) == 22


def test_a_data_set_of_the_hub_is_unpacked_once(tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir()
    write_parquet(folder, contents(tmp_path / "files"))
    with serve_hub() as hub:
        hub.add("you/pets", folder, kind="datasets")
        environment = client_environment(tmp_path / "home", hub.url)
        environment |= {"NORMZOO_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
        words = ["study", "--data=hf://datasets/you/pets", "--norm=bn", "--depth=8", "--amp=fp32", "--compile=off", "--dry-run"]
        for asked in (True, False):
            hub.requests.clear()
            code, printed, errors = warm.run([sys.executable, "-m", "training", *words], tmp_path, environment)
            assert code == 0, errors
            assert "bn" in printed
            assert bool(hub.requests) == asked
