"""Finding on images of nothing that the networks know: can they tell, by how sure they are?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.analysis.results import measured_rows
from normzoo.analysis.statistics import auroc_half_width
from normzoo.formatting import listed, percent
from normzoo.pretrained.checkpoint import UNKNOWNS_TABLE
from normzoo.pretrained.registry import ModelSet
from normzoo.pretrained.serialization import read_table
from normzoo.variants import short_name

UNKNOWNS_COLUMNS = (
    *("recipe", "variant", "seed", "known", "unknown"),
    *("auroc", "threshold", "known_below", "unknown_below", "noise_confidence"),
)
#: In the column of the variant: the mean of the probabilities of all networks of the set.
TOGETHER = "together"
#: Of their images, in pixels.
UNKNOWN_SIZE = 32
UNKNOWN_CLASSES = ("airplane", "deer", "frog", "horse")


@dataclass(frozen=True)
class Unknowns:
    """How a network's largest probability parts known images from unknown ones; of one seed.

    Args:
        auroc: chance that a known image has a larger one than an unknown image.
        threshold: the probability that parts them best (Youden's index): below it are the shares `known_below` of the known
            and `unknown_below` of the unknown images.
        noise_confidence: mean of the largest probability on uniform noise; not a number where it was not measured.
    """

    auroc: float
    threshold: float
    known_below: float
    unknown_below: float
    noise_confidence: float


def read_unknowns(model_set: ModelSet, variants: Iterable[str]) -> dict[str, Unknowns]:
    """Return what was measured of these variants of a set, and of all together where it is all; nothing where it was not.

    Raises:
        CheckpointError: the table is damaged.
    """
    wanted = set(variants)
    if wanted >= set(model_set.main_variants):
        wanted.add(TOGETHER)
    return {
        row["variant"]: Unknowns(*(float(row[name] or "nan") for name in Unknowns.__dataclass_fields__))
        for row in measured_rows(model_set, wanted, UNKNOWNS_TABLE, read_unknowns_table)
    }


def read_unknowns_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no table.

    Raises:
        CheckpointError: it is damaged.
    """
    optional = ("noise_confidence", "threshold", "known_below", "unknown_below")
    kept = UNKNOWNS_COLUMNS[2:]
    return read_table(path, lambda row: [float(row[name]) for name in kept if row[name] != "" or name not in optional])


def unknown_words(largest: float, together: Unknowns, networks: int, classes: int) -> str:
    """Return a sentence where the networks together are as unsure of a photo as of unknown things; empty otherwise.

    Args:
        largest: the largest of the means of their probabilities.
        together: what was measured of that.
        networks, classes: how many there are, and how many things they know.
    """
    if not largest < together.threshold:  # nor where nothing parts them
        return ""
    return (
        f"This may be none of the {classes} things that the {networks} networks know: of no class are they more than "
        f"{percent(largest, 0)}% sure on average. Below {percent(together.threshold, 0)}% are "
        f"{percent(together.unknown_below, 0)}% of photos of other things, and {percent(together.known_below, 0)}% of photos "
        "of what they know."
    )


def unknowns_finding(measured: Mapping[str, Unknowns], known: int, unknown: int) -> Finding:
    """Return what was measured of some variants, in words and as a table."""
    networks = {variant: each for variant, each in measured.items() if variant != TOGETHER}
    if not networks:
        return Finding()
    best = sorted(networks, key=lambda variant: -networks[variant].auroc)
    noise = max(networks, key=lambda variant: networks[variant].noise_confidence)
    told = listed([f"{short_name(variant)} {measured[variant].auroc:.2f}" for variant in best])
    width = max(auroc_half_width(each.auroc, known, unknown) for each in networks.values())
    table = Figures(f"By the largest probability: {known:,} validation images against {unknown:,} images of unknown things")
    table.add("Network", ["All together" if variant == TOGETHER else short_name(variant) for variant in measured])
    table.add("AUROC", [each.auroc for each in measured.values()], ".3f", higher_is_better=True)
    for title, key in (
        ("Threshold (%)", "threshold"),
        ("Known below (%)", "known_below"),
        ("Unknown below (%)", "unknown_below"),
        ("Mean on noise (%)", "noise_confidence"),
    ):
        table.add(title, [100 * getattr(each, key) for each in measured.values()], ".1f")
    return Finding(
        f"out-of-distribution detection by the largest probability, AUROC: {told} (±{width:.2f}, 95% over images; n = 1).",
        [
            f"A network always answers with one of its classes. Unknown things are CIFAR-10's test images of "
            f"{listed(UNKNOWN_CLASSES)} (its JPEG edition). AUROC: how often the largest probability is larger for a known "
            "image than for an unknown one; 0.5 is chance. The threshold parts them best. Both kinds come from different "
            "collections, so what is noticed may be the camera as well as the thing. n = 1: the packaged weights.",
            f"On uniform noise {short_name(noise)} is surest: {percent(networks[noise].noise_confidence, 1)}% on average.",
        ],
        tables=[table],
    )
