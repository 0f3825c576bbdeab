"""Which runs a model set holds and which the study has besides, their seeds, machines and commands."""

from collections.abc import Iterable
from typing import Any

from normzoo.analysis.commands import study_command
from normzoo.formatting import listed
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import Variant, short_name
from training.config import STUDY, Part
from training.report.markdown import table


def present(model_set: ModelSet, variants: Iterable[str]) -> list[str]:
    """Those that can be read, in the order given."""
    return [variant for variant in variants if variant in model_set.checkpoints]


def seeds_of(model_set: ModelSet, variants: Iterable[str]) -> dict[str, list[int]]:
    return {variant: list(model_set.checkpoints[variant].metrics["seeds"]) for variant in present(model_set, variants)}


def say_n(model_set: ModelSet, variants: Iterable[str]) -> str:
    """How many seeds the figures rest on, and what that means."""
    seeds = seeds_of(model_set, variants)
    kinds = sorted({tuple(each) for each in seeds.values()}, key=lambda each: (len(each), each))
    if not kinds:
        return ""
    if len(kinds) > 1:
        each = "; ".join(
            f"n = {len(kind)} for {listed([short_name(v) for v in seeds if tuple(seeds[v]) == kind])}" for kind in kinds
        )
        return f"{each}. Where n = 1 nothing here says how much another seed would change."
    numbers = ", ".join(map(str, kinds[0]))
    if len(kinds[0]) == 1:
        return (
            f"n = 1 (seed {numbers}): each network was trained once, so nothing here says how much another seed would change."
        )
    return f"n = {len(kinds[0])} (seeds {numbers}): figures are means over the seeds, ± their standard deviation."


def missing_runs(data: str, model_sets: Iterable[ModelSet]) -> list[str]:
    """The parts of the study that are not stored for a data set, each with the command that makes it."""
    there = {model_set.recipe: set(model_set.checkpoints) for model_set in model_sets if model_set.data == data}
    lines = []
    for part in STUDY:
        norms = [norm for norm in part.norms if _variant(part, norm) not in there.get(part.recipe, set())]
        if norms:
            names = listed([short_name(_variant(part, norm)) for norm in norms])
            command = study_command(data, part.recipe, norms, batch_size=part.changes.get("batch_size"))
            lines.append(f"`{part.recipe}`: {names} {'is' if len(norms) == 1 else 'are'} not stored. `{command}`")
    return lines


def _variant(part: Part, norm: str) -> str:
    parsed = Variant.parse(norm)
    return Variant(parsed.norm, part.changes.get("batch_size"), parsed.is_reference).key


def machines(model_set: ModelSet, variants: Iterable[str]) -> str:
    """A table of where the networks were trained: device, precision, time, torch, commit."""
    rows = []
    for variant in present(model_set, variants):
        provenance: dict[str, Any] = model_set.checkpoints[variant].metrics["provenance"]
        runs = provenance.get("runs", [])
        sessions = [session for run in runs for session in run["sessions"]]
        rows.append(
            [
                short_name(variant),
                _all(session.get("device") for session in sessions),
                _all(session.get("threads") for session in sessions),
                provenance.get("precision", "not recorded"),
                _all({True: "yes", False: "no"}.get(session.get("compiled")) for session in sessions),
                f"{sum(session['seconds'] for session in sessions) / len(runs) / 60:.1f}" if runs else "not recorded",
                _all(session.get("packages", {}).get("torch") for session in sessions),
                _all(
                    (session.get("commit") or "")[:9] + "+" * str(session.get("commit")).endswith("+") for session in sessions
                ),
            ]
        )
    return table(["Network", "Device", "Threads", "Precision", "Compiled", "Minutes per run", "torch", "Commit"], rows)


def _all(values: Iterable[Any]) -> str:
    """The different ones, in order of appearance."""
    return ", ".join(dict.fromkeys(str(value) for value in values if value not in (None, ""))) or "not recorded"
