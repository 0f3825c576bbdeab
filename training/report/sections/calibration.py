"""Is a network right as often as it is sure?"""

import functools

from normzoo.analysis.findings.calibration import calibration_finding, calibrations, reliability_points
from normzoo.plotting import static
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Drawing, Section, commands, finding_blocks
from training.report.runs import say_n


def calibration_section(model_set: ModelSet) -> Section:
    """Return the section on the calibration of the zoo's norms, from the stored logits."""
    found, _ = calibrations(model_set, model_set.main_variants)
    finding = calibration_finding(found)
    section = Section("Calibration", [say_n(model_set, found), *finding_blocks(finding)], finding.summary)
    if found:
        points = reliability_points(found)
        draw = functools.partial(static.reliability, points)
        data = points.round(6).to_csv(index=False)
        section.add(Drawing(f"{model_set.name}/reliability", "Reliability diagram of the first seed", data, draw))
    section.add(commands("python -m training report"))
    return section
