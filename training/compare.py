"""Finished runs as one table: one row per setting, mean ± sd over the seeds."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from normzoo.analysis.results import correct_images
from normzoo.analysis.statistics import Runs, accuracy, compare, holm, pooled_run_variance
from normzoo.config import nearest
from normzoo.errors import ConfigError, NormZooError, TrainingError
from normzoo.formatting import p_text, to_csv
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.pretrained.registry import list_model_sets
from normzoo.variants import short_name
from training.config import RECIPE_FIELDS, Recipe, Run
from training.runs import read_history

#: Split and metric -> title, and whether it is shown in per cent.
FIGURES = {
    "val_accuracy": ("val accuracy %", True),
    "val_macro_f1": ("val macro F1 %", True),
    "val_loss": ("val loss", False),
    "train_accuracy": ("train accuracy %", True),
    "train_loss": ("train loss", False),
}
#: Settings of a run, besides the fields of its recipe.
SETTINGS = ("data", "recipe", "norm", "precision", "holdout")
FORMATS = ("text", "csv", "latex")
_KEYS = [*SETTINGS, *RECIPE_FIELDS]
_TABLES = {"text": "plain", "latex": "latex_booktabs"}


def finished_runs(runs: Path, checkpoints: Path) -> pd.DataFrame:
    """Return every finished run, raw or packaged, as a row: settings, seed and figures; each run once.

    The column `place` has the model set and the variant of packaged runs, else None.
    """
    found = pd.DataFrame([*_packaged(checkpoints), *_raw(runs)])
    if found.empty:
        raise TrainingError(f"No finished run under {runs} or {checkpoints}. Train one with: python -m training study")
    return found.drop_duplicates([*_KEYS, "seed"], ignore_index=True)


def _raw(runs: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(runs.glob("*/*/*/seed-*/run.json")):
        if not path.parent.name.removeprefix("seed-").isdigit():
            continue  # set aside
        try:
            run = Run.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, LookupError, TypeError, NormZooError) as error:
            raise TrainingError(f"{path} cannot be read ({error}). Move its folder away to compare the others.") from error
        last = {row["split"]: row for row in read_history(path.parent)[-2:]}
        if last and int(last["val"]["epoch"]) == run.recipe.epochs:
            yield _row(run, last)


def _packaged(checkpoints: Path) -> Iterator[dict[str, Any]]:
    for model_set in list_model_sets(checkpoints):
        for variant, checkpoint in model_set.checkpoints.items():
            metrics, provenance = checkpoint.metrics, checkpoint.metrics["provenance"]
            try:
                recipe = Recipe(**provenance["recipe"])
                for place, seed in enumerate(metrics["seeds"]):
                    run = Run(model_set.data, recipe, checkpoint.config.norm, seed, provenance["precision"])
                    final = {
                        split: {name: figure["values"][place] for name, figure in figures.items()}
                        for split, figures in metrics["final"].items()
                    }
                    yield _row(run, final, (model_set, variant))
            except (LookupError, TypeError, ConfigError) as error:
                raise TrainingError(f"{checkpoint.folder} cannot be read ({error}). Package it again.") from error


def _row(run: Run, last: Mapping[str, Mapping[str, Any]], place: object = None) -> dict[str, Any]:
    settings = {"data": run.data, "recipe": run.recipe.base, "norm": run.norm, "precision": run.precision}
    fields = {name: getattr(run.recipe, name) for name in RECIPE_FIELDS}
    figures = {f"{split}_{name}": float(value) for split in last for name, value in last[split].items() if name in _METRICS}
    return {**settings, "holdout": run.holdout, **fields, "seed": run.seed, **figures, "place": place}


_METRICS = {name.partition("_")[2] for name in FIGURES}


def chosen_rows(runs: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """Return the runs with these settings, such as `recipe=strong` or `lr=0.05,0.1`."""
    for condition in where:
        name, _, words = condition.partition("=")
        _check_columns([name], (*_KEYS, "seed"))
        wanted = [word.strip() for word in words.split(",")]
        numbers = pd.to_numeric(pd.Series(wanted), errors="coerce").dropna()
        values = runs[name]
        is_wanted = values.astype(str).isin(wanted)
        if pd.api.types.is_numeric_dtype(values) and values.dtype != bool:
            is_wanted |= values.isin(numbers)
        if not is_wanted.any():
            raise ConfigError(f"No run has {condition}. Choose from: {', '.join(sorted(set(map(str, values))))}.")
        runs = runs[is_wanted]
    return runs


def _check_columns(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"Unknown column {name!r}. {nearest(name, known)}")


def grouped(runs: pd.DataFrame, columns: Sequence[str] = (), by: str = "") -> tuple[list[str], list[pd.DataFrame]]:
    """Return the settings that differ, and the runs grouped by setting, with the seeds together.

    Args:
        columns: further settings to show; the swept one is last.
    """
    # What differs with the recipe's name alone is said by that.
    spread = {name: runs.groupby("recipe")[name].nunique().max() for name in RECIPE_FIELDS} if len(runs) else {}
    spread |= {name: runs[name].nunique() for name in SETTINGS}
    differing = [name for name in _KEYS if spread.get(name, 0) > 1 or name in (*columns, "norm")]
    if by:
        differing = [name for name in differing if name not in (by, "norm")] + list(dict.fromkeys((by, "norm")))
        runs = runs.sort_values([name for name in differing if name != "norm"] or by, kind="stable")
    return differing, [group for _, group in runs.groupby(_KEYS, sort=False)]


def table(runs: pd.DataFrame, columns: Sequence[str] = (), by: str = "", form: str = "text") -> str:
    """Return the runs as text, CSV or LaTeX; CSV has fractions, not per cent.

    Args:
        columns: settings and figures to show; empty: the settings that differ, and the figures.
        by: a setting to compare, so that the rows of a norm are adjacent.
    """
    _check_columns([*columns, *([by] if by else [])], (*_KEYS, "n", "seeds", *FIGURES))
    differing, groups = grouped(runs, columns, by)
    shown = list(columns) or [*differing, "n", *FIGURES]
    if form == "csv":
        wide = [part for name in shown for part in ((name, f"{name}_sd") if name in FIGURES else (name,))]
        return to_csv(pd.DataFrame([_summary(group) for group in groups])[wide])
    titles = [FIGURES[name][0] if name in FIGURES else name.replace("_", " ") for name in shown]
    cells = [[_text(_summary(group), name) for name in shown] for group in groups]
    return tabulate(cells, titles, _TABLES[form], disable_numparse=True)


def _summary(group: pd.DataFrame) -> dict[str, Any]:
    """Settings, seeds, and mean and sample standard deviation of each figure."""
    means, sds = (each.round(12) for each in (group[list(FIGURES)].mean(), group[list(FIGURES)].std()))
    about = {**group.iloc[0][_KEYS], "n": len(group), "seeds": " ".join(map(str, group["seed"]))}
    return {**about, **means, **{f"{name}_sd": sds[name] for name in FIGURES}}


def _text(summary: Mapping[str, Any], name: str) -> str:
    if name not in FIGURES:
        return str(summary[name])
    scale, digits = (100, 2) if FIGURES[name][1] else (1, 4)
    sd = summary[f"{name}_sd"]
    return f"{scale * summary[name]:.{digits}f}" + ("" if pd.isna(sd) else f" ± {scale * sd:.{digits}f}")


def differences(runs: pd.DataFrame, by: str, form: str = "text") -> tuple[str, list[str]]:
    """Return the difference of each value of a setting from the best one with the same other settings.

    Runs and images are both samples, which needs the predictions of packaged runs for every image.

    Returns:
        The differences as text or LaTeX (empty if none is tested), and descriptions of the packaged runs without a match.
    """
    families: dict[tuple[Any, ...], dict[Any, tuple[pd.Series, Runs]]] = {}
    differing, groups = grouped(runs[runs["place"].notna()], (), by)
    for first in (group.iloc[0] for group in groups):
        model_set, variant = first["place"]
        digest = model_set.checkpoints[variant].metrics["provenance"]["data"]["digest"]
        answers = correct_images(model_set, [variant])[0].get(variant)
        if answers:
            families.setdefault((*first[_KEYS].drop(by), digest), {})[first[by]] = (first, answers)
    between = pooled_run_variance(answers for values in families.values() for _, answers in values.values())
    tested = []
    for values in families.values():
        best = max(values, key=lambda value: accuracy(values[value][1]))
        for value, (row, answers) in values.items():
            if value != best:
                tested.append((row, value, best, compare(answers, values[best][1], between)))
    p_values = holm([found.p_value for *_, found in tested])
    settings = [name for name in dict.fromkeys(("recipe", "norm", *differing)) if name != by]
    cells = [
        (*row[settings], value, best, *(f"{100 * number:+.2f}" for number in vars(found.estimate).values()), p_text(p))
        for (row, value, best, found), p in zip(tested, p_values, strict=True)
    ]
    titles = [*settings, by, "best", "difference", "95% from", "to", "p (Holm)"]
    alone = [
        ", ".join(f"{name} {row[name]}" for name in (by, *(each for each in differing if each != by)))
        for values in families.values()
        if len(values) == 1
        for row, _ in values.values()
    ]
    return (tabulate(cells, titles, _TABLES[form], disable_numparse=True) if cells else ""), alone


def chart(runs: pd.DataFrame, by: str, figure: str = "val_accuracy") -> Chart:
    """Return a figure against a setting: one line per norm and recipe, ± the standard deviation over seeds."""
    differing, groups = grouped(runs, (), by)
    means = pd.DataFrame([_summary(group) for group in groups])
    values, (title, is_fraction) = list(means[by].unique()), FIGURES[figure]
    is_number = pd.api.types.is_numeric_dtype(means[by]) and means[by].dtype != bool
    means["x"] = means[by].astype(float) if is_number else means[by].map(values.index).astype(float)
    middle, sd = (means[name] * (100 if is_fraction else 1) for name in (figure, f"{figure}_sd"))
    means = means.assign(middle=middle, low=middle - sd.fillna(0), high=middle + sd.fillna(0)).sort_values("x")
    others = [name for name in differing if name not in (by, "norm")]
    lines = []
    for (norm, *settings), points in means.groupby(["norm", *others], sort=False):
        name = ", ".join([short_name(norm), *(f"{key}={value}" for key, value in zip(others, settings, strict=True))])
        ends = {end: points[end].tolist() for end in ("low", "high")}
        lines.append(series(norm, points["x"].tolist(), points["middle"].tolist(), name=name, **ends))
    axis = Axis(
        by.replace("_", " "),
        names=() if is_number else tuple(map(str, values)),
        ticks=tuple(sorted(means["x"].unique())) if is_number else (),
        is_log=bool(is_number and means["x"].min() > 0 and means["x"].max() >= 8 * means["x"].min()),
    )
    return Chart(f"{title} by {axis.title}, mean ± sd over seeds", axis, Axis(title), (Panel(tuple(lines)),))
