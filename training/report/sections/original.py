"""Our results against the original study's: the order, the distance, what differs in the set-up, its slips."""

from normzoo.analysis import comparisons
from normzoo.analysis.commands import training_commands
from normzoo.analysis.findings.reference import baseline_finding, reference_finding, slips
from normzoo.analysis.reference_study import original_study
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Section, bullets, commands, finding_blocks
from training.report.runs import say_n


def original_section(model_set: ModelSet, baseline: ModelSet | None) -> Section:
    """Return the section on the `paper` set of a data set against the original's final recipe, and `paper-sgd` against its
    first.
    """
    variants = list(model_set.checkpoints)
    finding = reference_finding(model_set, variants, comparisons.pairs(model_set, model_set.main_variants).frame)
    return Section(
        "Against the original study",
        [
            f"The original: *{original_study()['title']}*. Its losses are multiplied by its batch size; a dash where its "
            f"report "
            "gives no figure.",
            say_n(model_set, variants),
            *finding_blocks(finding),
            *finding_blocks(baseline_finding(baseline)),
            "Slips of the original report, and what is right:",
            bullets(slips()),
            commands(*training_commands(model_set, variants)),
        ],
        finding.summary,
    )
