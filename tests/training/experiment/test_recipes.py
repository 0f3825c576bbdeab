"""The recipes: what the study fixed, and what a recipe may not say."""

import dataclasses
import json

import pytest

from normzoo.errors import ConfigError
from training.experiment.recipes import RECIPES, Recipe, get_recipe

FIELDS = dataclasses.fields(Recipe)


def test_paper_is_the_final_recipe_of_the_study() -> None:
    paper = get_recipe("paper")
    assert (paper.optimizer, paper.lr, paper.schedule, paper.epochs, paper.batch_size) == ("adam", 1e-4, "cosine", 50, 32)
    assert (paper.depth, paper.image_size) == (14, 32)
    assert not any((paper.crop_padding, paper.horizontal_flip, paper.vertical_flip, paper.rotation_degrees))


def test_paper_sgd_is_the_first_recipe_of_the_study() -> None:
    first = get_recipe("paper-sgd")
    assert (first.optimizer, first.lr, first.schedule, first.step_epochs) == ("sgd", 1e-4, "step", 10)
    assert (first.rotation_degrees, first.horizontal_flip, first.vertical_flip) == (20, True, True)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_comes_back_from_json(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.name == name
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_last_norm_is_told_only_where_it_is_another() -> None:
    assert "last_norm" not in get_recipe("paper").to_dict()
    changed = get_recipe("paper").changed(last_norm="nn")
    assert Recipe(**changed.to_dict()) == changed


def test_unknown_recipe_names_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"Unknown recipe 'papre'. Choose one of: paper, paper-sgd"):
        get_recipe("papre")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_has_a_sentence(field: "dataclasses.Field[object]") -> None:
    assert field.metadata["help"].endswith(".")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamw"}, "optimizer must be one of adam, sgd, got 'adamw'"),
        ({"last_norm": "none"}, "last_norm must be one of nn, bn, .*, got 'none'"),
        ({"schedule": "linear"}, "schedule must be one of cosine, step, one-cycle, got 'linear'"),
        ({"epochs": 0}, "epochs must be between 1 and .*, got 0"),
        ({"batch_size": -1}, "batch_size must be between 1 and .*, got -1"),
        ({"image_size": 0}, "image_size must be between 1 and .*, got 0"),
        ({"step_epochs": 0}, "step_epochs must be between 1 and .*, got 0"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
        ({"lr": float("nan")}, "lr must be positive, got nan"),
        ({"momentum": 1.5}, "momentum must be between 0 and 1, got 1.5"),
        ({"weight_decay": -1e-4}, "weight_decay must be between 0 and inf, got -0.0001"),
        ({"label_smoothing": 2.0}, "label_smoothing must be between 0 and 1, got 2.0"),
        ({"clip_norm": -1.0}, "clip_norm must be between 0 and inf, got -1.0"),
        ({"warmup": float("nan")}, "warmup must be between 0 and 1, got nan"),
        ({"crop_padding": 32}, "crop_padding must be between 0 and image_size - 1, got 32"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_value_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe().changed(**changes)
