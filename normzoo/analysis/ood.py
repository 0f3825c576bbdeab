"""Out-of-distribution (OOD) inputs: how well the maximum softmax probability tells them from images of known classes."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from normzoo.analysis.results import measured_rows
from normzoo.pretrained.checkpoint import OOD_TABLE
from normzoo.pretrained.registry import ModelSet
from normzoo.pretrained.serialization import read_table

OOD_COLUMNS = (
    *("recipe", "variant", "against", "seed", "known", "unknown", "auroc", "standard_error"),
    *("fpr95", "threshold", "known_flagged", "unknown_flagged", "noise_confidence"),
)
#: In the column of the variant: the mean of the probabilities of all networks of the set.
ENSEMBLE = "ensemble"
#: At most this share of known images may be below the threshold.
FALSE_ALARMS = 0.1
#: Of the unknown images, in pixels.
UNKNOWN_SIZE = 32
UNKNOWN_CLASSES = ("airplane", "deer", "frog", "horse")


@dataclass(frozen=True)
class Ood:
    """How a network's maximum softmax probability tells known images from unknown ones; of one run.

    Args:
        known, unknown: how many images of each there were.
        auroc: chance that it is larger for a known image than for an unknown one; of two networks (`against`) the difference.
        standard_error: of that, over images (DeLong).
        fpr95: share of the unknown images above the threshold that 95% of the known ones reach.
        threshold: below it an image is flagged. Fitted on one half of the known images, so that with 95% confidence at most
            `FALSE_ALARMS` of them are flagged; not a number where AUROC is below 0.5.
        known_flagged: share of the other half that is flagged, a false alarm.
        unknown_flagged: share of the unknown images that is.
        noise_confidence: mean of the maximum softmax probability on uniform noise; not a number where it was not measured.
    """

    known: float
    unknown: float
    auroc: float
    standard_error: float
    fpr95: float
    threshold: float
    known_flagged: float
    unknown_flagged: float
    noise_confidence: float

    @property
    def is_useful(self) -> bool:
        """Does the threshold tell anything?"""
        return self.auroc > 0.5 and self.threshold == self.threshold


def read_ood(model_set: ModelSet, variants: Iterable[str]) -> dict[str, Ood]:
    """Return what was measured of these variants of a set, and of the ensemble where these are all."""
    return {variant: found for (variant, against), found in _read(model_set, variants).items() if not against}


def read_ood_differences(model_set: ModelSet, variants: Iterable[str]) -> dict[tuple[str, str], Ood]:
    """Return the difference of AUROC of every two of these variants, with its standard error on the same images."""
    found = _read(model_set, variants)
    # Of the second network the weights are named in its own row alone.
    return {pair: each for pair, each in found.items() if pair[1] and (pair[1], "") in found}


def read_ood_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no table."""
    return read_table(path, lambda row: [float(row[name] or "nan") for name in OOD_COLUMNS[3:]])


def _read(model_set: ModelSet, variants: Iterable[str]) -> dict[tuple[str, str], Ood]:
    wanted = set(variants)
    if wanted >= set(model_set.main_variants):
        wanted.add(ENSEMBLE)
    rows = measured_rows(model_set, wanted, OOD_TABLE, read_ood_table)
    return {
        (row["variant"], row["against"]): Ood(*(float(row[each.name] or "nan") for each in fields(Ood)))
        for row in rows
        if row["against"] in {"", *wanted}
    }
