"""A finding: one claim with its chart, tables, method and commands; and the stored results it is based on."""

import functools
import itertools
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from normzoo.analysis import results
from normzoo.analysis.statistics import SIGNIFICANT, Contrast, Interval, Runs, RunVariance, accuracy, holm, pooled_run_variance
from normzoo.formatting import listed, minus, p_text, signed
from normzoo.plotting.spec import Axis, Chart, Panel, Series, series
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import Variant, short_name


@dataclass
class ResultTable:
    """A table: numbers to sort by, and texts to show.

    Args:
        caption: one phrase.
    """

    caption: str
    numbers: dict[str, list[Any]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    #: Column -> is a higher figure better? Only columns with an answer.
    higher_is_better: dict[str, bool] = field(default_factory=dict)

    def add(
        self,
        title: str,
        values: Iterable[Any],
        pattern: str = "",
        higher_is_better: bool | None = None,
        texts: Sequence[str] | None = None,
    ) -> None:
        """Add a column; None becomes a dash. The pattern is a format specification; `texts` replace its results."""
        column = list(values)
        self.numbers[title] = [float("nan") if value is None else value for value in column]
        formatted = ("–" if pd.isna(value) else minus(format(value, pattern)) for value in column)
        self.texts[title] = list(formatted if texts is None else texts)
        if higher_is_better is not None:
            self.higher_is_better[title] = higher_is_better

    def add_contrasts(self, title: str, found: Sequence[Contrast | None]) -> None:
        """Add estimates in points with their 95% intervals, p-values corrected over these, and verdicts; None: not compared."""
        texts = ["–" if each is None else with_interval(each) for each in found]
        self.add(title, [None if each is None else 100 * each.estimate.value for each in found], texts=texts)
        corrected = iter(holm([each.p_value for each in found if each]))
        p_values = [next(corrected) if each else None for each in found]
        self.add("p (Holm)", p_values, texts=["–" if p is None else p_text(p) for p in p_values])
        self.add("Significant", ["–" if p is None else "yes" if p < SIGNIFICANT else "no" for p in p_values])

    def add_accuracy(self, title: str, runs: Sequence[Runs | None], with_n: bool = False) -> None:
        """Add mean accuracy ± standard deviation over runs, in per cent."""
        texts = ["–" if each is None else mean_sd(each) + f" ({len(each)})" * with_n for each in runs]
        means = [None if each is None else 100 * accuracy(each) for each in runs]
        self.add(title, means, higher_is_better=True, texts=texts)

    @property
    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The numbers and the texts, of the same shape."""
        return pd.DataFrame(self.numbers), pd.DataFrame(self.texts)


@dataclass(frozen=True)
class Finding:
    """What the stored results say about one question.

    Args:
        key: name in links.
        title: a few words.
        headline: the claim in one sentence, with its size, its interval and its n.
        chart: that shows it.
        method: how it was measured and tested.
        notes: further facts.
        commands: that reproduce it.
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
    """Stored results of one model set, and of all others on the same images.

    Args:
        shown: the set for findings about a single set.
        model_sets: all sets; those trained on the same photos, at any size, are kept.
    """

    def __init__(self, shown: ModelSet, model_sets: Iterable[ModelSet]) -> None:
        self.shown = shown
        self.model_sets = [each for each in model_sets if each is shown or images_of(each) == images_of(shown)]

    def runs(self, model_set: ModelSet, variants: Iterable[str] | None = None) -> dict[str, Runs]:
        """Return which validation images each run of each readable variant gets right; None: the built-in norms."""
        wanted = model_set.main_variants if variants is None else variants
        return results.correct_images(model_set, wanted)[0]

    @functools.cached_property
    def shown_runs(self) -> dict[str, Runs]:
        """The same for the norms of the shown set."""
        return self.runs(self.shown)

    @functools.cached_property
    def run_variance(self) -> RunVariance:
        """Variance between runs of the shown set, pooled over its norms."""
        return pooled_run_variance(self.shown_runs.values())

    def find(self, recipe: str) -> ModelSet | None:
        """Return the set of this recipe at the smallest image size, if there is one."""
        found = [each for each in self.model_sets if each.recipe == recipe and each.checkpoints]
        return min(found, key=lambda each: each.image_size, default=None)


def images_of(model_set: ModelSet) -> str:
    """Return the digest of the photos that a set was trained on, the same at any size, or the name of the data set."""
    for checkpoint in model_set.checkpoints.values():
        data = checkpoint.metrics["provenance"].get("data")
        if isinstance(data, dict) and data.get("digest"):
            return str(data["digest"])
    return model_set.data


def names(variants: Iterable[str]) -> str:
    """Return "BN, BIN and GN"."""
    return listed([short_name(variant) for variant in variants])


def with_interval(found: Contrast, digits: int = 2) -> str:
    """Return "+2.88 (0.25 to 5.51)", in points."""
    ends = (minus(f"{100 * end:.{digits}f}") for end in (found.estimate.low, found.estimate.high))
    return f"{signed(found.estimate.value, digits)} ({' to '.join(ends)})"


def mean_sd(runs: Runs) -> str:
    """Return mean accuracy and standard deviation over runs, in per cent: "62.9 ± 0.4"; the mean alone of one run."""
    values = np.array([100 * float(run.mean()) for run in runs.values()])
    return f"{values.mean():.1f}" if len(values) == 1 else f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def interval_series(variant: str, places: Sequence[float], found: Sequence[Interval], **changes: Any) -> Series:
    """Return accuracies with their intervals at these places, in per cent."""
    low, high = ([100 * getattr(each, end) for each in found] for end in ("low", "high"))
    return series(variant, places, [100 * each.value for each in found], low=low, high=high, **changes)


def interval_row(variant: str, place: int, found: Interval, **changes: Any) -> Series:
    """Return an accuracy with its interval in a row of a sideways chart, in per cent."""
    ends = {"low": [100 * found.low], "high": [100 * found.high], "dash": None, "is_listed": False}
    return series(variant, [100 * found.value], [place], **{**ends, **changes})


def accuracy_against(title: str, axis: Axis, lines: Iterable[Series]) -> Chart:
    """Return accuracies with intervals against a setting."""
    return Chart(f"Validation accuracy against {title}", axis, Axis("Validation accuracy (%)"), (Panel(tuple(lines)),))


def counts(numbers: Iterable[int]) -> str:
    """Return "n = 3", or "n = 2 to 5"."""
    found = sorted(set(numbers))
    return f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}"


def where(model_set: ModelSet) -> str:
    """Return a set's name for people: "64×64, `strong` recipe"."""
    return f"{model_set.image_size}×{model_set.image_size}, `{model_set.recipe}` recipe"


#: How differences of accuracy are tested.
TEST = (
    "Crossed random effects, runs × validation images; the variance between runs is pooled over the networks that are "
    "compared; t test with Satterthwaite's degrees of freedom; 95% interval."
)
HOLM = "p values: Holm's correction over all pairs, shown or not; significant: below 0.05."
SINGLE_RUN = "With n = 1 the interval covers images only, not the variance between runs, and nothing is called significant."


def tested(runs: Iterable[int]) -> str:
    """Return how differences between networks with so many runs are tested."""
    return f"{TEST} {SINGLE_RUN}" if 1 in runs else TEST


#: Commands that reproduce stored results, as printed.
DEFAULT_DATA = "tiny-imagenet-25"
PACKAGE = "python -m training package"


def study_command(
    data: str, recipe: str, norms: Iterable[str], seeds: Sequence[int] = (0,), batch_size: int | None = None
) -> str:
    """Return the command that trains these networks.

    Args:
        recipe: its name with changed fields: "strong,epochs=2,horizontal_flip=False".
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
    """Return the value of `--norm`; for a custom norm only the class is known, not the reader's path."""
    return key if Variant.parse(key).norm.islower() else f"norm.py:{key}"


def training_commands(variants: Iterable[str], *model_sets: ModelSet) -> list[str]:
    """Return the commands that train and package these variants of the sets."""
    groups: dict[tuple[str, str, int | None, tuple[int, ...]], list[str]] = {}
    for model_set, key in itertools.product(model_sets, list(variants)):
        if key in model_set.checkpoints:
            variant, seeds = Variant.parse(key), model_set.checkpoints[key].metrics["seeds"]
            norm = Variant(variant.norm, is_reference=variant.is_reference).key
            groups.setdefault((model_set.data, model_set.recipe, variant.batch_size, tuple(seeds)), []).append(norm)
    lines = [study_command(data, recipe, norms, seeds, size) for (data, recipe, size, seeds), norms in groups.items()]
    return [*lines, PACKAGE]
