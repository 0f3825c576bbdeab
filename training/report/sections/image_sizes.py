"""What larger images change for networks that were trained in the same way."""

from collections.abc import Iterable

from normzoo.analysis.commands import training_commands
from normzoo.analysis.findings.image_size import image_size_finding, sized_sets
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Section, commands, finding_blocks


def image_sizes_section(model_set: ModelSet, model_sets: Iterable[ModelSet]) -> Section | None:
    """Return the section on a set and its twins with smaller images; None where it has none, or is not the largest."""
    sets = sized_sets(model_set, model_sets)
    if len(sets) < 2 or sets[-1].model_set is not model_set:
        return None
    finding = image_size_finding(sets, model_set.main_variants)
    again = [line for each in (sets[0], sets[-1]) for line in training_commands(each.model_set, each.model_set.main_variants)]
    return Section("Larger images", [*finding_blocks(finding), commands(*dict.fromkeys(again))], finding.summary)
