"""Finding on corrupted validation images: the accuracy that is left, and why less contrast harms."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.analysis.results import measured_rows
from normzoo.analysis.statistics import wilson_interval
from normzoo.formatting import capital, listed, percent, signed
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.pretrained.checkpoint import CONTRAST_TABLE
from normzoo.pretrained.registry import ModelSet
from normzoo.pretrained.serialization import read_table
from normzoo.variants import short_name

CONTRAST_COLUMNS = ("recipe", "variant", "factor", "change", "accuracy")
#: change -> the heading of its column; what is done to the images of the strongest severity of less contrast.
CHANGES = {
    "none": "Clean",
    "stored": "Towards grey",
    "unrounded": "Towards grey, unrounded",
    "about the padding": "Towards the padding",
    "about the padding, bias scaled": "Towards the padding, last bias scaled too",
    "none, replicated border": "Clean, replicated border",
    "unrounded, replicated border": "Towards grey, unrounded, replicated border",
}
NOT_COMPARABLE = (
    "The levels of contrast, blur, noise and JPEG are CIFAR-10-C's, the operators are not (Pillow's, on 8 bits, contrast about "
    "one mean grey of the image): figures here are not comparable with those of CIFAR-10-C."
)
THEORY = (
    "What one would expect of less contrast: it moves every pixel x to m + a (x − m), with one grey m and one factor a for the "
    "whole image. A convolution without bias is linear: each of its channels becomes a times what it was plus one constant, "
    "but "
    "for the border, where the padding stays 0. Only instance normalization takes both away again: it subtracts each channel's "
    "mean, and with it the constant, and divides by its deviation, and with it a. Group and layer normalization divide by the "
    "image's own deviation too, but subtract one mean from several channels, whose constants differ; batch normalization uses "
    "the training set's statistics, so both pass through it."
)


def summarize(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per variant, in fractions: `clean`, `mean` over all corruptions and severities, `kept` (mean / clean),
    and a column for the mean of each corruption.

    Args:
        frame: as `comparisons.robustness` gives it.
    """
    kinds = frame.pivot_table(index="variant", columns="corruption", values="accuracy", sort=False)
    clean = frame.groupby("variant", sort=False)["clean"].first()
    mean = kinds.mean(axis=1)
    summary = pd.DataFrame({"clean": clean, "mean": mean, "kept": (mean / clean).where(clean > 0, 0.0)})
    return summary.join(kinds).reset_index()


def robustness_finding(
    frame: pd.DataFrame, images: int, contrast: list[dict[str, str]], corruption: str | None = None
) -> Finding:
    """Return what the stored accuracies under corruption say.

    Args:
        frame: as `comparisons.robustness` gives it, not empty.
        images: in the validation set, for the intervals.
        contrast: rows of `CONTRAST_TABLE` for the networks of the frame.
        corruption: one of them, or None for all together.
    """
    summary = summarize(frame)
    tables = [_means(summary)]
    if corruption is not None:
        of_kind = frame[frame["corruption"] == corruption].groupby("variant", sort=False)["accuracy"].mean()
        summary = summary.assign(mean=summary["variant"].map(of_kind))
        summary["kept"] = (summary["mean"] / summary["clean"]).where(summary["clean"] > 0, 0.0)
    best = summary.sort_values("mean", ascending=False, kind="stable")
    means = [f"{short_name(row.variant)} {_with_interval(row.mean, images)}" for row in best.itertuples()]
    kept = [f"{short_name(row.variant)} {_kept(row.mean, row.clean, images)}" for row in best.itertuples()]
    of_what = _of_what(corruption, frame["corruption"].nunique())
    seeds = listed([str(seed) for seed in sorted(frame["seed"].unique())])
    paragraphs = [
        f"Mean accuracy in per cent {of_what}, best first, with 95% intervals over the {images:,} validation images "
        f"(Wilson; wider than needed for a mean over conditions, and not of differences: two that overlap need not be "
        f"equal): {listed(means)}.",
        f"As a share of the clean accuracy, in the same order: {listed(kept)}. A share alone praises a network that has little "
        "to lose.",
        f"n = 1: one run of each network, the one whose weights are packaged (seed {seeds}). {NOT_COMPARABLE}",
    ]
    if corruption is None:
        paragraphs.append(_hardest(frame))
    if corruption in (None, "contrast") and "contrast" in set(frame["corruption"]):
        paragraphs += [THEORY, _contrast_words(frame), *_why(contrast)]
        tables += [_contrast_figures(contrast)] if contrast else []
    top, bottom = best.iloc[0], best.iloc[-1]
    summary_words = (
        f"mean accuracy over all corruptions is highest for {short_name(top['variant'])} ({percent(top['mean'], 1)}%), lowest "
        f"for {short_name(bottom['variant'])} ({percent(bottom['mean'], 1)}%; n = 1)."
        if len(best) > 1
        else ""
    )
    return Finding(summary_words, paragraphs, tables=tables)


def read_contrast(model_set: ModelSet, variants: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of `CONTRAST_TABLE` for these variants of a set; none where it was not measured."""
    return measured_rows(model_set, variants, CONTRAST_TABLE, read_contrast_table)


def read_contrast_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no table.

    Raises:
        CheckpointError: it is damaged.
    """
    return read_table(path, lambda row: float(row["accuracy"]))


def _of_what(corruption: str | None, count: int) -> str:
    if corruption is None:
        return f"over {count} corruptions × {len(SEVERITIES)} severities"
    kind = CORRUPTIONS[corruption]
    return f"for {kind.title} ({kind.setting}: {', '.join(f'{level:g}' for level in kind.levels)}; {kind.definition})"


def _with_interval(share: float, images: int) -> str:
    interval = wilson_interval(share, images)
    return f"{percent(share, 1)} ({percent(interval.low, 1)} to {percent(interval.high, 1)})"


def _kept(mean: float, clean: float, images: int) -> str:
    """The share with bounds from both intervals, which is wider than needed: both are of the same images."""
    if not clean > 0:
        return "–"
    above, below = wilson_interval(mean, images), wilson_interval(clean, images)
    return f"{percent(mean / clean, 1)}% ({percent(above.low / below.high, 0)} to {percent(min(1, above.high / below.low), 0)})"


def _hardest(frame: pd.DataFrame) -> str:
    means = frame.groupby("corruption", sort=False)["accuracy"].mean().sort_values()
    worst, least = (CORRUPTIONS[key].title if key in CORRUPTIONS else key for key in (means.index[0], means.index[-1]))
    return (
        f"Hardest for these networks together is {worst}, mean accuracy {percent(means.iloc[0], 1)}%; easiest is {least}, "
        f"{percent(means.iloc[-1], 1)}%."
    )


def _contrast_words(frame: pd.DataFrame) -> str:
    """Is it instance normalization that stands less contrast best?"""
    under = frame[frame["corruption"] == "contrast"]
    last = under[under["severity"] == under["severity"].max()].sort_values("accuracy", ascending=False, kind="stable")
    told = [f"{short_name(str(row.variant))} {percent(row.clean)} → {percent(row.accuracy)}" for row in last.itertuples()]
    words = f"Under the strongest loss of contrast accuracy goes, best first: {listed(told)} per cent."
    if "in" not in set(last["variant"]):
        return words
    of_in = last.set_index("variant").loc["in"]
    lost = of_in["clean"] - of_in["accuracy"]
    if lost > 0.1 * of_in["clean"]:
        return f"{words} IN loses {signed(lost).removeprefix('+')} points where theory has it lose none: something else counts."
    return f"{words} IN keeps nearly all of it, as theory says."


def _why(rows: list[dict[str, str]]) -> list[str]:
    """Return what the border has to do with it."""
    if not rows:
        return ["Whether it is the border has not been measured for these networks: python -m training contrast."]
    found = {(row["variant"], row["change"]): float(row["accuracy"]) for row in rows}
    lines = []
    clean, harmed = (found.get(("in", f"{change}, replicated border")) for change in ("none", "unrounded"))
    if clean is not None and harmed is not None:
        usual = found["in", "none"]
        lines.append(
            "Is it the border? With the border replicated instead of 0 in the first convolution, IN's accuracy is "
            f"{percent(clean)}% on clean images and {percent(harmed)}% under the strongest loss of contrast: without the zero "
            f"border less contrast {'does it no harm' if abs(clean - harmed) < 0.005 else 'harms it less'}. With the border it "
            f"was trained with it has {percent(usual)}% on clean images: it "
            + (
                "uses the border, in theory the only trace of brightness that its first norm leaves."
                if usual - clean > 0.01
                else "hardly uses it."
            )
        )
    lines.append(
        "Moving the pixels towards the colour that becomes 0, as the padding is, scales all of the input. For IN, GN and LN "
        "that is an identity (but for ε and rounding), so the column says nothing about them."
    )
    scaled = found.get(("nn", "about the padding, bias scaled"))
    if scaled is not None:
        lines.append(
            "NN without norms scales its logits with its input, but for the bias of its last layer: scaled too, it has "
            f"{percent(scaled)}% (clean {percent(found['nn', 'none'])}%), unscaled "
            f"{percent(found['nn', 'about the padding'])}%."
        )
    return lines


def _contrast_figures(rows: list[dict[str, str]]) -> Figures:
    found = {(row["variant"], row["change"]): float(row["accuracy"]) for row in rows}
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    table = Figures(
        f"Accuracy in per cent where every pixel keeps {float(rows[0]['factor']):g} of its distance from a colour; n = 1"
    )
    table.add("Network", [short_name(variant) for variant in variants])
    for change, title in CHANGES.items():
        values = [found.get((variant, change)) for variant in variants]
        if any(value is not None for value in values):
            table.add(title, [None if value is None else 100 * value for value in values], ".2f")
    return table


def _means(summary: pd.DataFrame) -> Figures:
    titles = {"clean": "Clean", "mean": "Mean over all", "kept": "Kept of clean"}
    titles |= {key: capital(kind.title) for key, kind in CORRUPTIONS.items() if key in summary}
    table = Figures("Accuracy on corrupted validation images, each corruption as the mean over its severities")
    table.add("Network", [short_name(variant) for variant in summary["variant"]])
    for key, title in titles.items():
        table.add(f"{title} (%)", 100 * summary[key], ".2f", higher_is_better=True)
    return table
