"""normzoo predict PHOTO: the same answers as the library's, in words, JSON and CSV, and a sentence where there are none."""

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


@pytest.fixture
def turned(tmp_path):
    """A folder with three photos."""
    for number in range(3):
        Image.open(PHOTO).rotate(90 * number, expand=True).save(tmp_path / f"{number}, turned.png")
    return tmp_path


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_json_and_csv_have_every_networks_answer_and_the_librarys_probabilities(statistics, turned, capsys):
    command = ["predict", str(turned), "--k", "2", "--statistics", statistics]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    images = [normzoo.load_image(path) for path in sorted(turned.iterdir())]
    expected = normzoo.predict_many(normzoo.load_models("toy/paper"), images, statistics=statistics)
    for answer, predictions in zip(found, expected, strict=True):
        assert (answer["model_set"], answer["unavailable"], list(answer["networks"])) == ("toy/paper", {}, list(NORM_LAYERS))
        for variant, network in answer["networks"].items():
            assert network["answer"] == predictions[variant].label
            top = [(each["class"], each["probability"]) for each in network["top"]]
            assert top == [(label, pytest.approx(share, abs=1e-6)) for label, share in predictions[variant].top[:2]]
    assert main([*command, "--csv"]) == 0
    rows = [(row["photo"], row["variant"], row["answer"]) for row in csv.DictReader(StringIO(capsys.readouterr().out))]
    assert rows == [(each["photo"], v, network["answer"]) for each in found for v, network in each["networks"].items()]


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


def test_photos_folders_and_standard_input_are_taken_and_what_cannot_be_read_is_named(capsys, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    paths = [str(tmp_path / name) for name in ("a.jpg", "deep/b.jpg")]
    for path in paths:
        shutil.copyfile(PHOTO, path)
    (tmp_path / "deep/notes.txt").write_text("no picture")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(Path(PHOTO).read_bytes())))
    assert main(["predict", str(tmp_path), "missing.jpg", "-", "--json", "--k", "1"]) == 1
    output, error = capsys.readouterr()
    answers = json.loads(output)
    assert [answer["photo"] for answer in answers] == [*paths, "standard input"]
    assert len({answer["networks"]["gn"]["answer"] for answer in answers}) == 1
    assert [line.partition(": ")[0] for line in error.splitlines()] == [str(tmp_path / "deep/notes.txt"), "missing.jpg"]


def test_a_reader_that_has_enough_is_no_traceback():
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
    assert (output, error.count("\n")) == ("", 1)
    assert sentence in error


@pytest.mark.parametrize(
    "words", ["predict", "predict PHOTO --k=0", "predict PHOTO --statistics=own", "predict PHOTO --csv --json", ""]
)
def test_a_command_line_that_cannot_be_read_ends_with_2(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert "--help" in capsys.readouterr().err.splitlines()[-1]


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
