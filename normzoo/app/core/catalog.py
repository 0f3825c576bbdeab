"""The model sets that the page offers, and their networks, each loaded once."""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import torch

from normzoo.analysis.ood import ENSEMBLE, Ood, read_ood
from normzoo.errors import CheckpointError, ConfigError
from normzoo.nn.registry import NORM_LAYERS
from normzoo.pretrained.registry import Model, ModelSet, best_accuracy, default_model_set, list_model_sets, load_models

logger = logging.getLogger(__name__)


class Catalog:
    """Model sets as they were when the page started; safe to use from many threads."""

    def __init__(self, root: Path | None = None) -> None:
        self.sets = {model_set.name: model_set for model_set in list_model_sets(root)}
        self.titles = titled_sets(self.sets.values())
        self._models: dict[tuple[str, str], Model | CheckpointError] = {}
        self._ood: dict[str, Ood | None] = {}
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    @property
    def default(self) -> ModelSet | None:
        """The set to show first; None where none is packaged."""
        return default_model_set(self.sets.values())

    def get(self, name: str) -> ModelSet:
        """The model set of that name."""
        try:
            return self.sets[name]
        except (KeyError, TypeError):
            raise ConfigError(f"Unknown model set. Choose one of: {', '.join(self.sets) or 'none is packaged yet'}.") from None

    def load(self, model_set: ModelSet, variants: Iterable[str]) -> tuple[dict[str, Model], dict[str, str]]:
        """The networks of the chosen variants, and for those that cannot be loaded the reason."""
        models, problems = {}, {}
        for variant in variants:
            loaded = self._load(model_set, variant)
            if isinstance(loaded, Model):
                models[variant] = loaded
            else:
                problems[variant] = str(loaded)
        return models, problems

    def ood(self, model_set: ModelSet) -> Ood | None:
        """What was measured of all networks of a set together on out-of-distribution images, where that tells anything.

        Nothing where the table is damaged, which the log says: the networks answer without it.
        """
        if model_set.name not in self._ood:
            try:
                found = read_ood(model_set, model_set.main_variants).get(ENSEMBLE)
            except CheckpointError as error:
                logger.warning("%s", error)
                found = None
            self._ood[model_set.name] = found if found and found.is_useful else None
        return self._ood[model_set.name]

    def _load(self, model_set: ModelSet, variant: str) -> Model | CheckpointError:
        key = (model_set.name, variant)
        with self._locks[key]:  # of each network by itself: one that takes long to load keeps nobody from the others
            if key not in self._models:
                try:
                    if variant in model_set.problems:
                        raise CheckpointError(model_set.problems[variant])
                    self._models[key] = _warm(load_models(model_set, [variant])[variant])
                except CheckpointError as error:
                    self._models[key] = error
            return self._models[key]


@torch.inference_mode()
def _warm(model: Model) -> Model:
    """Run a network once: its first picture takes several times longer, which the page would show."""
    size = model.config.image_size
    model.network(torch.zeros(1, 3, size, size))
    return model


#: Recipe -> what people call it, with its name in commands; with another field changed, that is told behind it.
_RECIPES = {"strong": "strong recipe", "paper": "original recipe (paper)", "paper-sgd": "first recipe with SGD (paper-sgd)"}


#: The data set of the networks that come with the project; sets of other data, or of another recipe, are somebody's own.
_DATA = "tiny-imagenet-25"


def titled_sets(sets: Iterable[ModelSet]) -> list[tuple[str, str]]:
    """Titles for people and names of model sets: somebody's own first, then the project's, each the most accurate first; under
    "more" those of the project's that teach about a change of recipe.
    """
    ranked = sorted(sets, key=best_accuracy, reverse=True)
    has_data = len({model_set.base_data for model_set in ranked}) > 1
    most = max((len(model_set.main_variants) for model_set in ranked), default=0)
    titles: tuple[list[tuple[str, str]], ...] = ([], [], [])
    for model_set in ranked:
        recipe, *changes = model_set.recipe.split(",")
        words = [_RECIPES.get(recipe, f"{recipe} recipe"), *(change.replace("=", " ").replace("_", " ") for change in changes)]
        prefix = f"{model_set.base_data} · " if has_data else ""
        is_own = model_set.base_data != _DATA or recipe not in _RECIPES
        group = 0 if is_own else 2 if changes or len(model_set.main_variants) < most else 1
        more = "more: " if group == 2 else ""
        title = f"{more}{prefix}{model_set.image_size}×{model_set.image_size} · {', '.join(words)}"
        titles[group].append((title, model_set.name))
    return [each for group in titles for each in group]


def variants_of(model_set: ModelSet) -> list[str]:
    """All variants of a set, readable or not: the zoo's norms in the zoo's order, then the others by name."""
    names = {*model_set.checkpoints, *model_set.problems}
    return [key for key in NORM_LAYERS if key in names] + sorted(names - NORM_LAYERS.keys())


def classes_of(model_set: ModelSet) -> tuple[str, ...]:
    """What the networks of a set can tell apart; nothing where none can be read."""
    return next((checkpoint.config.classes for checkpoint in model_set.checkpoints.values()), ())


def main_variants_of(model_set: ModelSet) -> list[str]:
    """The zoo's norms of a set, readable or not; all variants of a set that has none of them."""
    variants = variants_of(model_set)
    return [variant for variant in variants if variant in NORM_LAYERS] or variants


def chosen(model_set: ModelSet, variants: list[str] | None) -> list[str]:
    """Those of the variants that the set has, in its order; None takes the main ones."""
    if variants is None:
        return main_variants_of(model_set)
    if not isinstance(variants, list) or not all(isinstance(variant, str) for variant in variants):
        raise ConfigError('The networks must be a list of names, such as ["bn", "gn"].')
    return [variant for variant in variants_of(model_set) if variant in variants]
