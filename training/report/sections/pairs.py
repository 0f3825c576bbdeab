"""Who beats whom: every two networks of a recipe on the same validation images."""

from normzoo.analysis import comparisons
from normzoo.analysis.findings.pairs import pairs_finding
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Section, commands, finding_blocks
from training.report.runs import say_n


def pairs_section(model_set: ModelSet) -> Section:
    """Return the section on the zoo's norms against each other."""
    variants = model_set.main_variants
    finding = pairs_finding(comparisons.pairs(model_set, variants).frame, variants)
    blocks = [say_n(model_set, variants), *finding_blocks(finding), commands("python -m training report")]
    return Section("Who beats whom", blocks, finding.summary)
