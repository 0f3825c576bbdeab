"""Out-of-distribution (OOD) detection by the maximum softmax probability."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from normzoo.analysis.results import measured_rows
from normzoo.pretrained.checkpoint import OOD_TABLE
from normzoo.pretrained.registry import ModelSet

#: In the column `variant`: mean probabilities of all networks of the set.
ENSEMBLE = "ensemble"
#: At most this share of known images may be below the threshold.
FALSE_ALARMS = 0.1
#: Side of the OOD images, in pixels.
UNKNOWN_SIZE = 32
UNKNOWN_CLASSES = ("airplane", "deer", "frog", "horse")


@dataclass(frozen=True)
class Ood:
    """OOD detection of one run.

    Args:
        known, unknown: number of in-distribution and OOD images.
        auroc: probability that it is larger for a known image than for an OOD one; with `against`, the difference.
        standard_error: of `auroc`, over images (DeLong).
        fpr95: share of the OOD images above the threshold that 95% of the known ones reach.
        threshold: images below it are flagged. Fitted on one half of the known images, so that with 95% confidence at most
            `FALSE_ALARMS` of them are flagged; NaN if AUROC is below 0.5.
        known_flagged: share of the other half that is flagged.
        unknown_flagged: share of the OOD images that is flagged.
        noise_confidence: mean maximum softmax probability on uniform noise; NaN if not measured.
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
        """Is AUROC better than chance?"""
        return self.auroc > 0.5 and self.threshold == self.threshold


def read_ood(model_set: ModelSet, variants: Iterable[str]) -> dict[str, Ood]:
    """Return the measurements of these variants of a set, and of the ensemble if these are all."""
    return {variant: found for (variant, against), found in _read(model_set, variants).items() if not against}


def read_ood_differences(model_set: ModelSet, variants: Iterable[str]) -> dict[tuple[str, str], Ood]:
    """Return the difference of AUROC of each pair of variants, with its standard error."""
    found = _read(model_set, variants)
    # Of the second network the weights are named in its own row alone.
    return {pair: each for pair, each in found.items() if pair[1] and (pair[1], "") in found}


def _read(model_set: ModelSet, variants: Iterable[str]) -> dict[tuple[str, str], Ood]:
    wanted = set(variants)
    if wanted >= set(model_set.main_variants):
        wanted.add(ENSEMBLE)
    rows = measured_rows(model_set, wanted, OOD_TABLE)
    return {
        (row["variant"], row["against"]): Ood(*(row[each.name] for each in fields(Ood)))
        for row in rows
        if row["against"] in {"", *wanted}
    }
