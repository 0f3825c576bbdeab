"""The plans: which runs make up the study, and the search for its strong recipe, as data."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from normzoo.errors import ConfigError
from normzoo.nn.named_norms import own_sha256
from normzoo.nn.registry import NORM_LAYERS
from training.data.sources import own_image_size
from training.experiment.recipes import Recipe, get_recipe
from training.experiment.runs import Run

ZOO = tuple(NORM_LAYERS)


@dataclass(frozen=True)
class Part:
    """Runs of one recipe, with the fields that are changed in it."""

    recipe: str
    norms: tuple[str, ...] = ZOO
    changes: dict[str, Any] = field(default_factory=dict)


#: The study, in order of worth: what the page needs first.
STUDY = (
    Part("paper"),
    Part("paper", ("torch-bn",)),
    Part("strong"),
    Part("paper-sgd", ("bn", "torch-bn")),
    *(Part("paper", ("bn", "gn"), {"batch_size": size}) for size in (128, 8)),
)

#: What is trained to choose `strong`: the norm that learns best of all and the one that diverges first, for 15 epochs, on
#: nine tenths of the training images, judged by the other tenth. The validation images have no say.
SEARCH_HOLDOUT = 0.1
SEARCH = tuple(
    Part("strong-start", ("bn", "nn"), {"epochs": 15, **changes})
    for changes in (
        {},
        {"clip_norm": 1.0},
        {"lr": 0.2, "clip_norm": 1.0},
        {"batch_size": 64, "clip_norm": 1.0},
        {"clip_norm": 1.0, "label_smoothing": 0.1},
        {"optimizer": "adam", "lr": 0.003, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": 1.0},
        {"batch_size": 32, "lr": 0.05, "clip_norm": 1.0},
        {"batch_size": 64, "lr": 0.2, "clip_norm": 2.0},
        {"batch_size": 64, "lr": 0.2, "clip_norm": 1.0},
        {"batch_size": 32, "lr": 0.1, "clip_norm": 2.0},
    )
)

#: The second round: the four candidates with the best mean over those two norms, now with all six. The best mean over the
#: six wins, and is `strong`.
SEARCH_FINAL = tuple(
    Part("strong-start", ZOO, {"epochs": 15, **changes})
    for changes in (
        {"batch_size": 64, "lr": 0.2, "clip_norm": 1.0},
        {"lr": 0.2, "clip_norm": 1.0},
        {"batch_size": 32, "lr": 0.1, "clip_norm": 2.0},
        {"batch_size": 64, "clip_norm": 1.0},
    )
)

PLANS: dict[str, tuple[Part, ...]] = {"study": STUDY, "search": SEARCH, "search-final": SEARCH_FINAL}


def get_plan(name: str) -> tuple[Part, ...]:
    """The plan of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PLANS:
        raise ConfigError(f"Unknown plan {name!r}. Choose one of: {', '.join(PLANS)}.")
    return PLANS[name]


def plan_runs(plan: tuple[Part, ...], data: str, seeds: list[int], precision: str, holdout: float = 0.0) -> list[Run]:
    """The runs of a plan, in its order: all of one seed before the next."""
    return [
        Run(data, changed_recipe(part.recipe, part.changes, data), norm, seed, precision, holdout, own_sha256(norm))
        for seed in seeds
        for part in plan
        for norm in part.norms
    ]


def changed_recipe(name: str, changes: dict[str, Any], data: str = "") -> Recipe:
    """The named recipe with some fields replaced; changed in more than its batch size, it gets a name of its own.

    A field that is replaced by what it was is none of the changes: the same training has one name.

    Args:
        data: name of the data set, whose own image size is none of the changes either.
    """
    recipe = get_recipe(name).changed(image_size=own_image_size(data))
    ordered = {
        field: changes[field] for field, value in dataclasses.asdict(recipe).items() if changes.get(field, value) != value
    }
    suffix = "" if ordered.keys() <= {"batch_size"} else "".join(f",{field}={value}" for field, value in ordered.items())
    return recipe.changed(name=recipe.name + suffix, **ordered)


def train_options(run: Run) -> list[str]:
    """The options of `python -m training train` that make this run."""
    base = get_recipe(run.recipe.base).changed(image_size=own_image_size(run.data))
    options = {"norm": run.norm, "recipe": base.name, "data": run.data, "seed": run.seed, "amp": run.precision}
    if run.holdout:
        options["holdout"] = run.holdout
    fields, usual = dataclasses.asdict(run.recipe), dataclasses.asdict(base)
    options |= {key: value for key, value in fields.items() if key != "name" and value != usual[key]}
    words = {True: "yes", False: "no"}
    return [f"--{key.replace('_', '-')}={words[value] if isinstance(value, bool) else value}" for key, value in options.items()]
