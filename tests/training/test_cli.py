"""The command line: what it offers, what it takes, and that it says what is wrong before anything is trained or written."""

import io
import sys
from pathlib import Path

import pytest

from tests.support.tiny import load_tiny
from training.cli import main
from training.config import RECIPE_FIELDS, flag

COMMANDS = ["data", "train", "study", "package", "evaluate", "measure", "report", "publish", "bench"]
FORMER = ["contrast", "companies", "unknowns"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the tiny images are, on a terminal so wide that no sentence is broken, with the allocator left as it is."""
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    load_tiny(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize("command", ["", *COMMANDS, *FORMER])
def test_every_command_has_help_and_the_recipes_fields_are_options_with_their_sentences(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"usage: python -m training {command}".strip() in text
    if not command:
        assert [each for each in [*COMMANDS, *FORMER] if f" {each} " in text] == COMMANDS
    for name, about in RECIPE_FIELDS.items() if command in ("train", "study") else ():
        assert f"{flag(name)} X {about.description}" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train", "the following arguments are required: --norm"),
        ("train --norm=bn --reciep=paper", "unknown argument --reciep. Did you mean --recipe?"),
        ("study --wrokers 2", "unknown argument --wrokers. Did you mean --workers?"),
        ("study --workers=0", "--workers: must be a whole number between 1 and 1,000,000, got '0'"),
        ("data get cifar-10", "invalid choice: 'get' (choose from"),
    ],
)
def test_word_that_is_no_option_ends_with_2_and_says_why(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments.split())
    assert message in capsys.readouterr().err


NOTHING = "No packaged checkpoint under nowhere. Package runs with: python -m training package"
SETS = "Unknown data set 'birds'. Choose one of: tiny-imagenet-25, tiny-imagenet-25-64px, cifar-10."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --norm=bn,gn", "one norm, got 'bn,gn'"),
        ("train --norm=bn --lr=0.1,0.2", "one lr, got '0.1,0.2'"),
        ("study --norm=bn,grup", "Unknown norm 'grup'. Choose from: nn, bn, in, bin, gn, ln, torch-bn"),
        ("study --recipe=papre", "Unknown recipe 'papre'. Choose one of: paper, paper-sgd"),
        ("study --seeds=0,one", "seeds must be whole numbers, such as 0,1,2 or 0-4, got '0,one'"),
        ("study nowhere.toml", "nowhere.toml"),
        ("study --norm=all --seeds=0-99", "600 runs"),
        ("train --norm=bn --data=birds", SETS),
        ("train --norm=bn --data=cifar-10", "cifar-10 is missing. Fetch it with: python -m training data fetch cifar-10"),
        ("data fetch birds", SETS),
        ("data fetch cifar-10 --archive=nowhere.zip", "no archive at nowhere.zip"),
        ("data fetch cifar-10 --image-size=8", "image_size must be between 16 and 1,024, got 8."),
        ("train --norm=bn --device=mps", "--device mps needs an Apple GPU"),
        ("train --norm=bn --threads=0", "threads must be a whole number between 1 and 1,000,000, got '0'."),
        ("train --norm=bn --holdout=0.001", "A holdout of 0.001 leaves a class without"),
        ("train --norm=bn --runs=data/tiny-16px/dataset.json", "data/tiny-16px/dataset.json"),
        ("study --norm=bn --search=lrr=0.1..1", "Did you mean lr?"),
        ("study --norm=bn --search=lr=1..0.1", "such as lr=0.01..1"),
        ("study --norm=bn --search=optimizer=adam..sgd", "such as lr=0.01..1"),
        ("study --norm=bn --search=lr=0..1", "lr must be a number above 0"),
        ("study --partition=gpu", "--partition needs --launcher slurm"),
        ("study --retry --workers=2", "--retry needs --launcher slurm"),
        ("study --launcher=slurm --workers=2", "--array-limit"),
        ("study --launcher=slurm --device=cuda", "--gpus-per-run 0"),
        ("package --runs=nowhere", "No finished run under nowhere. Train one with: python -m training study"),
        ("report --checkpoints=nowhere", NOTHING),
        ("evaluate --checkpoints=nowhere", NOTHING),
        ("publish models user/repo --checkpoints=nowhere --dry-run", NOTHING),
    ],
)
def test_impossible_wish_ends_with_2_and_one_message(arguments, message, folder, capsys):
    words = arguments.split()
    if words[0] in ("train", "study") and "--data" not in arguments:
        words[1:1] = ["--data=tiny", "--compile=off", "--image-size=16", "--amp=fp32"]
    assert main(words) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""
    assert [path.name for path in folder.iterdir()] == ["data"]


def test_fetch_and_train_say_where_the_results_are(folder, capsys):
    (folder / "data" / "cifar-10-32px").mkdir()
    assert main(["data", "fetch", "cifar-10"]) == 0
    assert str(folder / "data" / "cifar-10-32px") in capsys.readouterr().out
    words = ["--data=tiny", "--depth=8", "--image-size=16", "--epochs=2", "--compile=off", "--amp=fp32"]
    assert main(["train", "--norm=gn", "--stop-after=1", *words]) == 0
    place = Path("runs/tiny/paper,depth=8,image_size=16,epochs=2/gn/seed-0")
    assert capsys.readouterr().out.splitlines()[-1] == f"gn: 1 of 2 epochs in {place}."
    assert (place / "history.csv").is_file()


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "usual here"])
def test_no_character_stops_the_output(encoding, asked, monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setenv("PYTHONIOENCODING", encoding if asked else "")
    assert main(["evaluate", "--checkpoints=空"]) == 2
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    pipe.flush()
    text = pipe.buffer.getvalue().decode(encoding if asked else "utf-8")
    assert ("…" in text) == (not asked or encoding == "cp1252")
