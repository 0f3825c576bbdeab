"""The command line: what it offers, what it takes, and that it says what is wrong."""

import argparse
import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from normzoo.analysis.commands import study_command
from tests.support.tiny import load_tiny
from training import __main__ as command_line
from training.__main__ import build_parser, main
from training.cli.options import bool_word, chosen_recipe
from training.experiment.recipes import Recipe, get_recipe

COMMANDS = ["data", "train", "study", "package", "evaluate", "contrast", "unknowns", "report", "publish", "bench"]
FIELDS = [field for field in dataclasses.fields(Recipe) if field.name != "name"]


@pytest.fixture(autouse=True)
def _unwrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal so wide that no sentence is broken, and an allocator that is left as it is."""
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(command_line, "keep_freed_memory", lambda: None)


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def helped(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    text = helped([], capsys)
    assert text.startswith("usage: python -m training [-h] COMMAND ...")
    assert [command for command in COMMANDS if f" {command} " not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"usage: python -m training {command}" in helped([command], capsys)


@pytest.mark.parametrize("command", ["train", "study"])
def test_every_field_of_a_recipe_is_an_option_with_its_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = helped([command], capsys)
    for field in FIELDS:
        assert f"{option(field.name)} X {field.metadata['help']}" in text


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_option_changes_its_field_and_the_name_of_the_recipe(field: "dataclasses.Field[object]") -> None:
    words: dict[object, tuple[str, object]] = {bool: ("yes", True), int: ("20", 20), float: ("0.25", 0.25)}
    named = {"optimizer": ("sgd", "sgd"), "schedule": ("step", "step"), "last_norm": ("nn", "nn")}
    word, value = named.get(field.name) or words[field.type]
    options = build_parser().parse_args(["train", "--norm=bn", option(field.name), word])
    recipe = chosen_recipe(options)
    name = "paper" if field.name == "batch_size" else f"paper,{field.name}={value}"
    assert recipe == get_recipe("paper").changed(**{field.name: value, "name": name})


def test_without_options_the_recipe_is_as_named() -> None:
    options = build_parser().parse_args(["train", "--norm=bn", "--recipe=paper-sgd"])
    assert chosen_recipe(options) == get_recipe("paper-sgd")


@pytest.mark.parametrize(
    ("words", "name", "image_size"),
    [
        ("--data=tiny-imagenet-25-64px", "strong", 64),
        ("--data=tiny-imagenet-25-64px --image-size=64", "strong", 64),
        ("--data=tiny-imagenet-25-64px --image-size=32", "strong,image_size=32", 32),
        ("--data=tiny-imagenet-25 --image-size=64", "strong,image_size=64", 64),
        ("--data=some/folder", "strong", 32),
    ],
)
def test_image_size_of_a_data_set_is_no_change_of_the_recipe(words: str, name: str, image_size: int) -> None:
    recipe = chosen_recipe(build_parser().parse_args(["train", "--norm=bn", "--recipe=strong", *words.split()]))
    assert recipe == get_recipe("strong").changed(name=name, image_size=image_size)


def test_bool_is_yes_or_no() -> None:
    assert (bool_word("yes"), bool_word("no")) == (True, False)
    for word in ("true", "1", "", "Yes"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"yes or no, got '{word}'"):
            bool_word(word)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "the following arguments are required: --norm"),
        (["train", "--norm=bn", "--horizontal-flip=maybe"], "--horizontal-flip: yes or no, got 'maybe'"),
        (["train", "--norm=bn", "--threads=0"], "--threads: a whole number above 0, got '0'"),
        (["train", "--norm=bn", "--stop-after=-1"], "--stop-after: a whole number above 0, got '-1'"),
        (["train", "--norm=bn", "--epochs=many"], "--epochs: invalid int value: 'many'"),
        (["train", "--norm=bn", "--compile=maybe"], "--compile: invalid choice: 'maybe' (choose from"),
        (["study", "--workers=0"], "--workers: a whole number above 0, got '0'"),
        (["study", "--seeds=0,one"], "--seeds: whole numbers with commas between them, got '0,one'"),
        (["data", "get", "cifar-10"], "invalid choice: 'get' (choose from"),
    ],
    ids=" ".join,
)
def test_word_that_cannot_be_read_ends_with_2_and_says_why(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --norm=grup", "Unknown norm 'grup'. Choose one of: nn, bn, in, bin, gn, ln."),
        ("study --norm=bn,grup", "Unknown norm 'grup'. Choose from: nn, bn, in, bin, gn, ln, torch-bn"),
        ("train --norm=bn --recipe=papre", "Unknown recipe 'papre'. Choose one of: paper, paper-sgd"),
        ("study --recipe=papre", "Unknown recipe 'papre'. Choose one of: paper, paper-sgd"),
        (
            "train --norm=bn --data=birds",
            "Unknown data set 'birds'. Choose one of: tiny-imagenet-25, tiny-imagenet-25-64px, cifar-10.",
        ),
        ("train --norm=bn --data=cifar-10", "cifar-10 is not here yet. Fetch it with: python -m training data fetch cifar-10"),
        ("data fetch birds", "Unknown data set 'birds'. Choose one of: tiny-imagenet-25, tiny-imagenet-25-64px, cifar-10."),
        ("data fetch cifar-10 --archive=nowhere.zip", "There is no archive at nowhere.zip. Pass --archive PATH-OR-URL"),
        ("train --norm=bn --amp=fp8", "amp must be one of auto, fp32, bf16, got 'fp8'."),
        ("train --norm=bn --depth=9", "depth must be 6n+2 (8, 14, 20, …), got 9."),
        ("train --norm=bn --lr=0", "lr must be positive, got 0.0."),
        ("train --norm=bn --seed=-1", "seed must be 0 or more"),
        ("train --norm=bn --lr=inf", "lr must be positive, got inf."),
        ("train --norm=bn --holdout=2", "a holdout must be a share between 0 and 1, got 2.0."),
        ("train --norm=bn --holdout=nan", "a holdout must be a share between 0 and 1, got nan."),
        ("train --norm=bn --holdout=0.001", "a holdout of 0.001 leaves no image of a class on one side"),
        ("train --norm=bn --image-size=100000", "image_size must be between 1 and 1,024, got 100000."),
        ("train --norm=bn --epochs=99999999999", "epochs must be between 1 and 100,000, got 99999999999."),
        ("train --norm=bn --depth=60008", "depth must be between 1 and 1,202, got 60008."),
        ("train --norm=bn --clip-norm=inf", "clip_norm must be between 0 and inf, got inf."),
        ("data fetch cifar-10 --image-size=100000", "image_size must be between 1 and 1,024, got 100000."),
        ("train --norm=bn --runs=data/tiny-16px/dataset.json", "data/tiny-16px/dataset.json"),
        ("package --runs=nowhere", "No finished run under nowhere. Train one with: python -m training study"),
        ("report --checkpoints=nowhere", "No packaged checkpoint under nowhere. Make them with: python -m training package"),
        ("unknowns --checkpoints=nowhere", "No packaged checkpoint under nowhere. Make them with: python -m training package"),
        ("contrast --checkpoints=nowhere", "No packaged checkpoint under nowhere. Make them with: python -m training package"),
        ("publish models user/repo --checkpoints=nowhere --dry-run", "nowhere"),
        ("evaluate --checkpoints=nowhere", "No packaged checkpoint under nowhere. Make them with: python -m training package"),
    ],
)
def test_impossible_wish_ends_with_2_and_one_message(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    words = arguments.split()
    if words[0] in ("train", "study") and "--data" not in arguments:
        words += ["--data=tiny", "--compile=off"] + ["--image-size=16"] * ("--image-size" not in arguments)
    assert main(words) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_blanks_between_norms_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    words = ["study", "--data=tiny", "--image-size=16", "--depth=8", "--epochs=1", "--dry-run", f"--runs={tmp_path / 'runs'}"]
    assert main([*words, "--norm=bn, gn"]) == 0
    assert "2 runs to train, " in capsys.readouterr().out


def test_images_too_small_for_a_norm_are_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for level, name in enumerate(("ant", "bee")):
        for split in ("train", "val"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (9, 9), (level, number, 9)).save(tmp_path / "set" / split / name / f"{number}.png")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    words = [f"--data={tmp_path / 'set'}", "--depth=8", "--epochs=1", "--compile=off", f"--runs={tmp_path / 'runs'}"]
    assert main(["train", "--norm=in", "--image-size=4", *words]) == 2
    assert "in cannot be trained on 4 px in a batch of 6" in capsys.readouterr().err
    assert main(["train", "--norm=bn", "--image-size=4", "--batch-size=5", *words]) == 2
    assert "bn cannot be trained on 4 px in a batch of 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["paper", "strong,epochs=2,lr=0.05,horizontal_flip=False", "strong,batch_size=8,lr=0.05"])
def test_the_commands_that_are_printed_run(name: str) -> None:
    command = study_command("tiny", name, ["bn", "torch-bn"], (0, 1))
    options = build_parser().parse_args(command.removeprefix("python -m training ").split())
    assert chosen_recipe(options).name == name
    assert (options.norm, options.seeds, options.data) == ("bn,torch-bn", [0, 1], "tiny")


def test_fetch_says_where_the_images_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path))
    (tmp_path / "cifar-10-32px").mkdir()
    assert main(["data", "fetch", "cifar-10"]) == 0
    assert capsys.readouterr().out == f"cifar-10 is in {tmp_path / 'cifar-10-32px'}.\n"


def test_train_says_where_the_result_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    words = ["--data=tiny", "--depth=8", "--image-size=16", "--epochs=2", "--compile=off", f"--runs={tmp_path / 'runs'}"]
    assert main(["train", "--norm=gn", "--stop-after=1", *words]) == 0
    *_, first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("gn seed 0 epoch 1/2  train loss ")
    folder = tmp_path / "runs/tiny/paper,depth=8,image_size=16,epochs=2/gn/seed-0"
    assert last == f"gn: 1 of 2 epochs are in {folder}."
    assert (folder / "history.csv").is_file()
