"""Finished runs as one table: a row for each way to train, its settings as columns, mean ± sd over the seeds."""

import csv
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from normzoo.config import nearest
from normzoo.errors import ConfigError, NormZooError, TrainingError
from normzoo.formatting import csv_cell
from normzoo.pretrained.registry import list_model_sets
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
Row = dict[str, Any]


def finished_runs(runs: Path, checkpoints: Path) -> list[Row]:
    """Return every finished run, raw or packaged, as a row: settings, seed and figures; a run that is both counts once.

    Raises:
        TrainingError: there is none.
    """
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
    """Return the rows that have these settings, each such as `recipe=strong` or `lr=0.05,0.1`.

    Raises:
        ConfigError: there is no such setting, or nothing has it.
    """
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
        differing = [name for name in differing if name not in (by, "norm")] + [by, "norm"]
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

    Raises:
        ConfigError: there is no such column or form.
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
    return tabulate(cells, titles, "latex_booktabs" if form == "latex" else "plain", disable_numparse=True)


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
