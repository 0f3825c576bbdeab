"""Our results against the original study's: the order, the distance, what differs in the set-up."""

from collections.abc import Sequence
from typing import Any

from normzoo.analysis import comparisons, results
from normzoo.analysis import reference_study as original
from normzoo.analysis.results import METRICS
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name
from training.report.finals import levels
from training.report.markdown import Section, bullets, commands, how_often, listed, signed, table
from training.report.orders import Scores, agreement, compare_orders
from training.report.runs import present, say_n, training_commands
from training.report.slips import slips


def original_section(model_set: ModelSet, baseline: ModelSet | None) -> Section:
    """The `paper` set of a data set against the original's final recipe; `paper-sgd`, if it is there, against its first."""
    section = Section("Against the original study")
    ours = {variant: model_set.checkpoints[variant].metrics["final"] for variant in model_set.checkpoints}
    known = [variant for variant in ours if original.final_figures(variant)]
    section.add(
        f"The original: *{original.original_study()['title']}*. Its images (25 species of Indian birds) may not be shipped, "
        f"so ours differ, and "
        "absolute figures cannot agree: what can be held against it is the order of the variants.",
        say_n(model_set, known),
        _figures(model_set, ours, known),
        "Accuracies in per cent; losses in nats, the original's as printed multiplied by its batch size of "
        f"{_protocol('final')['batch_size']}; a dash where its report gives none.",
    )
    main = [variant for variant in known if variant in model_set.main_variants]
    section.add("Same order or not:", bullets(_orders(model_set, ours, main)))
    section.add(_train_and_val(ours, known), *_baseline(baseline))
    section.add("What differs in the set-up:", bullets(_set_up(model_set)))
    section.add("Slips of the original report, and what is right:", bullets(slips()))
    section.add(commands(*training_commands(model_set, known)))
    here, there = _scores(ours, main, "val", "accuracy")
    if len(here) > 1:
        section.gist = f"against the original study, by validation accuracy: {_lower(agreement(here, there))}."
    return section


def _lower(words: str) -> str:
    """As it stands inside a sentence."""
    return words[0].lower() + words[1:]


def _protocol(name: str) -> dict[str, Any]:
    protocol: dict[str, Any] = original.original_study()["protocol"][name]
    return protocol


def _figures(model_set: ModelSet, ours: dict[str, Any], known: list[str]) -> str:
    accuracy, loss = METRICS["accuracy"], METRICS["loss"]
    rows = []
    for variant in known:
        theirs = original.final_figures(variant)
        assert theirs is not None
        cells: list[str] = []
        for split in ("val", "train"):
            mean, other = ours[variant][split]["accuracy"]["mean"], theirs[split]["accuracy"]
            apart = "–" if other is None else signed(mean - other)
            cells += [accuracy.text(mean), accuracy.text(other), apart]
        for split in ("val", "train"):
            printed = theirs[split]["loss"]
            cells.append(loss.text(ours[variant][split]["loss"]["mean"]))
            cells.append(loss.text(None if printed is None else original.nats(printed, _protocol("final")["batch_size"])))
        rows.append([short_name(variant), *cells])
    header = ["Network"]
    header += [f"{split} accuracy: {what}" for split in ("Val", "Train") for what in ("ours", "original", "difference")]
    header += [f"{split} loss: {what}" for split in ("Val", "Train") for what in ("ours", "original")]
    return table(header, rows)


def _orders(model_set: ModelSet, ours: dict[str, Any], variants: list[str]) -> list[str]:
    """A sentence for each order that the original's figures or words give."""
    lines = [
        compare_orders(f"By {words}, best first", *_scores(ours, variants, split, key))
        for split, key, words in (
            ("val", "accuracy", "validation accuracy"),
            ("train", "accuracy", "training accuracy"),
            ("train", "loss", "training loss"),
        )
    ]
    return [line for line in [*lines, _speed_line(model_set, variants)] if line]


def _scores(ours: dict[str, Any], variants: list[str], split: str, key: str) -> tuple[Scores, Scores]:
    """One final figure here and there, of the variants that both have."""
    sign = -1 if METRICS[key].higher_is_better else 1
    theirs = {variant: (original.final_figures(variant) or {}).get(split, {}).get(key) for variant in variants}
    there = {variant: sign * value for variant, value in theirs.items() if value is not None}
    return {variant: sign * ours[variant][split][key]["mean"] for variant in there}, there


def _speed_line(model_set: ModelSet, variants: list[str]) -> str:
    """The original's "initial rate of decay" against the epochs that ours took to an accuracy that all reached."""
    there = {variant: float(place) for place, variant in enumerate(original.fastest_first()) if variant in variants}
    history = results.history(model_set, there).frame
    asked = levels(history)
    speed = {row["variant"]: row for row in comparisons.speed(history, asked).to_dict("records")} if asked else {}
    level = max((level for level in asked if all(row[level] is not None for row in speed.values())), default=None)
    if level is None or len(speed) < 2:
        return ""
    here = {variant: float(row[level]) for variant, row in speed.items()}
    epochs = listed([f"{short_name(variant)} {here[variant]:.0f}" for variant in sorted(here, key=lambda v: here[v])])
    line = compare_orders("By how fast they learn at first, fastest first", here, {variant: there[variant] for variant in here})
    return f"{line} Ours by epochs to {100 * level:.0f}% validation accuracy, the highest tenth that all reach: {epochs}."


def _train_and_val(ours: dict[str, Any], known: Sequence[str]) -> str:
    """Which of the two accuracies is higher, there and here."""
    theirs = [original.final_figures(variant) for variant in known]
    pairs = [(figures["train"]["accuracy"] or 0, figures["val"]["accuracy"] or 0) for figures in theirs if figures]
    there = sum(val >= train for train, val in pairs)
    here = sum(ours[v]["val"]["accuracy"]["mean"] >= ours[v]["train"]["accuracy"]["mean"] for v in known)
    return (
        f"Validation accuracy is at least the training accuracy in {there} of {how_often(len(pairs), 'network')} of the "
        f"original and in "
        f"{here} of {len(known)} of ours. Its training figures may have been collected during the epochs, as those of our "
        f"curves are; our "
        "final ones are measured after the last epoch."
    )


def _baseline(baseline: ModelSet | None) -> list[str]:
    """The first recipe: SGD with rotations and flips."""
    variants = present(baseline, ["bn"]) if baseline else []
    if baseline is None or not variants:
        return []
    figures, theirs = baseline.checkpoints["bn"].metrics["final"], original.baseline_figures()
    rows = []
    for split in ("train", "val"):
        printed = theirs[split]["loss"]
        nats = None if printed is None else original.nats(printed, _protocol("baseline_sgd")["batch_size"])
        mean = {key: figures[split][key]["mean"] for key in METRICS}
        cells = [METRICS["loss"].text(mean["loss"]), METRICS["loss"].text(nats)]
        for key in ("accuracy", "macro_f1"):
            cells += [METRICS[key].text(mean[key]), METRICS[key].text(theirs[split][key])]
        rows.append([split, *cells])
    header = [
        "Split",
        *[f"{what}: {whose}" for what in ("Loss (nats)", "Accuracy (%)", "Macro F1 (%)") for whose in ("ours", "original")],
    ]
    return ["Its first recipe (SGD, rotations and flips), batch normalization:", table(header, rows)]


def _set_up(model_set: ModelSet) -> list[str]:
    """What is not as in the original: images, and recipe fields by comparison."""
    first = next(iter(model_set.checkpoints))
    checkpoint = model_set.checkpoints[first]
    provenance = checkpoint.metrics["provenance"]
    data, recipe = provenance.get("data", {}), provenance.get("recipe", {})
    count = f"{data['num_train']:,} + {data['num_val']:,} images" if "num_train" in data else "images"
    size = checkpoint.config.image_size
    lines = [
        f"Images: ours are {count} of {len(checkpoint.config.classes)} classes at {size}×{size} pixels "
        f"({model_set.name.partition('/')[0]}); the original's "
        f"about 30,000 photos of birds of {original.original_study()['architecture']['classes_r']} species, 256×256.",
    ]
    final = _protocol("final")
    pairs = {
        "optimizer": (recipe.get("optimizer"), str(final["optimizer"]).lower()),
        "learning rate": (recipe.get("lr"), final["lr"]),
        "schedule": (recipe.get("schedule"), str(final["scheduler"]).partition(" ")[0]),
        "epochs": (recipe.get("epochs"), final["epochs"]),
        "batch size": (recipe.get("batch_size"), final["batch_size"]),
        "layers": (checkpoint.config.depth, original.original_study()["architecture"]["layers"]),
    }
    same = [f"{name} {theirs}" for name, (here, theirs) in pairs.items() if here == theirs]
    other = [f"{name} {here} (original {theirs})" for name, (here, theirs) in pairs.items() if here not in (theirs, None)]
    lines += [f"The same: {listed(same)}."] if same else []
    lines += [f"Not the same: {listed(other)}."] if other else []
    lines.append(f"Precision: {provenance.get('precision', 'not recorded')}; the original's is not stated.")
    lines.append(
        "Seeds: the original gives one figure for each network and no seed, so how much its figures would move is not known."
    )
    return lines
