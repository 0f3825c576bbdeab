"""What is left under harm to the images, and in words what that shows of instance normalization."""

import functools

import pandas as pd

from normzoo.analysis import comparisons
from normzoo.images.corruptions import CORRUPTIONS
from normzoo.plotting import static as plots
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name
from training.evaluation.contrast import CHANGES, NAME, read_contrast
from training.report.markdown import Drawing, Section, bullets, commands, details, listed, percent, table
from training.report.runs import PACKAGE

CONTRAST = "python -m training contrast"
#: The columns of what `contrast` measures.
TITLES = {
    "none": "As they are",
    "stored": "Towards grey",
    "unrounded": "Towards grey unrounded",
    "about the padding": "Towards the padding",
}
#: A network that keeps this share of its accuracy is as good as unharmed.
NEARLY_ALL = 0.9
WHY_CONTRAST = (
    "Why instance normalization should not mind, in theory: less contrast moves every pixel x to m + a (x − m), with one "
    "grey m and "
    "one factor a for the whole image. A convolution without bias is linear, so each of its channels becomes a times what it "
    "was plus "
    "one constant (but for the zero padding at the border). Instance normalization subtracts the mean of each image's "
    "channel, and "
    "with it the constant, and divides by its standard deviation, and with it a: what it hands on is what it was (but for eps, "
    "rounding to 8 bits and clipping). Group and layer normalization divide by the image's own deviation too, but subtract "
    "one mean "
    "from several channels, whose constants differ; batch normalization uses the training set's statistics, so that a and "
    "the constants "
    "pass through it; batch-instance normalization lies between, by its gates. A brightness factor is the same kind of "
    "change. What the "
    "networks had learned to rely on is another matter, which only the numbers show."
)


def robustness_section(model_set: ModelSet) -> Section:
    """The zoo's norms under every corruption."""
    section = Section("Robustness")
    again = commands(f"{PACKAGE} --again", CONTRAST)
    found = comparisons.robustness(model_set, model_set.main_variants)
    frame = found.frame
    if frame.empty:
        section.add("Not stored for this set: the networks were packaged without it.", again)
        return section
    section.add(
        "Accuracy on the validation images, harmed at severities 1 to 5 of `normzoo.images.corruptions`. n = 1: the packaged "
        "weights, those of one seed. Each column is the mean over the five severities, the last one the mean over all "
        "corruptions.",
        _means(frame),
        Drawing(
            f"{model_set.name}/robustness",
            "Accuracy against severity",
            frame.round(6).to_csv(index=False),
            functools.partial(plots.robustness, frame, {key: kind.title for key, kind in CORRUPTIONS.items()}),
        ),
        *details("Every corruption at every severity", _everything(frame)),
        "What it shows. The share of a network's clean accuracy that is left, mean over the severities:",
        bullets(_kept_words(frame, key) for key in CORRUPTIONS if key in set(frame["corruption"])),
        contrast_words(frame),
        WHY_CONTRAST,
        *_padding_words(_contrast_rows(model_set)),
    )
    for reason in dict.fromkeys(found.problems.values()):
        names = [short_name(variant) for variant, each in found.problems.items() if each == reason]
        section.add(f"Left out: {listed(names)}. {reason}")
    section.add(again)
    overall = frame.groupby("variant", sort=False)["kept"].mean().sort_values(ascending=False, kind="stable")
    if len(overall) > 1:
        section.gist = (
            f"over all corruptions {short_name(overall.index[0])} keeps most of its clean accuracy "
            f"({percent(overall.iloc[0], 1)}%), "
            f"{short_name(overall.index[-1])} least ({percent(overall.iloc[-1], 1)}%)."
        )
    return section


def _contrast_rows(model_set: ModelSet) -> list[dict[str, str]]:
    checkpoint = next(iter(model_set.checkpoints.values()))
    rows = read_contrast(checkpoint.folder.parents[1] / NAME)
    return [row for row in rows if row["recipe"] == checkpoint.metrics["recipe"]]


def contrast_words(frame: pd.DataFrame) -> str:
    """Does instance normalization keep more than the others under less contrast? What the numbers say."""
    shares = _shares(frame, "contrast")
    if "in" not in shares.index or len(shares) < 2:
        return "Instance normalization under less contrast: there are not two networks to compare."
    place, kept = int((shares > shares["in"]).sum()) + 1, shares["in"]
    worst = frame[(frame["corruption"] == "contrast") & (frame["variant"] == "in")].sort_values("severity").iloc[-1]
    words = (
        f"Under less contrast IN keeps {percent(kept, 1)}% of its accuracy on average, and {percent(worst['kept'], 1)}% at "
        f"severity "
        f"{worst['severity']}: "
    )
    if place == 1:
        words += "more than any other network here, as the theory says."
    else:
        more = [f"{short_name(str(variant))} {percent(share, 1)}%" for variant, share in shares.items() if share > kept]
        words += (
            f"place {place} of {len(shares)}, where the theory has it first. {listed(more)} keep{'s' * (len(more) == 1)} more."
        )
    if worst["kept"] < NEARLY_ALL:
        words += " That is far from all of it: something that the theory leaves out counts."
    return words


def _padding_words(rows: list[dict[str, str]]) -> list[str]:
    """What is left when contrast is taken towards the colour of the padding instead, as a table and in words."""
    if not rows:
        return [f"What it is has not been measured for this set: `{CONTRAST}`."]
    found = {(row["variant"], row["change"]): float(row["accuracy"]) for row in rows}
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    cells = [[short_name(variant), *(percent(found[variant, change]) for change in CHANGES)] for variant in variants]
    whole = [each for each in variants if found[each, "about the padding"] >= NEARLY_ALL * found[each, "none"]]
    others = [each for each in variants if each not in whole]
    words = (
        f"Is it the zero padding? Here every pixel is moved to {float(rows[0]['factor']):g} times its distance, n = 1: towards "
        "each image's grey, as the corruption does it; the same without rounding; and towards the mean colour of the training "
        "images, which becomes 0, as the padding is: then border and image shrink together. "
    )
    if whole:
        words += (
            f"{listed([short_name(each) for each in whole])} then keep{'s' * (len(whole) == 1)} at least 90% of the accuracy. "
        )
    if others:
        words += f"{listed([short_name(each) for each in others])} do{'es' * (len(others) == 1)} not. "
    if "in" in whole and found["in", "stored"] < NEARLY_ALL * found["in", "none"]:
        words += (
            "So for IN it is the border: away from it the first norm takes away any constant, and rounding alone harms nothing "
            "in the last column. "
        )
    if "nn" in whole:
        words += "(A network without norms and biases scales its logits with its input, so it gives the same answers.)"
    return [words.strip(), table(["Accuracy (%)", *(title.partition(",")[0] for title in TITLES.values())], cells)]


def _shares(frame: pd.DataFrame, corruption: str) -> "pd.Series[float]":
    """Variant -> share of its clean accuracy under a corruption, most first."""
    of_kind = frame[frame["corruption"] == corruption]
    return of_kind.groupby("variant", sort=False)["kept"].mean().sort_values(ascending=False, kind="stable")


def _kept_words(frame: pd.DataFrame, corruption: str) -> str:
    shares = _shares(frame, corruption)
    words = [f"{short_name(str(variant))} {percent(share, 1)}%" for variant, share in shares.items()]
    return f"{CORRUPTIONS[corruption].title}: {listed(words)}."


def _means(frame: pd.DataFrame) -> str:
    rows = []
    for variant, of_variant in frame.groupby("variant", sort=False):
        means = of_variant.groupby("corruption")["accuracy"].mean()
        cells = [percent(means[key]) if key in means else "–" for key in CORRUPTIONS]
        rows.append(
            [short_name(str(variant)), percent(of_variant["clean"].iloc[0]), *cells, percent(of_variant["accuracy"].mean())]
        )
    return table(["Accuracy (%)", "Clean", *[kind.title for kind in CORRUPTIONS.values()], "Mean"], rows)


def _everything(frame: pd.DataFrame) -> str:
    wide = frame.pivot_table(index=["corruption", "severity"], columns="variant", values="accuracy", sort=False)
    variants = list(dict.fromkeys(frame["variant"]))
    rows = []
    for (corruption, severity), values in wide.iterrows():
        kind = CORRUPTIONS[corruption]
        cells = [percent(values[variant]) for variant in variants]
        rows.append([f"{kind.title} ({kind.setting})", severity, f"{kind.levels[severity - 1]:g}", *cells])
    return table(["Corruption", "Severity", "Setting", *[short_name(variant) for variant in variants]], rows)
