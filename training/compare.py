"""Finished runs as one table: a row for each way to train, its settings as columns, mean ± sd over the seeds."""

import csv
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from normzoo.analysis.results import correct_images
from normzoo.analysis.statistics import Runs, accuracy, contrast, holm, pooled_run_variance
from normzoo.config import nearest
from normzoo.errors import ConfigError, NormZooError, TrainingError
from normzoo.formatting import csv_cell, p_text
from normzoo.plotting.spec import Axis, Chart, Panel
from normzoo.plotting.spec import series as series_of
from normzoo.pretrained.registry import list_model_sets
from normzoo.variants import short_name
from training.config import RECIPE_FIELDS, Recipe, Run
from training.runs import read_history

#: What is measured: its key -> its title and whether it is a fraction, shown in per cent.
FIGURES = {
    "val_accuracy": ("val accuracy %", True),
    "val_macro_f1": ("val macro F1 %", True),
    "val_loss": ("val loss", False),
    "train_accuracy": ("train accuracy %", True),
    "train_loss": ("train loss", False),
}
#: What tells one way to train from another, besides the fields of its recipe.
SETTINGS = ("data", "recipe", "norm", "precision", "holdout")
FORMATS = ("text", "csv", "latex")
_TABLES = {"text": "plain", "latex": "latex_booktabs"}
Row = dict[str, Any]


def finished_runs(runs: Path, checkpoints: Path) -> list[Row]:
    """Return every finished run, raw or packaged, as a row: settings, seed and figures; a run that is both counts once."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in (*_packaged(checkpoints), *_raw(runs)):
        found.setdefault(tuple(row[name] for name in (*SETTINGS, "seed", *RECIPE_FIELDS)), row)
    if not found:
        raise TrainingError(f"No finished run under {runs} or {checkpoints}. Train some with: python -m training study")
    return list(found.values())


def _raw(runs: Path) -> Iterable[Row]:
    for path in sorted(runs.glob("*/*/*/seed-*/run.json")):
        if not path.parent.name.removeprefix("seed-").isdigit():
            continue  # set aside
        try:
            run = Run.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, LookupError, TypeError, NormZooError) as error:
            raise TrainingError(f"{path} cannot be read ({error}). Move its folder away to compare the others.") from error
        last = {row["split"]: row for row in read_history(path.parent)[-2:]}
        if last and int(last["val"]["epoch"]) == run.recipe.epochs:
            figures = {name: float(last[name.partition("_")[0]][name.partition("_")[2]]) for name in FIGURES}
            yield _row(run, figures)


def _packaged(checkpoints: Path) -> Iterable[Row]:
    for model_set in list_model_sets(checkpoints):
        for variant, checkpoint in model_set.checkpoints.items():
            metrics, provenance = checkpoint.metrics, checkpoint.metrics["provenance"]
            try:
                recipe = Recipe(**provenance["recipe"])
                for place, seed in enumerate(metrics["seeds"]):
                    final = {split: metrics["final"][split] for split in ("train", "val")}
                    figures = {
                        name: float(final[name.partition("_")[0]][name.partition("_")[2]]["values"][place]) for name in FIGURES
                    }
                    run = Run(model_set.data, recipe, checkpoint.config.norm, seed, provenance["precision"])
                    yield _row(run, figures) | {"place": (model_set, variant)}
            except (LookupError, TypeError, ConfigError) as error:
                raise TrainingError(f"{checkpoint.folder} cannot be read ({error}). Package it again.") from error


def _row(run: Run, figures: Mapping[str, float]) -> Row:
    settings = {"data": run.data, "recipe": run.recipe.base, "norm": run.norm, "precision": run.precision}
    fields = {name: getattr(run.recipe, name) for name in RECIPE_FIELDS}
    return {**settings, "holdout": run.holdout, **fields, "seed": run.seed, **figures}


def chosen_rows(rows: list[Row], where: Sequence[str]) -> list[Row]:
    """Return the rows that have these settings, each such as `recipe=strong` or `lr=0.05,0.1`."""
    for condition in where:
        name, _, words = condition.partition("=")
        _check_columns([name], (*SETTINGS, *RECIPE_FIELDS, "seed"))
        wanted = {word.strip() for word in words.split(",")}
        numbers = {float(word) for word in wanted if _is_number(word)}
        kept = [row for row in rows if str(row[name]) in wanted or (_is_number(row[name]) and float(row[name]) in numbers)]
        if not kept:
            there = ", ".join(sorted({str(row[name]) for row in rows}))
            raise ConfigError(f"No run has {condition}. There are: {there}.")
        rows = kept
    return rows


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _check_columns(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"Unknown column {name!r}. {nearest(name, known)}")


def grouped(rows: list[Row], columns: Sequence[str] = (), by: str = "") -> tuple[list[str], list[list[Row]]]:
    """Return the settings that differ, and the runs of each way to train, which differ in their seed alone.

    Args:
        columns: settings to show besides; the swept one goes last.
    """
    keys = (*SETTINGS, *RECIPE_FIELDS)
    # What differs with the recipe's name alone is said by that.
    seen = {name: {(row["recipe"] if name in RECIPE_FIELDS else "", row[name]) for row in rows} for name in keys}
    bases = {name: len({recipe for recipe, _ in pairs}) for name, pairs in seen.items()}
    differing = [name for name in keys if len(seen[name]) > bases[name] or name in (*columns, "norm")]
    if by:
        differing = [name for name in differing if name not in (by, "norm")] + list(dict.fromkeys((by, "norm")))
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in keys), []).append(row)
    made = list(groups.values())
    if by:
        made.sort(key=lambda group: [(str(type(group[0][name])), group[0][name]) for name in differing if name != "norm"])
    return differing, made


def table(rows: list[Row], columns: Sequence[str] = (), by: str = "", form: str = "text") -> str:
    """Return the runs as text, CSV or LaTeX; CSV has numbers, of which fractions are not per cent.

    Args:
        columns: settings and figures that are shown; none: the settings that differ, and the figures.
        by: a setting whose values are compared, so that a norm's rows follow each other.
    """
    _check_columns([*columns, *([by] if by else [])], (*SETTINGS, *RECIPE_FIELDS, "n", "seeds", *FIGURES))
    if form not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, got {form!r}.")
    differing, groups = grouped(rows, columns, by)
    shown = list(columns) or [*differing, "n", *FIGURES]
    if form == "csv":
        text = io.StringIO(newline="")
        wide = [part for name in shown for part in ((name, f"{name}_sd") if name in FIGURES else (name,))]
        writer = csv.DictWriter(text, wide, lineterminator="\n")
        writer.writeheader()
        for group in groups:
            writer.writerow({name: csv_cell(_number(group, name)) for name in wide})
        return text.getvalue()
    titles = [FIGURES[name][0] if name in FIGURES else name.replace("_", " ") for name in shown]
    cells = [[_text(group, name) for name in shown] for group in groups]
    return tabulate(cells, titles, _TABLES[form], disable_numparse=True)


def differences(rows: list[Row], by: str, form: str = "text") -> tuple[str, list[str]]:
    """Return how each value of a setting differs from the best one with the same other settings; empty where none is tested.

    Runs and images both count as samples, which takes the answers to every image: those of packaged runs.

    Returns:
        The differences as text or LaTeX, and the packaged runs that have no other with the same settings, in words.
    """
    series: dict[tuple[Any, ...], dict[Any, tuple[Row, Runs]]] = {}
    differing, groups = grouped([row for row in rows if "place" in row], (), by)
    for first, *_ in groups:
        model_set, variant = first["place"]
        rest = tuple(first[name] for name in (*SETTINGS, *RECIPE_FIELDS) if name != by)
        digest = model_set.checkpoints[variant].metrics["provenance"]["data"]["digest"]
        runs = correct_images(model_set, [variant])[0].get(variant)
        if runs:
            series.setdefault((*rest, digest), {})[first[by]] = (first, runs)
    between = pooled_run_variance(runs for values in series.values() for _, runs in values.values())
    tested = []
    for values in series.values():
        best = max(values, key=lambda value: accuracy(values[value][1]))
        for value, (row, runs) in values.items():
            if value != best:
                tested.append((row, value, best, contrast([runs, values[best][1]], [1.0, -1.0], between)))
    p_values = holm([found.p_value for *_, found in tested])
    settings = [name for name in dict.fromkeys(("recipe", "norm", *differing)) if name != by]
    cells = [
        (
            *(row[name] for name in settings),
            value,
            best,
            *(f"{100 * number:+.2f}" for number in vars(found.estimate).values()),
            p_text(p),
        )
        for (row, value, best, found), p in zip(tested, p_values, strict=True)
    ]
    titles = [*settings, by, "best", "difference", "95% from", "to", "p (Holm)"]
    alone = [
        ", ".join(f"{name} {row[name]}" for name in (by, *(each for each in differing if each != by)))
        for values in series.values()
        if len(values) == 1
        for row, _ in values.values()
    ]
    return (tabulate(cells, titles, _TABLES[form], disable_numparse=True) if cells else ""), alone


def chart(rows: list[Row], by: str, figure: str = "val_accuracy") -> Chart:
    """Return a figure over a setting: a line for each norm and recipe, with the deviation over the seeds."""
    differing, groups = grouped(rows, (), by)
    values = list(dict.fromkeys(group[0][by] for group in groups))
    is_number = all(_is_number(value) for value in values)
    title, is_fraction = FIGURES[figure]
    others = [name for name in differing if name not in (by, "norm")]
    lines: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    for group in groups:
        mean, sd = mean_sd(group, figure)
        x = float(group[0][by]) if is_number else float(values.index(group[0][by]))
        scale = 100 if is_fraction else 1
        line = (group[0]["norm"], *(f"{name}={group[0][name]}" for name in others))
        lines.setdefault(line, []).append((x, scale * mean, scale * (sd or 0.0)))
    drawn = []
    for (norm, *settings), points in lines.items():
        points.sort()
        ends = {"low": [mean - sd for _, mean, sd in points], "high": [mean + sd for _, mean, sd in points]}
        name = ", ".join([short_name(norm), *settings])
        drawn.append(series_of(norm, [x for x, _, _ in points], [mean for _, mean, _ in points], name=name, **ends))
    positive = is_number and min(float(value) for value in values) > 0
    axis = Axis(
        by.replace("_", " "),
        names=() if is_number else tuple(map(str, values)),
        ticks=tuple(sorted(float(value) for value in values)) if is_number else (),
        is_log=positive and max(float(value) for value in values) >= 8 * min(float(value) for value in values),
    )
    return Chart(f"{title} by {axis.title}, mean ± sd over seeds", axis, Axis(title), (Panel(tuple(drawn)),))


def mean_sd(group: list[Row], name: str) -> tuple[float, float | None]:
    """The mean of a figure over the seeds and, where there are several, its sample standard deviation."""
    values = [row[name] for row in group]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def _number(group: list[Row], name: str) -> Any:
    if name.removesuffix("_sd") in FIGURES:
        mean, sd = mean_sd(group, name.removesuffix("_sd"))
        return mean if name in FIGURES else ("" if sd is None else sd)
    return _setting(group, name)


def _text(group: list[Row], name: str) -> str:
    if name not in FIGURES:
        return str(_setting(group, name))
    scale, digits = (100, 2) if FIGURES[name][1] else (1, 4)
    mean, sd = mean_sd(group, name)
    return f"{scale * mean:.{digits}f}" + ("" if sd is None else f" ± {scale * sd:.{digits}f}")


def _setting(group: list[Row], name: str) -> Any:
    if name == "n":
        return len(group)
    return " ".join(str(row["seed"]) for row in group) if name == "seeds" else group[0][name]
