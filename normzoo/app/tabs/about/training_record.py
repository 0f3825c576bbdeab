"""How the networks of a model set were trained, as HTML: all of it read from the files that came out of the training."""

from collections.abc import Mapping, Sequence
from typing import Any

from normzoo.analysis.commands import training_commands
from normzoo.app.components.html import render
from normzoo.app.core.catalog import variants_of
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

Record = Mapping[str, Any]
HEADINGS = ("Network", "Seeds", "n", "Hours", "Device", "Precision", "Commit", "Command", "Weights (sha256)")


def describe(model_set: ModelSet, variants: Sequence[str]) -> str:
    """Recipe, data, runs, and the commands that make it all again."""
    records = {variant: model_set.checkpoints[variant].metrics for variant in variants if variant in model_set.checkpoints}
    recipe, are_alike = _recipe(records)
    return render(
        "training_record.html",
        model_set=model_set,
        networks=[(short_name(variant), *_run_cells(record)) for variant, record in records.items()],
        headings=HEADINGS,
        data=_first(_inside(record, "provenance", "data") for record in records.values()),
        recipe=recipe,
        are_alike=are_alike,
        problems={variant: model_set.problems[variant] for variant in variants if variant in model_set.problems},
        others=len(variants_of(model_set)),
        commands=training_commands(model_set, variants_of(model_set)),
        text=_text,
    )


def _recipe(records: Mapping[str, Record]) -> tuple[list[tuple[str, str]], bool]:
    """Every field of the recipe, and whether it is the same for all; where not, each value with those that have it."""
    recipes = {variant: _inside(record, "provenance", "recipe") or {} for variant, record in records.items()}
    rows, are_alike = [], True
    for field in dict.fromkeys(field for recipe in recipes.values() for field in recipe):
        by_value: dict[str, list[str]] = {}
        for variant, recipe in recipes.items():
            by_value.setdefault(_text(recipe.get(field)), []).append(short_name(variant))
        shown = "; ".join(f"{value} ({', '.join(names)})" for value, names in by_value.items())
        if len(by_value) == 1:
            shown = next(iter(by_value))
        else:
            are_alike = False
        rows.append((field.replace("_", " "), shown))
    return rows, are_alike


def _run_cells(record: Record) -> tuple[list[str], list[str]]:
    """The cells of a row but the first: words, then code."""
    seeds = list(record.get("seeds") or [])
    runs = _inside(record, "provenance", "runs") or []
    sessions = [session for run in runs for session in run.get("sessions") or []]
    seconds = sum(float(session.get("seconds") or 0) for session in sessions)
    texts = [
        ", ".join(map(str, seeds)) or "–",
        str(len(seeds)),
        f"{seconds / 3600:.2f}" if sessions else "–",
        _distinct(session.get("device") for session in sessions),
        _text(_inside(record, "provenance", "precision")),
        _distinct(str(session.get("commit") or "–")[:12] for session in sessions),
    ]
    weights = _text(_inside(record, "provenance", "weights_sha256"))
    return texts, [_distinct(session.get("command") for session in sessions), weights[:16]]


def _inside(record: Record, *keys: str) -> Any:
    """What lies at the end of some keys; None where the file does not have it."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _first(values: Any) -> Any:
    return next((value for value in values if value), None)


def _distinct(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value)) or "–"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
