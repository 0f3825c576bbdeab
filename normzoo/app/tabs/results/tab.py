"""What the networks have to do with each other: who beats whom, other trainings, calibration."""

from normzoo.app.core.catalog import Catalog
from normzoo.app.core.controls import Chooser
from normzoo.app.tabs.results import calibration, other_trainings
from normzoo.app.tabs.results import comparisons as versus
from normzoo.pretrained.registry import ModelSet


def build_evidence(catalog: Catalog, default: ModelSet, chooser: Chooser) -> None:
    """Place the parts."""
    versus.build(catalog, chooser)
    other_trainings.build(catalog, chooser)
    calibration.build(catalog, chooser)
