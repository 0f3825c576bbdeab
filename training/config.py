"""Recipes, runs and studies of many runs: configurations that are checked before anything trains."""

import dataclasses
import itertools
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from normzoo.config import config, fields_of, nearest
from normzoo.errors import ConfigError
from normzoo.nn.own_norm import name_own_norms, own_sha256
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import norm_keys
from normzoo.variants import Variant
from training.data.dataset import MAX_IMAGE_SIZE, MIN_IMAGE_SIZE
from training.data.sources import own_image_size

ZOO = tuple(NORM_LAYERS)
PRECISIONS = ("fp32", "bf16")
#: Separates data set and held-out share in the name of a folder.
_HOLDOUT = ",holdout="


def _help(sentence: str, **bounds: Any) -> Any:
    return Field(description=sentence, **bounds)


@config
class Recipe:
    """One way to train: all that determines the result except norm, images and seed; the descriptions are the help texts."""

    name: Annotated[str, _help("Name of the recipe, and of its folder.")] = "custom"
    depth: Annotated[int, _help("Layers of the network, 6n+2.", ge=8, le=1_202)] = 14
    last_norm: Annotated[str, _help("Norm of the last layer, if it differs from the others (nn: none).")] = ""
    image_size: Annotated[int, _help("Side of the square images, in pixels.", ge=MIN_IMAGE_SIZE, le=MAX_IMAGE_SIZE)] = 32
    epochs: Annotated[int, _help("Passes over the training images.", ge=1, le=100_000)] = 50
    batch_size: Annotated[int, _help("Images per step; the last batch of an epoch may be smaller.", ge=1, le=1_000_000)] = 32
    optimizer: Annotated[Literal["adam", "sgd"], _help("adam (betas 0.9, 0.999) or sgd.")] = "adam"
    lr: Annotated[float, _help("Highest learning rate.", gt=0)] = 1e-4
    schedule: Annotated[Literal["cosine", "step", "one-cycle"], _help("cosine, step or one-cycle (up, then to 0).")] = "cosine"
    step_epochs: Annotated[int, _help("Epochs between drops of the step schedule.", ge=1, le=100_000)] = 10
    step_factor: Annotated[float, _help("Factor of each drop of the step schedule.", ge=0, le=1)] = 0.1
    warmup: Annotated[float, _help("Share of all steps in which the one-cycle schedule rises from 0.", ge=0, le=1)] = 0.0
    momentum: Annotated[float, _help("Momentum of sgd (Nesterov).", ge=0, le=1)] = 0.0
    weight_decay: Annotated[float, _help("L2 penalty of the optimizer on all parameters except gates.", ge=0)] = 0.0
    clip_norm: Annotated[float, _help("Clip the norm of the gradient to this; 0: off.", ge=0)] = 0.0
    label_smoothing: Annotated[float, _help("Share of the target spread over all classes (not in reports).", ge=0, le=1)] = 0.0
    crop_padding: Annotated[int, _help("Random shift by up to this many pixels, edges mirrored.", ge=0)] = 0
    horizontal_flip: Annotated[bool, _help("Mirror half of the images horizontally.")] = False
    vertical_flip: Annotated[bool, _help("Mirror half of the images vertically.")] = False
    rotation_degrees: Annotated[float, _help("Random rotation by up to this angle, corners black.", ge=0, le=180)] = 0.0
    start_from: Annotated[str, _help("Packaged model set to take initial weights from, by norm, except the last layer.")] = ""
    class_weights: Annotated[Literal["", "balanced"], _help("balanced: every class has the same weight in the loss.")] = ""
    statistics_batch: Annotated[int, _help("Images that share batch statistics (ghost batches); 0: the batch.", ge=0)] = 0
    gate_lr_factor: Annotated[float, _help("Learning rate of the gates of bin, as a multiple of --lr.", ge=0)] = 10.0

    def __post_init__(self) -> None:
        if self.last_norm and self.last_norm not in norm_keys():
            raise ConfigError(f"last_norm must be one of {', '.join(norm_keys())}, got {self.last_norm!r}.")
        if self.depth % 6 != 2:
            raise ConfigError(f"depth must be 6n+2 (8, 14, 20, …), got {self.depth}.")
        if self.crop_padding >= self.image_size:
            raise ConfigError(f"crop_padding must be between 0 and image_size - 1, got {self.crop_padding}.")

    @property
    def base(self) -> str:
        """Name of the recipe that was changed to make this one, or its own."""
        return self.name.partition(",")[0]

    def changed(self, **changes: Any) -> "Recipe":
        """The same recipe with some fields replaced."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON; fields added after the first stored recipes only if they are set."""
        younger = ("last_norm", "start_from", "class_weights", "statistics_batch")
        return {name: value for name, value in dataclasses.asdict(self).items() if value or name not in younger}


#: The fields that can be changed in a recipe.
RECIPE_FIELDS = {name: about for name, about in fields_of(Recipe).items() if name != "name"}

#: Start of the search for `strong`.
_START = Recipe(name="strong-start", batch_size=128, crop_padding=4, horizontal_flip=True).changed(
    optimizer="sgd", lr=0.1, schedule="one-cycle", warmup=0.2, momentum=0.9, weight_decay=5e-4
)
_ALL = (
    Recipe(name="paper"),
    Recipe(name="paper-sgd", optimizer="sgd", schedule="step", rotation_degrees=20, horizontal_flip=True, vertical_flip=True),
    # The best of `SEARCH_FINAL` on held-out training images.
    _START.changed(name="strong", batch_size=64, lr=0.2, clip_norm=1.0),
    _START,
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name."""
    try:
        return RECIPES[name]
    except KeyError:
        raise ConfigError(f"Unknown recipe {name!r}. Choose one of: {', '.join(RECIPES)}.") from None


def changed_recipe(name: str, changes: Mapping[str, Any], data: str = "") -> Recipe:
    """The named recipe with some fields replaced, and named after them.

    The name lists the fields that differ from the recipe, in their order. A batch size that alone differs is part of the
    variant instead (`bn-bs8`), and the data set's own image size is not a change. It also names a folder, so `/` becomes `+`.
    """
    recipe = get_recipe(name).changed(image_size=own_image_size(data))
    changed = recipe.changed(**changes)
    ordered = {key: value for key in RECIPE_FIELDS if (value := getattr(changed, key)) != getattr(recipe, key)}
    suffix = "".join(f",{key}={value}".replace("/", "+") for key, value in ordered.items())
    return changed.changed(name=recipe.name + ("" if ordered.keys() <= {"batch_size"} else suffix))


@config
class Run:
    """Settings of one run, which with the images determine the result.

    Args:
        data: name of the data set.
        norm: a key that `ResNet` takes.
        precision: fp32 or bf16 (convolutions only).
        holdout: share of the training images used in place of the validation images; 0: none.
        norm_sha256: of the file of a custom norm; empty for others.
    """

    data: str
    recipe: Recipe
    norm: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: str = "fp32"
    holdout: float = 0.0
    norm_sha256: str = ""

    @property
    def variant(self) -> str:
        """The norm, with the batch size if it is not the recipe's: `bn`, `bn-bs8`."""
        usual = RECIPES.get(self.recipe.name, self.recipe).batch_size
        norm = Variant.parse(self.norm)
        size = self.recipe.batch_size if self.recipe.batch_size != usual else None
        return Variant(norm.norm, size, norm.is_reference).key

    def folder(self, root: Path) -> Path:
        """Return its folder below that of all raw runs."""
        return root / self._images / self.recipe.name / self.variant / f"seed-{self.seed}"

    @property
    def _images(self) -> str:
        return f"{self.data}{_HOLDOUT}{self.holdout}" if self.holdout else self.data

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON; the holdout is part of the data set's name."""
        return {
            "data": self._images,
            "norm": self.norm,
            "seed": self.seed,
            "precision": self.precision,
            "recipe": self.recipe.to_dict(),
            **({"norm_sha256": self.norm_sha256} if self.norm_sha256 else {}),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Run":
        """Return the run written by `to_dict`."""
        data, _, share = fields["data"].partition(_HOLDOUT)
        return cls(**{**fields, "data": data, "recipe": Recipe(**fields["recipe"]), "holdout": float(share or 0)})

    def options(self) -> list[str]:
        """Options of `python -m training train` for this run."""
        base = get_recipe(self.recipe.base).changed(image_size=own_image_size(self.data))
        options: dict[str, Any] = {"norm": self.norm, "recipe": base.name, "data": self.data, "seed": self.seed}
        options["amp"] = self.precision
        if self.holdout:
            options["holdout"] = self.holdout
        options |= {key: value for key in RECIPE_FIELDS if (value := getattr(self.recipe, key)) != getattr(base, key)}
        words = {True: "yes", False: "no"}
        return [f"{flag(key)}={words[value] if isinstance(value, bool) else value}" for key, value in options.items()]

    def command(self) -> str:
        """The command that reproduces this run on any machine: names in place of paths."""
        try:
            options = self.options()
        except ConfigError:  # a recipe made in Python
            options = [f"--norm={self.norm}", f"--data={self.data}", f"--seed={self.seed}"]
        if self.norm_sha256:
            options[0] = f"--norm=norm.py:{self.norm}"
        return " ".join(["python -m training train", *options])


@config
class Execution:
    """How a run is executed: nothing that changes its result beyond rounding."""

    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], _help("cpu, cuda, mps or auto: CUDA if there is a GPU.")] = "auto"
    compile: Annotated[Literal["auto", "on", "off"], _help("torch.compile: on, off or auto: if it saves time.")] = "auto"
    log_to: Annotated[Literal["tensorboard", "trackio", "wandb"] | None, _help("Log to tensorboard, trackio or wandb.")] = None
    threads: Annotated[int | None, _help("Cores to use (default: all).", ge=1, le=1_000_000)] = None
    stop_after: Annotated[int | None, _help("Stop after this epoch; the same command resumes.", ge=1)] = None
    sync_norms: Annotated[bool, _help("Under torchrun: batch statistics over all processes.")] = True
    retrain: Annotated[bool, _help("Set aside runs with other images or settings, and train them again.")] = False


def flag(name: str) -> str:
    """Return the option of a field: `batch_size` -> `--batch-size`."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Part:
    """Runs of one recipe, with the fields that are changed in it."""

    recipe: str
    norms: tuple[str, ...] = ZOO
    changes: dict[str, Any] = field(default_factory=dict)


#: The study; what the page needs comes first.
STUDY = (
    Part("paper"),
    Part("paper", ("torch-bn",)),
    Part("strong"),
    Part("paper-sgd", ("bn", "torch-bn")),
    *(Part("paper", ("bn", "gn"), {"batch_size": size}) for size in (128, 8)),
)
#: Runs to choose `strong`: the norm that learns best and the one that diverges first, for 15 epochs, on nine tenths of the
#: training images, judged on the other tenth.
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
#: The second round: the four candidates with the best mean over those two norms, with all six. The best one is `strong`.
SEARCH_FINAL = tuple(dataclasses.replace(SEARCH[place], norms=ZOO) for place in (8, 2, 9, 3))
PLANS: dict[str, tuple[Part, ...]] = {"study": STUDY, "search": SEARCH, "search-final": SEARCH_FINAL}


def plan_runs(plan: Iterable[Part], data: str, seeds: Iterable[int], precision: str, holdout: float = 0.0) -> list[Run]:
    """The runs of a plan in order, one seed after the other."""
    parts = [(changed_recipe(part.recipe, part.changes, data), part.norms) for part in plan]
    return [
        Run(data, recipe, norm, seed, precision, holdout, own_sha256(norm))
        for seed in seeds
        for recipe, norms in parts
        for norm in norms
    ]


@config
class Study:
    """Runs of one file or one command: every combination of the listed values, or the lists in parallel.

    `changes` holds the values of the recipe's fields.
    """

    data: Annotated[str, _help("A data set to fetch, or a folder of images.")] = "tiny-imagenet-25"
    plan: Annotated[Literal["", "study", "search", "search-final"], _help("A predefined list of runs.")] = ""
    recipe: tuple[str, ...] = ("paper",)
    norm: tuple[str, ...] = ("all",)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = (0,)
    holdout: Annotated[float, _help("Share of the training images to validate on.", ge=0, lt=1)] = 0.0
    amp: Annotated[Literal["auto", "fp32", "bf16"], _help("Precision of the convolutions.")] = "auto"
    combine: Annotated[Literal["product", "pairs"], _help("All combinations of the lists, or pairs.")] = "product"
    changes: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Study":
        """Return the study of a file or a command line, whose lists may be comma-separated."""
        own = [name for name in fields_of(cls) if name != "changes"]
        unknown = next((name for name in fields if name not in own and name not in RECIPE_FIELDS), None)
        if unknown is not None:
            raise ConfigError(f"Unknown setting {unknown!r}. {nearest(unknown, [*own, *RECIPE_FIELDS])}")
        given = {name: value for name, value in fields.items() if name in own}
        for name in ("recipe", "norm", "seeds"):
            if name in given:
                given[name] = _seeds(given[name]) if name == "seeds" else _listed(given[name])
        changes = {name: _listed(fields[name]) for name in RECIPE_FIELDS if name in fields}
        wide = Recipe(image_size=MAX_IMAGE_SIZE)  # in which each value can be read alone
        made = cls(
            **given,
            changes={name: tuple(getattr(wide.changed(**{name: value}), name) for value in changes[name]) for name in changes},
        )
        if made.plan and set(fields) - {"data", "plan", "seeds", "holdout", "amp"}:
            raise ConfigError("A plan sets recipes, norms and their settings. Give a plan or these, not both.")
        for part in made.parts():
            changed_recipe(part.recipe, part.changes, made.data)  # is every value one?
        return made

    @classmethod
    def read(cls, path: Path, instead: Mapping[str, Any]) -> "Study":
        """Return the study of a TOML file, with some fields from the command line instead."""
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path} must be a TOML file ({error}).") from error
        try:
            return cls.from_fields({**fields, **instead})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def parts(self) -> tuple[Part, ...]:
        """The recipes of the study with their norms."""
        if self.plan:
            return PLANS[self.plan]
        norms = tuple(each for norm in self.norm for each in (ZOO if norm == "all" else name_own_norms(norm)))
        lists = {"recipe": self.recipe, **self.changes}
        if self.combine == "pairs":
            longest = max(map(len, lists.values()))
            if wrong := {name: len(values) for name, values in lists.items() if len(values) not in (1, longest)}:
                raise ConfigError(f"--combine pairs needs lists of equal length ({longest}) or single values, got {wrong}.")
            rows: Iterable[tuple[Any, ...]] = zip(
                *(values if len(values) > 1 else values * longest for values in lists.values()), strict=True
            )
        else:
            rows = itertools.product(*lists.values())
        return tuple(Part(name, norms, dict(zip(self.changes, values, strict=True))) for name, *values in rows)

    def check_norms(self) -> None:
        """Raise a ConfigError for an unknown norm."""
        for norm in dict.fromkeys(norm for part in self.parts() for norm in part.norms):
            if norm not in norm_keys():
                raise ConfigError(f"Unknown norm {norm!r}. Choose from: {', '.join(norm_keys())}.")

    def runs(self, data: str, precision: str) -> list[Run]:
        """Its runs on the data set of that name."""
        return plan_runs(self.parts(), data, self.seeds, precision, self.held_out)

    @property
    def held_out(self) -> float:
        """Share of the training images to validate on."""
        return self.holdout or (SEARCH_HOLDOUT if self.plan.startswith("search") else 0.0)

    def to_toml(self, data: str) -> str:
        """A file that reproduces this study: names in place of paths."""
        own = {name: getattr(self, name) for name in fields_of(type(self)) if name != "changes"}
        own |= {"data": data, "norm": [re.sub(r".*[\\/]", "", norm) for norm in self.norm]}
        defaults = type(self)()
        if self.plan:
            own["recipe"], own["norm"] = defaults.recipe, defaults.norm
        fields = {name: value for name, value in own.items() if name == "data" or value != getattr(defaults, name)}
        return "".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in {**fields, **self.changes}.items()
        )


def _listed(value: Any) -> tuple[Any, ...]:
    """Values of a list, of comma-separated words, or a single one."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _seeds(value: Any) -> tuple[Any, ...]:
    """Seeds of a list, in which `0-4` stands for 0, 1, 2, 3 and 4."""
    seeds: list[Any] = []
    for word in _listed(value):
        ends = re.fullmatch(r"(\d{1,19})-(\d{1,19})", str(word))
        if ends and 0 <= int(ends[2]) - int(ends[1]) < 10_000:
            seeds += range(int(ends[1]), int(ends[2]) + 1)
        elif str(word).isdecimal() and math.log10(int(word) + 1) < 19:
            seeds.append(int(word))
        else:
            raise ConfigError(f"seeds must be whole numbers, such as 0,1,2 or 0-4, got {value!r}.")
    return tuple(seeds)
