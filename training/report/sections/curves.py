"""How the networks of one recipe learned: every variant in four panels, and all of them overlaid."""

import functools

from normzoo.analysis import results
from normzoo.analysis.commands import training_commands
from normzoo.analysis.results import SPLITS
from normzoo.plotting import static as plots
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import describe_variant
from training.report.markdown import Drawing, Section, commands, details
from training.report.runs import say_n


def curves_section(model_set: ModelSet) -> Section:
    """All variants of a set."""
    section = Section("Learning curves")
    variants = list(model_set.checkpoints)
    history = results.history(model_set, variants).frame
    chance = _chance(model_set)
    section.add(
        say_n(model_set, variants),
        "Training figures of an epoch are collected while the network learns, on augmented images where the recipe augments: "
        "they lag behind what it would reach at the end of the epoch. Micro F1 equals accuracy: every image has one label.",
    )
    main = history[history["variant"].isin(model_set.main_variants)]
    for split, title in SPLITS.items() if not main.empty else ():
        draw = functools.partial(plots.panels, main, chance, splits=(split,))
        data = main[main["split"] == split].drop(columns=["seconds", "lr"])
        section.add(Drawing(f"{model_set.name}/all-{split}", f"All variants, {title.lower()}", data.to_csv(index=False), draw))
    singles = []
    for variant, of_variant in history.groupby("variant", sort=False):
        draw = functools.partial(plots.panels, of_variant, chance)
        data = of_variant.drop(columns=["seconds", "lr"]).to_csv(index=False)
        singles.append(Drawing(f"{model_set.name}/{variant}", f"{describe_variant(str(variant)).capitalize()}", data, draw))
    section.add(*(details("Each variant by itself: loss, accuracy, macro F1 and micro F1", *singles) if singles else []))
    section.add(commands(*training_commands(model_set, variants)))
    return section


def _chance(model_set: ModelSet) -> float | None:
    """The loss of guessing."""
    counts = {len(checkpoint.config.classes) for checkpoint in model_set.checkpoints.values()}
    return results.chance_loss(counts.pop()) if len(counts) == 1 else None
