"""Recipes, runs and studies: what the study fixed, what a file or a command line may say, and the names that follow."""

import json

import pytest

from normzoo.errors import ConfigError
from normzoo.findings.finding import study_command
from normzoo.findings.original_study import original_study
from training.cli import build_parser, chosen_study
from training.config import PLANS, RECIPE_FIELDS, RECIPES, Recipe, Run, Study, changed_recipe, flag, get_recipe, plan_runs


def recipe_of(words):
    """The recipe of a command `train`."""
    chosen = chosen_study(build_parser().parse_args(["train", "--norm=bn", *words.split()]))
    return chosen.runs(chosen.data, "fp32")[0].recipe


def test_the_recipes_of_the_study():
    paper, first, final = get_recipe("paper"), get_recipe("paper-sgd"), original_study()["protocol"]["final"]
    assert (paper.optimizer, paper.lr, paper.epochs) == (final["optimizer"].lower(), final["lr"], final["epochs"])
    assert (paper.batch_size, paper.depth) == (final["batch_size"], original_study()["architecture"]["layers"])
    assert final["scheduler"].startswith(paper.schedule)
    assert paper.image_size == 32
    assert not any((paper.crop_padding, paper.horizontal_flip, paper.vertical_flip, paper.rotation_degrees))
    assert (first.optimizer, first.lr, first.schedule, first.step_epochs) == ("sgd", 1e-4, "step", 10)
    assert (first.rotation_degrees, first.horizontal_flip, first.vertical_flip) == (20, True, True)


@pytest.mark.parametrize("recipe", [*RECIPES.values(), get_recipe("paper").changed(last_norm="nn")], ids=lambda r: r.name)
def test_recipe_comes_back_from_json(recipe):
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert ("last_norm" in recipe.to_dict()) == bool(recipe.last_norm)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamw"}, "optimizer must be one of adam, sgd, got 'adamw'"),
        ({"last_norm": "none"}, "last_norm must be one of nn, bn, .*, got 'none'"),
        ({"epochs": 0}, "epochs must be .* between 1 and 100,000, got 0"),
        ({"epochs": "many"}, "epochs must be a whole number .*, got 'many'"),
        ({"batch_size": -1}, "batch_size must be .* between 1 and .*, got -1"),
        ({"image_size": 8}, "image_size must be .* between 16 and 1,024, got 8"),
        ({"depth": 9}, r"depth must be 6n\+2 .*, got 9"),
        ({"depth": 60_008}, "depth must be .* between 8 and 1,202, got 60008"),
        ({"lr": 0.0}, "lr must be a number above 0, got 0.0"),
        ({"lr": float("nan")}, "lr must be .*, got nan"),
        ({"clip_norm": "inf"}, "clip_norm must be a number from 0 on, got 'inf'"),
        ({"momentum": 1.5}, "momentum must be a number between 0 and 1, got 1.5"),
        ({"horizontal_flip": "maybe"}, "horizontal_flip must be yes or no, got 'maybe'"),
        ({"crop_padding": 32}, "crop_padding must be between 0 and image_size - 1, got 32"),
        ({"learning_rat": 1}, "Unknown field 'learning_rat'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_value_is_refused_by_name_and_bound(changes, message):
    with pytest.raises(ConfigError, match=message):
        Recipe().changed(**changes)


@pytest.mark.parametrize("name", RECIPE_FIELDS)
def test_option_changes_its_field_and_the_name_of_the_recipe(name):
    words = {bool: ("yes", True), int: ("20", 20), float: ("0.25", 0.25)}
    named = {"optimizer": ("sgd", "sgd"), "schedule": ("step", "step"), "last_norm": ("nn", "nn")}
    named |= {"start_from": ("data/set", "data/set"), "class_weights": ("balanced", "balanced")}
    word, value = named.get(name) or words[RECIPE_FIELDS[name].annotation]
    expected = "paper" if name == "batch_size" else f"paper,{name}={value}".replace("/", "+")
    assert recipe_of(f"{flag(name)}={word}") == get_recipe("paper").changed(**{name: value, "name": expected})
    assert str(RECIPE_FIELDS[name].description).endswith(".")


@pytest.mark.parametrize(
    ("words", "name", "image_size"),
    [
        ("", "paper", 32),
        ("--recipe=strong --data=tiny-imagenet-25-64px", "strong", 64),
        ("--recipe=strong --data=tiny-imagenet-25-64px --image-size=64", "strong", 64),
        ("--recipe=strong --data=tiny-imagenet-25-64px --image-size=32", "strong,image_size=32", 32),
        ("--recipe=strong --data=tiny-imagenet-25 --image-size=64", "strong,image_size=64", 64),
        ("--recipe=strong --data=some/folder", "strong", 32),
    ],
)
def test_image_size_of_a_data_set_is_no_change_of_the_recipe(words, name, image_size):
    assert recipe_of(words) == get_recipe(name.partition(",")[0]).changed(name=name, image_size=image_size)


@pytest.mark.parametrize("data", ["tiny", "tiny-imagenet-25-64px"])
@pytest.mark.parametrize("name", PLANS)
def test_what_trains_a_run_of_a_plan_gives_the_same_run(name, data):
    for run in plan_runs(PLANS[name], data, [0], "fp32", 0.1):
        chosen = chosen_study(build_parser().parse_args(["train", *run.options()]))
        assert chosen.runs(data, chosen.amp) == [run]
        assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run


@pytest.mark.parametrize("name", ["paper", "strong,epochs=2,lr=0.05,horizontal_flip=False", "strong,batch_size=8,lr=0.05"])
def test_the_commands_that_are_printed_run(name):
    command = study_command("tiny", name, ["bn", "torch-bn"], (0, 1))
    chosen = chosen_study(build_parser().parse_args(command.removeprefix("python -m training ").split()))
    runs = chosen.runs("tiny", "fp32")
    assert [(run.recipe.name, run.norm, run.seed) for run in runs] == [
        (name, norm, seed) for seed in (0, 1) for norm in ("bn", "torch-bn")
    ]


def test_variant_names_a_batch_size_that_is_not_the_recipes():
    sizes = {size: Run("tiny", changed_recipe("paper", {"batch_size": size}), "gn").variant for size in (32, 8)}
    assert sizes == {32: "gn", 8: "gn-bs8"}
    with pytest.raises(ConfigError, match=r"seed must be .*got -1"):
        Run("tiny", RECIPES["paper"], "bn", -1)


GRID = 'recipe = "strong"\nnorm = ["bn", "gn"]\nseeds = "0-1"\nlr = [0.05, 0.1]\nbatch_size = [8, 32]\n'


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        (GRID, [(lr, size) for size in (8, 32) for lr in (0.05, 0.1)]),
        (f'{GRID}combine = "pairs"\n', [(0.05, 8), (0.1, 32)]),
        (f"{GRID}epochs = 3\n".replace("[8, 32]", "16"), [(0.05, 16), (0.1, 16)]),
    ],
)
def test_study_is_each_combination_of_its_lists_or_pairs_and_its_file_makes_it_again(text, grid, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(text)
    runs = Study.read(path, {}).runs("tiny", "fp32")
    assert [(run.seed, run.recipe.lr, run.recipe.batch_size, run.norm) for run in runs] == [
        (seed, *values, norm) for seed in (0, 1) for values in grid for norm in ("bn", "gn")
    ]
    path.write_text(Study.read(path, {}).to_toml("tiny"))
    assert Study.read(path, {}).runs("tiny", "fp32") == runs
    assert {run.recipe.lr for run in Study.read(path, {"lr": "0.3"}).runs("tiny", "fp32")} == {0.3}  # the command line wins
    words = ["study", "--recipe=strong", "--norm=bn, gn", "--seeds=0-1", "--lr=0.05,0.1", "--batch-size=8,32"]
    if "pairs" not in text and "16" not in text:
        assert chosen_study(build_parser().parse_args(words)).runs("tiny", "fp32") == runs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lerning_rate = 0.1", "Unknown setting 'lerning_rate'"),
        ("reciep = 'paper'", "Did you mean recipe"),
        ("lr = [0.1, -1]", "lr must be a number above 0, got -1"),
        ("recipe = ['papre']", "Unknown recipe 'papre'"),
        ("lr = [0.1, 0.2]\nepochs = [1, 2, 3]\ncombine = 'pairs'", "lists of equal length"),
        ("seeds = 'one'", "seeds must be whole numbers"),
        ("plan = 'study'\nlr = 0.1", "plan or these"),
        ("plan = 'stduy'", "plan must be one of"),
        ("lr = ", "must be a TOML file"),
    ],
)
def test_file_that_asks_for_what_cannot_be_is_refused_by_name(text, message, tmp_path):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        Study.read(tmp_path / "study.toml", {})
