"""Findings from the stored results, for the page and the report. A new one is a module and a line here."""

from collections.abc import Callable, Iterator

from normzoo.findings.accuracy import accuracy_finding
from normzoo.findings.batch_size import batch_size_finding, ghost_batches_finding
from normzoo.findings.batch_statistics import batch_statistics_finding
from normzoo.findings.calibration import calibration_finding
from normzoo.findings.changes import image_size_finding, recipe_change_finding
from normzoo.findings.finding import Evidence, Finding, ResultTable
from normzoo.findings.learning_curves import learning_curves_finding
from normzoo.findings.learning_rate import learning_rate_finding
from normzoo.findings.ood import ood_finding
from normzoo.findings.original_study import original_study_finding
from normzoo.findings.pairs import pairs_finding
from normzoo.findings.parity import parity_finding
from normzoo.findings.recipe_search import recipe_search_finding
from normzoo.findings.robustness import robustness_finding

__all__ = ["COMMON", "OF_A_SET", "Evidence", "Finding", "ResultTable", "find_all"]

#: Key -> function that returns a finding of the shown set, or None if something was not measured.
OF_A_SET: dict[str, Callable[[Evidence], Finding | None]] = {
    "accuracy": accuracy_finding,
    "pairs": pairs_finding,
    "learning-curves": learning_curves_finding,
    "robustness": robustness_finding,
    "batch-statistics": batch_statistics_finding,
    "calibration": calibration_finding,
    "ood": ood_finding,
}
#: The same for all sets on these images.
COMMON: dict[str, Callable[[Evidence], Finding | None]] = {
    "learning-rate": learning_rate_finding,
    "batch-size": batch_size_finding,
    "ghost-batches": ghost_batches_finding,
    "image-size": image_size_finding,
    "recipe-change": recipe_change_finding,
    "recipe-search": recipe_search_finding,
    "parity": parity_finding,
    "original-study": original_study_finding,
}


def find_all(evidence: Evidence) -> Iterator[Finding]:
    """Yield every finding that the stored results allow, in order."""
    for make in (*OF_A_SET.values(), *COMMON.values()):
        if (finding := make(evidence)) is not None:
            yield finding
