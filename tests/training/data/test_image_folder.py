"""A person's own images: any folder of class folders becomes a data set, and what is odd in it is named."""

import os
import shutil
import unicodedata
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

import normzoo
from normzoo.app.core.catalog import Catalog
from normzoo.errors import DataError
from normzoo.images.preprocess import load_image, to_pixels
from tests.support import warm
from tests.support.own_images import CLASSES, make_photo, rows_of, save_colours, silent
from training import cli as command_line
from training.data.image_folder import load_folder, open_images

pytestmark = pytest.mark.process

QUICK = ["--depth=8", "--image-size=16", "--epochs=2", "--batch-size=20", "--lr=0.01", "--amp=fp32", "--compile=off"]


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
        (b"name,kind\n1.png,ant\n", "must have comma-separated columns file_name and label .* 'name,kind'"),
        (b"file_name;label\n1.png;ant\n", "its first row is 'file_name;label'"),
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


def test_links_that_go_round_in_a_circle_end(photos, root):
    os.symlink(photos, photos / "空" / "all")
    os.symlink(photos / "空", photos / "空" / "again")
    os.symlink(photos / "nowhere.png", photos / "空" / "gone.png")
    assert load_folder(photos, 16, silent, root).classes == tuple(sorted(CLASSES))


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
