"""Our batch normalization against torch's own, epoch by epoch: the study's sanity check."""

import functools

from normzoo.analysis.commands import PACKAGE, study_command, training_commands
from normzoo.analysis.findings.parity import OURS, TORCHS, parity_finding
from normzoo.plotting import static
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Drawing, Section, commands, finding_blocks
from training.report.runs import say_n


def parity_section(model_set: ModelSet) -> Section:
    """Return the section on `bn` and `torch-bn`."""
    both = [OURS, TORCHS]
    finding, history = parity_finding(model_set)
    section = Section("Batch normalization from scratch against PyTorch's own", summary=finding.summary)
    lacking = [variant for variant in both if variant not in model_set.checkpoints]
    if lacking:
        section.add(*finding_blocks(finding), commands(study_command(model_set.data, model_set.recipe, lacking), PACKAGE))
        return section
    section.add(say_n(model_set, both), *finding_blocks(finding))
    if finding.tables:
        data = history.drop(columns=["seconds", "lr"]).to_csv(index=False)
        draw = functools.partial(static.panels, history)
        section.add(Drawing(f"{model_set.name}/parity", "BN and torch's BN", data, draw))
    section.add(commands(*training_commands(model_set, both)))
    return section
