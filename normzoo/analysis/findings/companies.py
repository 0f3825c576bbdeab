"""Finding on whose statistics a norm takes: the remembered ones, or those of the images that go through together."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.analysis.results import measured_rows
from normzoo.formatting import listed, percent, signed
from normzoo.pretrained.checkpoint import COMPANIES_TABLE
from normzoo.pretrained.registry import ModelSet
from normzoo.pretrained.serialization import read_table
from normzoo.variants import short_name

#: Share of the images that are answered differently among other images, drawn at random.
SWAPPED = "swapped"
COMPANIES_COLUMNS = ("recipe", "variant", "seed", "images", "severity", "order", "batch", "accuracy", SWAPPED)
RANDOM, BY_CLASS = "random", "by class"
BATCHES = ("8", "32", "200", "all")
#: The batch whose accuracy stands beside that of the remembered statistics in charts and sentences.
SHOWN_BATCH = "200"


def read_companies(model_set: ModelSet, variants: Iterable[str]) -> pd.DataFrame:
    """Return what was measured of these variants of a set: the columns of the table; no rows where it was not.

    Raises:
        CheckpointError: the table is damaged.
    """
    rows = measured_rows(model_set, variants, COMPANIES_TABLE, read_companies_table)
    frame = pd.DataFrame(rows, columns=list(COMPANIES_COLUMNS))
    return frame.assign(severity=frame["severity"].astype(int), accuracy=frame["accuracy"].astype(float))


def read_companies_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no table.

    Raises:
        CheckpointError: it is damaged.
    """

    def check(row: Mapping[str, str]) -> None:
        int(row["severity"]), float(row["accuracy"]), float(row[SWAPPED] if row[SWAPPED] != "" else 0)
        [row[name] for name in COMPANIES_COLUMNS]

    return read_table(path, check)


def own_statistics_lines(companies: pd.DataFrame, corruption: str | None = None) -> pd.DataFrame:
    """Return accuracy against severity, 0 being clean images, with the statistics of batches of `SHOWN_BATCH`.

    Args:
        companies: as `read_companies` gives it.
        corruption: one of them, or None for the mean over all.

    Returns:
        one row per variant and severity: `variant`, `severity`, `accuracy`.
    """
    shown = companies[(companies["batch"] == SHOWN_BATCH) & (companies["order"] == RANDOM)]
    if corruption is not None:
        shown = shown[shown["images"].isin(["clean", corruption])]
    return shown.groupby(["variant", "severity"], sort=False, as_index=False)["accuracy"].mean()


def companies_finding(companies: pd.DataFrame, remembered: pd.DataFrame) -> Finding:
    """Return what the statistics of the images themselves change.

    Args:
        companies: as `read_companies` gives it.
        remembered: as `comparisons.robustness` gives it, of all variants that are shown.
    """
    companies = companies[companies["variant"].isin(remembered["variant"])]  # of the others only the one is known
    variants = [str(variant) for variant in companies["variant"].unique()]
    if not variants:
        return Finding()
    clean = remembered.groupby("variant", sort=False)["clean"].first()
    corrupted = remembered.groupby("variant", sort=False)["accuracy"].mean()
    own = functools.partial(_mean, companies)
    lifted = [f"{short_name(each)} from {percent(corrupted[each], 1)} to {percent(own(each, True), 1)}%" for each in variants]
    others = corrupted.drop(index=variants)
    beside = ""
    if len(others):
        best = short_name(str(others.idxmax()))
        beside = f" The best of the networks that look at one image at a time, {best}, has {percent(others.max(), 1)}%."
    costs = [f"{short_name(each)} {signed(own(each, False) - clean[each], 1)}" for each in variants]
    by_class = [
        f"{short_name(each)} from {percent(own(each, False, batch='8'), 1)} to {percent(own(each, False, BY_CLASS, '8'), 1)}%"
        for each in variants
    ]
    swapped = [
        f"{short_name(each)} answers {_swapped(companies, each, '8')}% of the images differently at batch 8, "
        f"{_swapped(companies, each, '32')}% at 32"
        for each in variants
    ]
    return Finding(
        f"with statistics of the corrupted images themselves (batches of {SHOWN_BATCH}) mean accuracy under corruption goes: "
        f"{listed(lifted)} (n = 1).",
        [
            "Whose statistics? In evaluation batch and batch-instance normalization use averages that they remember of the "
            "training images. Given those of the images that go through together (prediction-time or test-time batch "
            f"normalization), in batches of {SHOWN_BATCH} (dotted lines in the chart of the page), mean accuracy over all "
            f"corruptions goes: {listed(lifted)}.{beside} No weight is changed: what fails under corruption is in good part "
            "that what is remembered no longer fits. All images of a batch have one corruption at one severity; where they are "
            "mixed, less may be gained.",
            f"On clean images it changes accuracy by (points): {listed(costs)}. Where the images come sorted by class, most "
            "batches of 8 hold images of one class, and the statistics take out what they have in common: accuracy at batch 8 "
            f"goes {listed(by_class)}.",
            f"And an answer depends on the company. Among two random sets of other images, {listed(swapped)}. The other norms "
            "look at one image, and cannot. n = 1: the packaged weights.",
        ],
        tables=[_figures(companies, clean, corrupted)],
    )


def _mean(companies: pd.DataFrame, variant: str, is_corrupted: bool, order: str = RANDOM, batch: str = SHOWN_BATCH) -> float:
    rows = companies[(companies["variant"] == variant) & (companies["order"] == order) & (companies["batch"] == batch)]
    return float(rows[(rows["severity"] > 0) == is_corrupted]["accuracy"].mean())


def _swapped(companies: pd.DataFrame, variant: str, batch: str) -> str:
    rows = companies[(companies["variant"] == variant) & (companies["batch"] == batch) & (companies[SWAPPED] != "")]
    return percent(float(rows[SWAPPED].iloc[0]), 1)


def _figures(companies: pd.DataFrame, clean: pd.Series, corrupted: pd.Series) -> Figures:
    own = functools.partial(_mean, companies)
    kinds = (
        ("clean", clean, False, RANDOM),
        ("clean, sorted by class", clean, False, BY_CLASS),
        ("corrupted, mean over all", corrupted, True, RANDOM),
    )
    rows = [
        (f"{short_name(each)}, {words}", remembered[each], *(own(each, is_corrupted, order, batch) for batch in BATCHES))
        for each in map(str, companies["variant"].unique())
        for words, remembered, is_corrupted, order in kinds
    ]
    table = Figures("Accuracy in per cent with remembered statistics, and with those of batches of so many images; n = 1")
    titles = ("Network, images", "Remembered", *(f"Batches of {b}" if b != "all" else "All together" for b in BATCHES))
    for position, title in enumerate(titles):
        column = [row[position] for row in rows]
        table.add(title, column if position == 0 else [100 * value for value in column], "" if position == 0 else ".2f")
    return table
