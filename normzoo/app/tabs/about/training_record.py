"""How the networks of a model set were trained, as HTML: all of it read from the files that came out of the training."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from normzoo.app.components import cards
from normzoo.app.components.html import NO_NETWORKS
from normzoo.app.core.catalog import variants_of
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

Record = Mapping[str, Any]


def describe(model_set: ModelSet, variants: Sequence[str]) -> str:
    """Recipe, data, runs, and the commands that make it all again."""
    records = {variant: model_set.checkpoints[variant].metrics for variant in variants if variant in model_set.checkpoints}
    problems = {variant: model_set.problems[variant] for variant in variants if variant in model_set.problems}
    parts = [f"<h2>How they were trained: {html.escape(model_set.name)}</h2>"]
    if records:
        parts += [_data(records), _recipe(records), _runs(records)]
    elif not problems:
        parts.append(NO_NETWORKS)
    parts.append(cards.unavailable(problems))
    parts.append(_retrain(model_set))
    return "".join(parts)


def _data(records: Mapping[str, Record]) -> str:
    data = _first(_inside(record, "provenance", "data") for record in records.values())
    if not data:
        return '<p class="explanation">The files do not say which photos they learned from.</p>'
    counts = f"{data.get('num_train', '?')} photos to learn from and {data.get('num_val', '?')} to validate"
    return (
        f'<p class="explanation"><strong>{html.escape(str(data.get("name")))}</strong>, {html.escape(counts)}. '
        f"{html.escape(str(data.get('note') or ''))} Digest of the photos: "
        f"<code>{html.escape(_text(data.get('digest')))}</code></p>"
    )


def _recipe(records: Mapping[str, Record]) -> str:
    """Every field of the recipe; where the networks differ, each value with those that have it."""
    recipes = {variant: _inside(record, "provenance", "recipe") or {} for variant, record in records.items()}
    fields = list(dict.fromkeys(field for recipe in recipes.values() for field in recipe))
    rows, are_alike = "", True
    for field in fields:
        by_value: dict[str, list[str]] = {}
        for variant, recipe in recipes.items():
            by_value.setdefault(_text(recipe.get(field)), []).append(short_name(variant))
        shown = "; ".join(f"{value} ({', '.join(names)})" for value, names in by_value.items())
        if len(by_value) == 1:
            shown = next(iter(by_value))
        else:
            are_alike = False
        rows += f"<div><dt>{html.escape(field.replace('_', ' '))}</dt><dd>{html.escape(shown)}</dd></div>"
    if not rows:
        return '<p class="explanation">The files hold no recipe.</p>'
    alike = "The same for all; only the norm differs." if are_alike else "Where they differ, each value says whose it is."
    return f'<h3>The recipe</h3><p class="explanation">{alike}</p><dl class="recipe">{rows}</dl>'


def _runs(records: Mapping[str, Record]) -> str:
    headings = ("Network", "Seeds", "n", "Hours", "Device", "Precision", "Commit", "Command", "Weights (sha256)")
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    rows = "".join(
        f'<tr><th scope="row">{html.escape(short_name(variant))}</th>'
        f"{''.join(f'<td>{cell}</td>' for cell in _run_cells(record))}</tr>"
        for variant, record in records.items()
    )
    caption = "The runs behind each network"
    return (
        f'<h3>The runs</h3><div class="table runs" role="region" tabindex="0" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _run_cells(record: Record) -> list[str]:
    """The cells of a row but the first, as HTML."""
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
    command = _distinct(session.get("command") for session in sessions)
    weights = _text(_inside(record, "provenance", "weights_sha256"))
    cells = [html.escape(text) for text in texts]
    return [*cells, f"<code>{html.escape(command)}</code>", f"<code>{html.escape(weights[:16])}</code>"]


def _retrain(model_set: ModelSet) -> str:
    data, _, recipe = model_set.name.partition("/")
    commands = "\n".join(
        (
            f"python -m training data fetch {data}",
            f"python -m training study --recipe {recipe} --data {data}",
            "python -m training package",
            "python -m training evaluate --check",
        )
    )
    others = len(variants_of(model_set))
    return (
        '<h3>Train them again</h3><p class="explanation">In a checkout of the project, after <code>make install</code>. The '
        f"last command computes every figure of the {others} networks here once more and fails where one differs.</p>"
        f'<pre tabindex="0">{html.escape(commands)}</pre>'
        '<p class="explanation">With your own photos: <code>--data PATH</code> takes a folder with <code>train/CLASS/…</code> '
        "and, where you have them, <code>val/CLASS/…</code>.</p>"
    )


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
