"""What is left under corruption of the images, and why less contrast harms."""

import functools

import pandas as pd

from normzoo.analysis import comparisons
from normzoo.analysis.commands import PACKAGE
from normzoo.analysis.findings.robustness import read_contrast, robustness_finding
from normzoo.formatting import listed, percent
from normzoo.images.corruptions import CORRUPTIONS
from normzoo.plotting import static
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name
from training.report.markdown import Drawing, Section, bullets, commands, details, finding_blocks, table

CONTRAST = "python -m training contrast"


def robustness_section(model_set: ModelSet) -> Section:
    """Return the section on the zoo's norms under every corruption."""
    section = Section("Robustness")
    again = commands(f"{PACKAGE} --again", CONTRAST)
    found = comparisons.robustness(model_set, model_set.main_variants)
    frame = found.frame
    if frame.empty:
        section.add("Not stored for this set: the networks were packaged without it.", again)
        return section
    images = len(model_set.checkpoints[str(frame["variant"].iloc[0])].val_logits()[1])
    finding = robustness_finding(frame, images, read_contrast(model_set, model_set.main_variants))
    definitions = [f"{kind.title}: {kind.setting}; {kind.definition}." for kind in CORRUPTIONS.values()]
    section.add(
        *finding_blocks(finding),
        Drawing(
            f"{model_set.name}/robustness",
            "Accuracy against severity",
            frame.round(6).to_csv(index=False),
            functools.partial(static.robustness, frame, {key: kind.title for key, kind in CORRUPTIONS.items()}),
        ),
        *details("How each corruption is defined", bullets(definitions)),
        *details("Every corruption at every severity", _everything(frame)),
    )
    for reason in dict.fromkeys(found.problems.values()):
        names = [short_name(variant) for variant, each in found.problems.items() if each == reason]
        section.add(f"Left out: {listed(names)}. {reason}")
    section.add(again)
    section.summary = finding.summary
    return section


def _everything(frame: pd.DataFrame) -> str:
    wide = frame.pivot_table(index=["corruption", "severity"], columns="variant", values="accuracy", sort=False)
    variants = list(dict.fromkeys(frame["variant"]))
    rows = []
    for (corruption, severity), values in wide.iterrows():
        kind = CORRUPTIONS[corruption]
        cells = [percent(values[variant]) for variant in variants]
        rows.append([f"{kind.title} ({kind.setting})", severity, f"{kind.levels[severity - 1]:g}", *cells])
    return table(["Corruption", "Severity", "Setting", *[short_name(variant) for variant in variants]], rows)
