"""A finding: one claim with its chart, tables, method and commands; and the stored results that findings draw on."""

import functools
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.statistics import Contrast, Runs, RunVariance, contrast, pooled_run_variance
from normzoo.formatting import listed, minus, signed
from normzoo.plotting.spec import Chart
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import Variant, short_name


@dataclass
class ResultTable:
    """A table: the numbers to sort by, the texts to show.

    Args:
        caption: one phrase about all of it.
    """

    caption: str
    numbers: dict[str, list[Any]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    #: Column -> is a higher figure the better one? Columns without an answer are not there.
    higher_is_better: dict[str, bool] = field(default_factory=dict)

    def add(
        self,
        title: str,
        values: Iterable[Any],
        pattern: str = "",
        higher_is_better: bool | None = None,
        texts: Sequence[str] | None = None,
    ) -> None:
        """Add a column; None becomes a dash. The pattern is one of `format`, applied once, to the stored figure; `texts` stand
        in place of what it gives.
        """
        column = list(values)
        self.numbers[title] = [float("nan") if value is None else value for value in column]
        formatted = ("–" if pd.isna(value) else minus(format(value, pattern)) for value in column)
        self.texts[title] = list(formatted if texts is None else texts)
        if higher_is_better is not None:
            self.higher_is_better[title] = higher_is_better

    def add_interval(self, title: str, found: Sequence[Contrast | None]) -> None:
        """Add an estimate in points with its 95% interval, as one column."""
        texts = ["–" if each is None else with_interval(each) for each in found]
        self.add(title, [None if each is None else 100 * each.estimate.value for each in found], texts=texts)

    @property
    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The numbers and the texts, of the same shape."""
        return pd.DataFrame(self.numbers), pd.DataFrame(self.texts)


@dataclass(frozen=True)
class Finding:
    """What stored results say about one question.

    Args:
        key: its address.
        title: a few words.
        headline: the claim in one sentence, with its size, its interval and its n.
        chart: what shows it.
        method: how it was measured and tested.
        notes: what else to know of it.
        commands: that make it again.
    """

    key: str
    title: str
    headline: str
    chart: Chart | None = None
    tables: Sequence[ResultTable] = ()
    method: Sequence[str] = ()
    notes: Sequence[str] = ()
    commands: Sequence[str] = ()


class Evidence:
    """The stored results that findings draw on: those of one model set, and of all others on the same images.

    Args:
        shown: the set that findings about a single one are about.
        model_sets: all that there are; of these it keeps those trained on the same photos, at whatever size.
    """

    def __init__(self, shown: ModelSet, model_sets: Iterable[ModelSet]) -> None:
        self.shown = shown
        self.model_sets = [each for each in model_sets if each is shown or images_of(each) == images_of(shown)]

    def runs(self, model_set: ModelSet, variants: Iterable[str] | None = None) -> dict[str, Runs]:
        """Return of each readable variant which validation images its runs get right; the norms of the zoo if None."""
        wanted = model_set.main_variants if variants is None else variants
        return results.correct_images(model_set, wanted)[0]

    @functools.cached_property
    def shown_runs(self) -> dict[str, Runs]:
        """Those of the norms of the set that is shown."""
        return self.runs(self.shown)

    @functools.cached_property
    def run_variance(self) -> RunVariance:
        """Variance between runs of the set that is shown, pooled over its norms."""
        return pooled_run_variance(self.shown_runs.values())

    def find(self, recipe: str) -> ModelSet | None:
        """Return the set of this recipe at the smallest image size, if there is one."""
        found = [each for each in self.model_sets if each.recipe == recipe and each.checkpoints]
        return min(found, key=lambda each: each.image_size, default=None)


def images_of(model_set: ModelSet) -> str:
    """Return what names the photos that a set was trained on, whatever their size: their digest, or the data set's name."""
    for checkpoint in model_set.checkpoints.values():
        data = checkpoint.metrics["provenance"].get("data")
        if isinstance(data, dict) and data.get("digest"):
            return str(data["digest"])
    return model_set.data


def compare(first: Runs, second: Runs, between_runs: RunVariance) -> Contrast:
    """Return the accuracy of the first minus that of the second."""
    return contrast([first, second], [1.0, -1.0], between_runs)


def names(variants: Iterable[str]) -> str:
    """Return "BN, BIN and GN"."""
    return listed([short_name(variant) for variant in variants])


def with_interval(found: Contrast, digits: int = 2) -> str:
    """Return "+2.88 (0.25 to 5.51)", in points."""
    ends = (minus(f"{100 * end:.{digits}f}") for end in (found.estimate.low, found.estimate.high))
    return f"{signed(found.estimate.value, digits)} ({' to '.join(ends)})"


def counts(numbers: Iterable[int]) -> str:
    """Return "n = 3", or "n = 2 to 5"."""
    found = sorted(set(numbers))
    return f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}"


def where(model_set: ModelSet) -> str:
    """Return a set's name for people: "64×64, `strong` recipe"."""
    return f"{model_set.image_size}×{model_set.image_size}, `{model_set.recipe}` recipe"


#: How differences of accuracy are tested, wherever they are.
TEST = (
    "Crossed random effects: runs and validation images are both samples. The variance between runs is pooled over the "
    "networks that are compared; t test with Satterthwaite's degrees of freedom, 95% interval."
)
HOLM = "p values are corrected by Holm's method over all pairs, shown or not; significant: below 0.05."
SINGLE_RUN = (
    "With n = 1 these are differences between two runs, not between norms: the interval is over images alone, and nothing is "
    "called significant."
)


#: Commands that make stored results again: each runs as it is printed, where the file of a custom norm is at hand.
DEFAULT_DATA = "tiny-imagenet-25"
PACKAGE = "python -m training package"


def study_command(
    data: str, recipe: str, norms: Iterable[str], seeds: Sequence[int] = (0,), batch_size: int | None = None
) -> str:
    """Return the command that trains these networks.

    Args:
        recipe: its name, with the fields that were changed in it: "strong,epochs=2,horizontal_flip=False".
    """
    base, *changes = recipe.split(",")
    words = ["python -m training study", f"--recipe {base}", f"--norm {','.join(map(_norm_option, norms))}"]
    words += [f"--data {shlex.quote(data)}"] if data != DEFAULT_DATA else []
    for change in changes:
        name, _, value = change.partition("=")
        words.append(f"--{name.replace('_', '-')} {({'True': 'yes', 'False': 'no'}).get(value, value)}")
    words += [f"--batch-size {batch_size}"] if batch_size else []
    words += [f"--seeds {','.join(map(str, seeds))}"] if list(seeds) != [0] else []
    return " ".join(words)


def _norm_option(key: str) -> str:
    """Return what `--norm` takes; of a norm of somebody's own the class is known, not where the reader has its file."""
    return key if Variant.parse(key).norm.islower() else f"norm.py:{key}"


def training_commands(model_set: ModelSet, variants: Iterable[str]) -> list[str]:
    """Return the commands that train these variants of a set again, and package them."""
    groups: dict[tuple[int | None, tuple[int, ...]], list[str]] = {}
    for key in variants:
        if key in model_set.checkpoints:
            variant, seeds = Variant.parse(key), model_set.checkpoints[key].metrics["seeds"]
            norm = Variant(variant.norm, is_reference=variant.is_reference).key
            groups.setdefault((variant.batch_size, tuple(seeds)), []).append(norm)
    lines = [study_command(model_set.data, model_set.recipe, norms, seeds, size) for (size, seeds), norms in groups.items()]
    return [*lines, PACKAGE]
