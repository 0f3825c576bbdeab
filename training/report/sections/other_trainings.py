"""What larger images, or changed fields of a recipe, change for the same networks."""

from collections.abc import Sequence

from normzoo.analysis.commands import PACKAGE, training_commands
from normzoo.analysis.findings.other_trainings import base_set, image_size_finding, recipe_change_finding, sized_sets
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Section, commands, finding_blocks


def other_trainings_sections(model_set: ModelSet, model_sets: Sequence[ModelSet]) -> list[Section]:
    """Return the sections on a set and its twin with smaller images, and on the one that its recipe was changed from."""
    sections, variants = [], model_set.main_variants
    sets = sized_sets(model_set, model_sets)
    if len(sets) > 1 and sets[-1] is model_set:
        finding = image_size_finding(sets, variants)
        sections.append(Section("Larger images", [*finding_blocks(finding), _again(sets[0], model_set)], finding.summary))
    if base := base_set(model_set, model_sets):
        finding = recipe_change_finding(base, model_set, variants)
        sections.append(
            Section(f"Against `{base.recipe}`", [*finding_blocks(finding), _again(base, model_set)], finding.summary)
        )
    return sections


def _again(*model_sets: ModelSet) -> str:
    lines = [line for each in model_sets for line in training_commands(each, each.main_variants) if line != PACKAGE]
    return commands(*lines, PACKAGE)
