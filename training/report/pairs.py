"""Who beats whom: every two networks of a recipe on the same validation images."""

from typing import Any

from normzoo.analysis import comparisons
from normzoo.analysis.comparisons import SIGNIFICANT
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name
from training.report.markdown import Section, bullets, commands, how_often, listed, signed, table
from training.report.runs import say_n, training_commands


def pairs_section(model_set: ModelSet) -> Section:
    """The zoo's norms against each other."""
    section = Section("Who beats whom")
    variants = model_set.main_variants
    rows = comparisons.pairs(model_set, variants).frame.to_dict("records")
    if not rows:
        section.add(
            "This takes two networks with stored answers for the same images.",
            commands(*training_commands(model_set, variants)),
        )
        return section
    told_apart = sum(bool(row["significant"]) for row in rows)
    section.add(
        say_n(model_set, variants),
        f"{told_apart} of {how_often(len(rows), 'pair')} can be told apart (p < {SIGNIFICANT} after Holm's correction over "
        f"all of "
        "them): an exact McNemar test on the validation images that only one of the two gets right, of the first seed that "
        "both "
        "have. It speaks of these trained networks; what another seed would change is in the interval only where n > 1.",
        bullets(_words(variant, rows) for variant in variants if any(variant in (r["first"], r["second"]) for r in rows)),
        "Difference is the first network's accuracy minus the second's in points, with the 95% interval of a paired bootstrap "
        "over the images (and the seeds, where there are several).",
        table(
            ["Pair", "n", "Difference", "95% interval", "Only first right", "Only second right", "p", "p (Holm)", "Told apart"],
            [_cells(row) for row in rows],
        ),
        commands("python -m training report"),
    )
    section.gist = f"{told_apart} of {how_often(len(rows), 'pair')} of networks can be told apart on the validation images."
    return section


def better(row: dict[str, Any]) -> str:
    """Which of a pair gets more images right that the other gets wrong."""
    return str(row["first"] if row["only_first"] > row["only_second"] else row["second"])


def p_text(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}".replace("-", "−")


def _words(variant: str, rows: list[dict[str, Any]]) -> str:
    beats, loses, open_ = list[str](), list[str](), list[str]()
    for row in rows:
        if variant in (row["first"], row["second"]):
            other = short_name(row["second"] if variant == row["first"] else row["first"])
            (open_ if not row["significant"] else beats if better(row) == variant else loses).append(other)
    words = [f"beats {listed(beats)}" if beats else "beats none"]
    words += [f"loses to {listed(loses)}"] if loses else []
    words += [f"cannot be told apart from {listed(open_)}"] if open_ else []
    return f"**{short_name(variant)}** {'; '.join(words)}."


def _cells(row: dict[str, Any]) -> list[Any]:
    return [
        f"{short_name(row['first'])} – {short_name(row['second'])}",
        row["n"],
        signed(row["difference"]),
        f"{signed(row['low'])} to {signed(row['high'])}",
        row["only_first"],
        row["only_second"],
        p_text(row["p_value"]),
        p_text(row["p_holm"]),
        "yes" if row["significant"] else "no",
    ]
