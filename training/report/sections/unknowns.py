"""How sure the networks are of things that they do not know."""

from normzoo.analysis.findings.unknowns import (
    UNKNOWN_SIZE,
    read_unknowns,
    read_unknowns_table,
    unknowns_finding,
)
from normzoo.analysis.results import measured_rows
from normzoo.pretrained.checkpoint import UNKNOWNS_TABLE
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Section, commands, finding_blocks


def unknowns_section(model_set: ModelSet) -> Section:
    """Return the section on images of unknown things."""
    section = Section("Things they do not know")
    again = commands("python -m training data fetch cifar-10", "python -m training unknowns")
    measured = read_unknowns(model_set, model_set.main_variants)
    if not measured:
        section.add("Not measured for this set.", again)
        return section
    row = measured_rows(model_set, measured, UNKNOWNS_TABLE, read_unknowns_table)[0]
    finding = unknowns_finding(measured, int(row["known"]), int(row["unknown"]))
    section.add(*finding_blocks(finding))
    size = model_set.image_size
    if size != UNKNOWN_SIZE:
        section.add(
            f"The unknown images are {UNKNOWN_SIZE}×{UNKNOWN_SIZE} and were brought to {size}×{size}: part of what tells them "
            "apart may be how coarse they are."
        )
    section.add(again)
    section.summary = finding.summary
    return section
