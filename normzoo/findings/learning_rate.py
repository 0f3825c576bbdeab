"""Learning rate: the ranking of the norms at each rate, and each norm at its best one."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from normzoo.analysis.statistics import Interval, Runs, RunVariance, mean_accuracy, pooled_run_variance
from normzoo.findings.finding import (
    HOLM,
    TEST,
    Evidence,
    Finding,
    ResultTable,
    accuracy_against,
    counts,
    interval_series,
    names,
    training_commands,
)
from normzoo.findings.pairs import compare_all, ranks
from normzoo.formatting import listed, percent
from normzoo.nn.registry import NORM_LAYERS
from normzoo.plotting.spec import Axis, Chart
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import describe_variant, short_name


@dataclass(frozen=True)
class Rated:
    """A norm trained at one learning rate."""

    variant: str
    rate: float
    runs: Runs
    accuracy: Interval


def rated_sets(evidence: Evidence, recipe: str) -> dict[float, ModelSet]:
    """Return the sets of a recipe that differ only in the learning rate, at the smallest image size, by rate."""
    sets = [each for each in evidence.model_sets if without_rate(each.recipe) == recipe and each.checkpoints]
    smallest = min((each.image_size for each in sets), default=0)
    found = {rate: each for each in sets if each.image_size == smallest and (rate := _rate(each))}
    return dict(sorted(found.items()))


def without_rate(recipe: str) -> str:
    """Return the name of a recipe without its learning rate: "paper,lr=0.01" -> "paper"."""
    return re.sub(",lr=[^,]+", "", recipe)


def _rate(model_set: ModelSet) -> float | None:
    for checkpoint in model_set.checkpoints.values():
        recipe = checkpoint.metrics["provenance"].get("recipe")
        if isinstance(recipe, dict) and isinstance(recipe.get("lr"), float):
            return float(recipe["lr"])
    return None


def rated(
    evidence: Evidence, recipe: str, variants: Callable[[ModelSet], list[str]] = lambda model_set: model_set.main_variants
) -> tuple[list[Rated], RunVariance]:
    """Return every norm at every rate of a recipe, and the variance between runs, pooled over all of them.

    Args:
        variants: returns the variants of a set to include.
    """
    by_rate = {rate: evidence.runs(each, variants(each)) for rate, each in rated_sets(evidence, recipe).items()}
    between_runs = pooled_run_variance(runs for found in by_rate.values() for runs in found.values())
    return [
        Rated(variant, rate, runs, mean_accuracy(runs, between_runs))
        for rate, found in by_rate.items()
        for variant, runs in found.items()
    ], between_runs


def best_rates(found: list[Rated]) -> dict[str, Rated]:
    """Return each norm at the rate with its highest mean accuracy, the best norm first."""
    best = dict[str, Rated]()
    for each in found:
        if each.variant not in best or each.accuracy.value > best[each.variant].accuracy.value:
            best[each.variant] = each
    return dict(sorted(best.items(), key=lambda item: -item[1].accuracy.value))


def learning_rate_finding(evidence: Evidence) -> Finding | None:
    """Return the ranking of the norms at each rate of a recipe, and each norm at its best rate."""
    base = evidence.shown.recipe.partition(",")[0]
    recipe = next((name for name in (base, "paper", "strong") if len(rated_sets(evidence, name)) > 1), None)
    if recipe is None:
        return None
    sets = rated_sets(evidence, recipe)
    found, between_runs = rated(evidence, recipe)
    best = best_rates(found)
    leaders = []
    for rate in sets:
        leader = max((each for each in found if each.rate == rate), key=lambda each: each.accuracy.value)
        leaders.append(f"{short_name(leader.variant)} at {rate:g}")
    at_best = [f"{short_name(key)} {percent(each.accuracy.value, 1)}" for key, each in best.items()]
    return Finding(
        key="learning-rate",
        title="Learning rate",
        headline=f"Which norm is most accurate depends on the learning rate: {listed(leaders)}. At its best rate (%): "
        f"{listed(at_best)} (`{recipe}` recipe, {counts(len(each.runs) for each in found)}).",
        chart=_chart(found, recipe),
        tables=[best_table(best, between_runs), _table(found, list(best))],
        method=[
            "Only the learning rate differs. The best rate is chosen on the same validation images, so these accuracies are "
            "slightly optimistic.",
            f"{TEST} {HOLM} Networks with a single run are not tested. Rank: the range that significant differences allow.",
        ],
        notes=[*_edge(best, sets), *_same_machine(sets)],
        commands=training_commands(NORM_LAYERS, *sets.values()),
    )


def best_table(best: dict[str, Rated], between_runs: RunVariance) -> ResultTable:
    """Return each norm at its best rate: accuracy, n, and possible ranks."""
    pairs = compare_all({key: each.runs for key, each in best.items()}, between_runs)
    open_ranks = ranks(pairs) if pairs else {}
    table = ResultTable("Each norm at its best learning rate")
    table.add("Norm", [f"{short_name(key)}, {describe_variant(key)}" for key in best])
    table.add("Learning rate", [each.rate for each in best.values()], "g")
    table.add_accuracy("Validation accuracy (%)", [each.runs for each in best.values()])
    ends = [f"{percent(each.accuracy.low, 1)} to {percent(each.accuracy.high, 1)}" for each in best.values()]
    table.add("95% interval (%)", ends)
    table.add("n", [len(each.runs) for each in best.values()], "d")
    phrases = [f"{low}" if low == high else f"{low} to {high}" for low, high in open_ranks.values()]
    if phrases:
        table.add("Rank", phrases)
    return table


def _table(found: list[Rated], order: list[str]) -> ResultTable:
    table = ResultTable("Validation accuracy (%) at each learning rate; mean ± standard deviation between runs (n)")
    table.add("Norm", [short_name(key) for key in order])
    for rate in dict.fromkeys(each.rate for each in found):
        runs = {each.variant: each.runs for each in found if each.rate == rate}
        table.add_accuracy(f"{rate:g}", [runs.get(key) for key in order], with_n=True)
    return table


def _edge(best: dict[str, Rated], sets: dict[float, ModelSet]) -> list[str]:
    """Report norms whose best rate is the largest or smallest tried."""
    notes = []
    for rate, word in ((max(sets), "largest"), (min(sets), "smallest")):
        if edge := [key for key, each in best.items() if each.rate == rate]:
            notes.append(f"The best rate of {names(edge)} is the {word} one tried; a better one may lie beyond it.")
    return notes


def _same_machine(sets: dict[float, ModelSet]) -> list[str]:
    """Report the precisions of the runs, if they differ."""
    precisions = dict[str, list[str]]()
    for rate, each in sets.items():
        for variant in each.main_variants:
            provenance = each.checkpoints[variant].metrics["provenance"]
            precisions.setdefault(str(provenance.get("precision")), []).append(f"{rate:g}")
    if len(precisions) < 2:
        return []
    phrases = [f"{precision} at {listed(list(dict.fromkeys(rates)))}" for precision, rates in precisions.items()]
    return [f"Not all runs had the same precision: {'; '.join(phrases)}."]


def _chart(found: list[Rated], recipe: str) -> Chart:
    lines = []
    for variant in dict.fromkeys(each.variant for each in found):
        mine = [each for each in found if each.variant == variant]
        lines.append(interval_series(variant, [each.rate for each in mine], [each.accuracy for each in mine]))
    axis = Axis("Learning rate", ticks=tuple(dict.fromkeys(each.rate for each in found)), is_log=True)
    return accuracy_against(f"learning rate, `{recipe}` recipe, with 95% intervals", axis, lines)
