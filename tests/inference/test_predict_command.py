"""normzoo predict PHOTO: the same answers as the library's, in words and in JSON, and a sentence where there are none."""

import csv
import json
import shutil
import subprocess
import sys
from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import normzoo
from normzoo.__main__ import main
from normzoo.app.core.examples import FOLDER
from normzoo.inference.predict import agreement
from normzoo.nn.registry import NORM_LAYERS
from tests.support.checkpoints import CLASSES, save_variant, save_zoo
from tests.support.tiny import ROOT

pytestmark = pytest.mark.process

PHOTO = str(FOLDER / "cat.jpg")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    save_variant(root, "torch-bn")
    return root


@pytest.fixture(autouse=True)
def _zoo(zoo, monkeypatch):
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(zoo))


def test_json_has_every_networks_answer_and_the_librarys_probabilities(capsys):
    assert main(["predict", PHOTO, "--json", "--k", "2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    expected = normzoo.predict(normzoo.load_models("toy/paper"), normzoo.load_image(PHOTO), k=2)
    assert (answer["photo"], answer["model_set"], answer["unavailable"]) == (PHOTO, "toy/paper", {})
    assert list(answer["networks"]) == list(NORM_LAYERS)
    for variant, network in answer["networks"].items():
        assert network["answer"] == expected[variant].label
        top = [(each["class"], each["probability"]) for each in network["top"]]
        assert top == [(label, pytest.approx(probability, abs=1e-6)) for label, probability in expected[variant].top]


def test_words_name_each_network_and_who_agrees(capsys):
    assert main(["predict", PHOTO, "--k", "1"]) == 0
    *lines, sentence = capsys.readouterr().out.splitlines()
    assert len(lines) == len(NORM_LAYERS)
    assert all(any(label in line for label in CLASSES) and line.endswith("%") for line in lines)
    answers = normzoo.predict(normzoo.load_models("toy/paper"), normzoo.load_image(PHOTO), k=1)
    assert sentence == agreement({variant: prediction.label for variant, prediction in answers.items()}).sentence


def test_a_broken_network_is_named_and_the_others_answer(capsys, tmp_path):
    save_variant(tmp_path, "gn")
    (save_variant(tmp_path, "bn") / "model.safetensors").write_bytes(b"broken")
    assert main(["predict", PHOTO, "--json", "--checkpoints", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (list(answer["networks"]), list(answer["unavailable"])) == (["gn"], ["bn"])


def test_many_photos_folders_and_standard_input_are_taken_and_what_cannot_be_read_is_named(capsys, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    for name in ("a.jpg", "deep/b.jpg"):
        shutil.copyfile(PHOTO, tmp_path / name)
    (tmp_path / "deep/notes.txt").write_text("no picture")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(Path(PHOTO).read_bytes())))
    assert main(["predict", str(tmp_path), "missing.jpg", "-", "--json", "--k", "1"]) == 1
    output, error = capsys.readouterr()
    answers = json.loads(output)
    assert [answer["photo"] for answer in answers] == [
        *(str(tmp_path / name) for name in ("a.jpg", "deep/b.jpg")),
        "standard input",
    ]
    assert len({answer["networks"]["gn"]["answer"] for answer in answers}) == 1
    assert [line.partition(": ")[0] for line in error.splitlines()] == [str(tmp_path / "deep/notes.txt"), "missing.jpg"]
    for statistics in ("running", "batch"):
        assert main(["predict", PHOTO, PHOTO, "--k", "1", "--statistics", statistics]) == 0
        assert capsys.readouterr().out.count(f"{PHOTO}:") == 2


def test_a_reader_that_has_enough_is_no_traceback(zoo):
    command = f"{sys.executable} -m normzoo predict {PHOTO} {PHOTO} --json | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-photo.jpg"], "no-such-photo.jpg: The file could not be opened; choose it again."),
        ([__file__], "not a picture"),
        ([PHOTO, "--model-set", "toy/none"], "Unknown model set 'toy/none'. Choose one of: toy/paper."),
        ([PHOTO, "--variants", "grup"], "grup"),
        ([PHOTO, "--checkpoints", "/nonexistent/place"], "There is no trained network in /nonexistent/place."),
    ],
)
def test_what_does_not_work_ends_with_2_and_one_sentence(arguments, sentence, capsys):
    assert main(["predict", *arguments]) == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", ["predict", "predict PHOTO --k=0", "predict PHOTO --statistics=own", "predict PHOTO --csv --json", ""]
)
def test_a_command_line_that_cannot_be_read_ends_with_2(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert "--help" in capsys.readouterr().err.splitlines()[-1]


def test_csv_has_a_row_for_each_photo_and_network_as_json_says_it(capsys, tmp_path):
    for number in range(3):
        Image.open(PHOTO).rotate(90 * number, expand=True).save(tmp_path / f"{number}, turned.jpg")
    assert main(["predict", str(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert main(["predict", str(tmp_path), "--json", "--k", "1"]) == 0
    expected = [
        {"photo": answer["photo"], "variant": variant, "answer": network["answer"]}
        for answer in json.loads(capsys.readouterr().out)
        for variant, network in answer["networks"].items()
    ]
    assert [{key: row[key] for key in ("photo", "variant", "answer")} for row in rows] == expected
    assert all(0 < float(row["probability"]) <= 1 for row in rows)


def test_names_are_no_formulas_and_move_no_cursor(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "=1+\x1b[2J\u202e.jpg"
    shutil.copy(PHOTO, tmp_path / name)
    (tmp_path / "\x1b]0;x\x07.jpg").write_bytes(b"no picture")
    for options in (["--csv"], ["--json"], []):
        assert main(["predict", name, "\x1b]0;x\x07.jpg", "no\x1b[1m.jpg", *options]) == 1
        output = capsys.readouterr()
        assert not set("\x1b\x07\u202e\x9b") & set(output.out + output.err)
        assert "1b[2J" in output.out  # JSON writes it \u001b
        assert "\\x1b]0;x\\x07.jpg: " in output.err
        assert ("'=1+" in output.out) == (options == ["--csv"])


def test_statistics_of_the_photos_together_are_the_librarys(capsys, tmp_path):
    for number in range(3):
        Image.open(PHOTO).rotate(90 * number, expand=True).save(tmp_path / f"{number}.png")
    assert main(["predict", str(tmp_path), "--json", "--statistics", "batch"]) == 0
    found = json.loads(capsys.readouterr().out)
    images = [normzoo.load_image(path) for path in sorted(tmp_path.iterdir())]
    expected = normzoo.predict_many(normzoo.load_models("toy/paper"), images, statistics="batch")
    for answer, predictions in zip(found, expected, strict=True):
        for variant, network in answer["networks"].items():
            top = [(each["class"], each["probability"]) for each in network["top"]]
            assert top == [(label, pytest.approx(share, abs=1e-6)) for label, share in predictions[variant].top]
