"""Our results against the original study's: the orders, the distances, what differs in the set-up, its slips."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from normzoo.analysis import reference_study as original
from normzoo.analysis import results
from normzoo.analysis.batch_sizes import steps_of
from normzoo.analysis.findings.batch_size import same_figures_as
from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.analysis.results import METRICS, SPLITS
from normzoo.analysis.statistics import kendall_tau
from normzoo.formatting import counted, listed, minus, percent
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

BASELINE_RECIPE = "paper-sgd"
#: By the training loss after so many epochs it is said who learns fastest at first.
EARLY_EPOCH = 5
#: Accuracies are printed with three decimals of a per cent, sometimes cut and not rounded.
PRINTED = 2e-5
#: So many times as wide as the last maps is an image.
REDUCTION = 4

Row = tuple[dict[str, Any], dict[str, dict[str, float | None]]]
#: Variant -> what it is ordered by, the lowest first.
Scores = dict[str, float]


def reference_finding(model_set: ModelSet, variants: Sequence[str], pairs: pd.DataFrame) -> Finding:
    """Return what became of the original's figures and conclusions.

    Args:
        pairs: of the variants, as `comparisons.pairs` gives them; may be empty.
    """
    if not is_comparable(model_set):
        return Finding(paragraphs=["The original study has other classes: nothing here can be held against it."])
    finals = results.final_metrics(model_set, variants).frame
    found = [] if finals.empty else [(row, _theirs(row["variant"], model_set.recipe)) for row in finals.to_dict("records")]
    rows: list[Row] = [(ours, theirs) for ours, theirs in found if theirs]
    if not rows:
        return Finding(paragraphs=["The original study has no figures for these networks."])
    here, there = _scores(rows, "val", "accuracy")
    lines = [
        compare_orders(f"By {SPLITS[split].lower()} {METRICS[key].title}, best first", *_scores(rows, split, key))
        for split, key in (("val", "accuracy"), ("train", "accuracy"), ("train", "loss"))
    ]
    return Finding(
        summary=f"against the original study, by validation accuracy: {_lower(agreement(here, there))}."
        if len(here) > 1
        else "",
        paragraphs=[line for line in (*lines, *_decided(there, pairs), _early(model_set, rows), _train_and_val(rows)) if line],
        points=_set_up(model_set),
        tables=[_figures(rows)],
    )


def is_comparable(model_set: ModelSet) -> bool:
    """Are there as many classes as in the original study? Accuracies of more or fewer say nothing about its own."""
    counts = {len(checkpoint.config.classes) for checkpoint in model_set.checkpoints.values()}
    return counts == {original.original_study()["architecture"]["classes_r"]}


def _theirs(variant: str, recipe: str) -> dict[str, dict[str, float | None]] | None:
    """The original's figures of a variant with this recipe, split -> metric -> figure."""
    if recipe == BASELINE_RECIPE:
        return original.baseline_figures() if variant == "bn" else None
    return original.final_figures(variant)


def _figures(rows: list[Row]) -> Figures:
    size = original.original_study()["protocol"]["final"]["batch_size"]
    table = Figures("Here and in the original study")
    table.add("Network", [short_name(ours["variant"]) for ours, _ in rows])
    for split, key in (("val", "accuracy"), ("train", "accuracy"), ("val", "macro_f1")):
        title = f"{SPLITS[split]} {METRICS[key].title}"
        here = [100 * float(ours[f"{split}_{key}"]) for ours, _ in rows]
        there = [None if (value := theirs[split][key]) is None else 100 * value for _, theirs in rows]
        table.add(f"{title} here (%)", here, ".2f")
        table.add(f"{title} original (%)", there, ".2f")
    for split, title in SPLITS.items():
        printed = [theirs[split]["loss"] for _, theirs in rows]
        table.add(f"{title} loss here (nats)", [float(ours[f"{split}_loss"]) for ours, _ in rows], ".4f")
        nats = [None if value is None else original.nats(value, size) for value in printed]
        table.add(f"{title} loss original × {size} (nats)", nats, ".4f")
    return table


def _scores(rows: list[Row], split: str, key: str) -> tuple[Scores, Scores]:
    """Ours and theirs of the zoo's norms for which the original has this figure, the better the lower."""
    sign = -1 if METRICS[key].higher_is_better else 1
    known = [(ours, value) for ours, theirs in rows if (value := theirs[split][key]) is not None]
    known = [(ours, value) for ours, value in known if "-" not in ours["variant"]]
    return (
        {ours["variant"]: sign * float(ours[f"{split}_{key}"]) for ours, _ in known},
        {ours["variant"]: sign * value for ours, value in known},
    )


def _decided(there: Scores, pairs: pd.DataFrame) -> list[str]:
    """Return which of the original's orders of two networks hold here by more than chance."""
    confirmed, turned, undecided = list[str](), list[str](), list[str]()
    for row in pairs.itertuples():
        if row.first in there and row.second in there:
            better, worse = (row.first, row.second) if there[row.first] < there[row.second] else (row.second, row.first)
            agrees = (row.difference > 0) == (better == row.first)
            kept = undecided if not row.significant else confirmed if agrees else turned
            kept.append(f"{short_name(better)} over {short_name(worse)}")
    total = len(confirmed) + len(turned) + len(undecided)
    if not total:
        return []
    told = [
        f"Of the original's {counted(total, 'order')} of two networks, {len(confirmed)} {_verb(confirmed, 'holds', 'hold')} "
        "here by more than chance"
    ]
    told += [f"{len(turned)} {_verb(turned)} the other way round ({listed(turned)})"] if turned else []
    told += [f"{len(undecided)} {_verb(undecided)} not decided ({listed(undecided)})"] if undecided else []
    return [f"{'; '.join(told)}."]


def _verb(things: list[str], one: str = "is", several: str = "are") -> str:
    return one if len(things) == 1 else several


def _early(model_set: ModelSet, rows: list[Row]) -> str:
    """Return who learns fastest at first: the original's "initial rate of decay" is about the loss."""
    there = {variant: float(place) for place, variant in enumerate(original.fastest_first())}
    history = results.history(model_set, [ours["variant"] for ours, _ in rows]).frame
    early = history[(history["split"] == "train") & (history["epoch"] == EARLY_EPOCH)]
    here = {str(variant): float(loss) for variant, loss in early.groupby("variant", sort=False)["loss"].mean().items()}
    here = {variant: loss for variant, loss in here.items() if variant in there}
    line = compare_orders(
        f"By the training loss after {EARLY_EPOCH} epochs, lowest first (the original's initial rate of decay)",
        here,
        {variant: there[variant] for variant in here},
    )
    return line and f"{line} One learning rate for all also tests which norm that rate suits."


def _train_and_val(rows: list[Row]) -> str:
    """Return in how many networks validation accuracy is at least training accuracy, there and here."""
    theirs = [((figures["train"]["accuracy"] or 0), (figures["val"]["accuracy"] or 0)) for _, figures in rows]
    there = sum(val >= train for train, val in theirs)
    here = sum(ours["val_accuracy"] >= ours["train_accuracy"] for ours, _ in rows)
    return (
        f"Validation accuracy is at least the training accuracy in {there} of {counted(len(rows), 'network')} of the original "
        f"and in {here} of {len(rows)} of ours. Its training figures may have been collected during the epochs, as those of "
        f"our "
        "curves are; our final ones are measured after the last epoch."
    )


def _set_up(model_set: ModelSet) -> list[str]:
    """Return what is not as in the original: images, steps, and recipe fields by comparison."""
    checkpoint = next(iter(model_set.checkpoints.values()))
    provenance, size = checkpoint.metrics["provenance"], checkpoint.config.image_size
    data, recipe, study = provenance.get("data", {}), provenance.get("recipe", {}), original.original_study()
    count = f"{data['num_train']:,} + {data['num_val']:,} images" if "num_train" in data else "images"
    final = study["protocol"]["final"]
    lines = [
        f"The images differ, so only orders and tendencies can be compared: ours are {count} of "
        f"{len(checkpoint.config.classes)} classes at {size}×{size} pixels ({model_set.data}); the original's about "
        f"{original.IMAGES:,} photos of birds of {study['architecture']['classes_r']} species, "
        f"{original.SIDE}×{original.SIDE}.",
        _steps(checkpoint, final),
        f"In the last maps instance normalization takes its statistics over {(size // REDUCTION) ** 2:,} values here, "
        f"{(original.SIDE // REDUCTION) ** 2:,} there.",
    ]
    pairs = {
        "optimizer": (recipe.get("optimizer"), str(final["optimizer"]).lower()),
        "learning rate": (recipe.get("lr"), final["lr"]),
        "schedule": (recipe.get("schedule"), str(final["scheduler"]).partition(" ")[0]),
        "epochs": (recipe.get("epochs"), final["epochs"]),
        "batch size": (recipe.get("batch_size"), final["batch_size"]),
        "layers": (checkpoint.config.depth, study["architecture"]["layers"]),
    }
    same = [f"{name} {theirs}" for name, (here, theirs) in pairs.items() if here == theirs]
    other = [f"{name} {here} (original {theirs})" for name, (here, theirs) in pairs.items() if here not in (theirs, None)]
    lines += [f"The same: {listed(same)}."] if same else []
    lines += [f"Not the same: {listed(other)}."] if other else []
    lines.append(
        "The original's loss is the mean cross entropy divided by the batch size once more; multiplied by it, it is in nats."
    )
    lines.append(
        "Seeds: the original gives one figure for each network and no seed, so how much its figures would move is not known."
    )
    return [line for line in lines if line]


def _steps(checkpoint: Checkpoint, final: dict[str, Any]) -> str:
    here = steps_of(checkpoint.metrics)
    there = math.ceil(original.IMAGES / final["batch_size"]) * final["epochs"]
    return f"Steps: {here:,} here, about {there:,} there." if here else ""


def slips() -> list[str]:
    """Return each slip of the original report in a sentence, with what is right."""
    study = original.original_study()
    size, classes = study["protocol"]["final"]["batch_size"], study["architecture"]["classes_r"]
    guess = results.chance_loss(classes)
    lines = [
        f"Loss: it is the mean cross entropy divided by the batch size once more. A network that guesses has ln {classes} = "
        f"{guess:.3f} nats, and {guess:.3f} / {size} = {guess / size:.4f} is about where its curves start. Times the batch "
        f"size "
        "its losses can be held against others."
    ]
    for norm, by_size in study["batch_size_study_train"].items():
        for number, figures in by_size.items():
            if copied := same_figures_as(norm, int(number)):
                lines.append(
                    f"The figures of {short_name(norm)} at batch size {number} are, digit for digit, those of {copied}: they "
                    "cannot be both."
                )
            loss = original.nats(figures["loss"], int(number))
            if loss > guess:
                lines.append(
                    f"{short_name(norm)}'s loss at batch size {number}, {figures['loss']:.4f}, would be {loss:.2f} nats in its "
                    f"convention, worse than guessing, at an accuracy of {figures['accuracy']:.1f}%: the two do not fit."
                )
    if unequal := _unequal():
        lines.append(
            f"Accuracy and micro F1 are the same thing where every image has one label, but differ in {len(unequal)} of its "
            f"rows: {listed(unequal)}."
        )
    return [*lines, '"CrossAnnealingLR" is CosineAnnealingLR.']


def _unequal() -> list[str]:
    rows = []
    for variant in original.original_study()["results"]:
        for split, row in (original.final_figures(variant) or {}).items():
            accuracy, micro = row["accuracy"], row["micro_f1"]
            if accuracy is not None and micro is not None and abs(accuracy - micro) > PRINTED:
                rows.append(f"{short_name(variant.replace('_', '-'))} {split} ({percent(accuracy, 3)} and {percent(micro, 3)})")
    return rows


def baseline_finding(baseline: ModelSet | None) -> Finding:
    """Return the original's first recipe beside ours: SGD with rotations and flips, batch normalization."""
    if baseline is None or "bn" not in baseline.checkpoints:
        return Finding()
    finals = results.final_metrics(baseline, ["bn"]).frame.to_dict("records")
    return Finding(
        paragraphs=["Its first recipe (SGD, rotations and flips), batch normalization:"],
        tables=[_figures([(row, original.baseline_figures()) for row in finals])],
    )


def compare_orders(title: str, here: Scores, there: Scores) -> str:
    """Return both orders, how many pairs stand the same way in both, and who moved furthest; nothing for fewer than two."""
    if len(here) < 2:
        return ""
    orders = f"{title}: ours {_in_words(here)}; original {_in_words(there)}."
    places, before = _places(here), _places(there)
    most = max(abs(places[variant] - before[variant]) for variant in here)
    moved = [
        f"{short_name(variant)} (place {before[variant]} there, {places[variant]} here)"
        for variant in here
        if abs(places[variant] - before[variant]) == most
    ]
    furthest = f" Furthest apart: {listed(moved)}." if most else ""
    return f"{orders} {agreement(here, there)}.{furthest}"


def agreement(here: Scores, there: Scores) -> str:
    """Return how far two orders of two networks or more agree, in words and as Kendall's tau."""
    pairs = list(itertools.combinations(here, 2))
    same = sum((here[a] - here[b]) * (there[a] - there[b]) > 0 for a, b in pairs)
    tau = kendall_tau(list(here.values()), list(there.values()))
    if not math.isfinite(tau):
        return "One of the two has them all equal, so there is no order to compare"
    words = "The same order" if same == len(pairs) else "The reverse order" if tau == -1 else "Not the same order"
    return minus(f"{words}: {same} of {counted(len(pairs), 'pair')} stand the same way in both, Kendall's τ = {tau:.2f}")


def _lower(words: str) -> str:
    """As it stands inside a sentence."""
    return words[0].lower() + words[1:]


def _in_words(scores: Scores) -> str:
    """The first to the last, "=" between equals."""
    ordered = sorted(scores, key=lambda variant: scores[variant])
    words = short_name(ordered[0])
    for before, variant in itertools.pairwise(ordered):
        words += f" {'=' if scores[before] == scores[variant] else '·'} {short_name(variant)}"
    return words


def _places(scores: Scores) -> dict[str, int]:
    """From 1; equals share a place."""
    return {variant: 1 + sum(other < score for other in scores.values()) for variant, score in scores.items()}
