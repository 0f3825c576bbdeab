"""Robustness: accuracy on corrupted images, and why low contrast costs accuracy."""

from typing import Any

import pandas as pd

from normzoo.analysis import robustness as analysis
from normzoo.findings.finding import PACKAGE, Evidence, Finding, ResultTable, where
from normzoo.formatting import capital, listed, percent
from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.variants import short_name

MEASURE_CONTRAST = "python -m training measure contrast"


def robustness_finding(evidence: Evidence) -> Finding | None:
    """Return the accuracy of the shown set's packaged networks on corrupted images."""
    frame = analysis.robustness(evidence.shown, evidence.shown.main_variants).frame
    if frame.empty:
        return None
    summary = analysis.summarize(frame).sort_values("mean", ascending=False, kind="stable")
    phrases = [
        f"{short_name(row.variant)} {percent(row.mean, 1)}% (clean {percent(row.clean, 1)}%)" for row in summary.itertuples()
    ]
    contrast = analysis.read_contrast(evidence.shown, evidence.shown.main_variants)
    return Finding(
        key="robustness",
        title="Robustness",
        headline=f"Mean accuracy over {frame['corruption'].nunique()} corruptions at {len(SEVERITIES)} severities: "
        f"{listed(phrases)} ({where(evidence.shown)}, n = 1).",
        chart=severity_chart(analysis.by_severity(frame)),
        tables=[_table(summary), *([_contrast_table(contrast)] if contrast else [])],
        method=[
            "n = 1: the packaged run of each network, on validation images corrupted at the network's input size "
            f"({evidence.shown.image_size}×{evidence.shown.image_size}). Relative robustness: accuracy as a share of clean "
            "accuracy. Blur is measured in pixels and milder on larger images, so image sizes cannot be compared.",
            "Contrast, blur, noise and JPEG have the levels of CIFAR-10-C but use Pillow's 8-bit operators, so figures are not "
            "comparable. "
            + " ".join(f"{capital(kind.title)}: {kind.setting}; {kind.definition}." for kind in CORRUPTIONS.values()),
        ],
        notes=_CONTRAST_NOTES[: 1 + bool(contrast)] if "contrast" in set(frame["corruption"]) else (),
        commands=[f"{PACKAGE} --again", MEASURE_CONTRAST],
    )


def severity_chart(accuracies: pd.DataFrame, with_batch_statistics: pd.DataFrame | None = None) -> Chart:
    """Return accuracy against severity, one line per norm; dotted with batch statistics, if given.

    Args:
        accuracies, with_batch_statistics: `variant`, `severity` and `accuracy`, a fraction.
    """
    lines = []
    for frame, is_batch in ((accuracies, False), (with_batch_statistics, True)):
        for variant, rows in () if frame is None else frame.groupby("variant", sort=False):
            ordered = rows.sort_values("severity")
            style: dict[str, Any] = {"name": f"{short_name(str(variant))}, batch statistics", "dash": "dot"} if is_batch else {}
            points = list(map(float, ordered["severity"])), [100 * value for value in ordered["accuracy"]]
            lines.append(series(str(variant), *points, **style))
    return Chart(
        "Validation accuracy against severity, mean over all corruptions (0: clean)",
        Axis("Severity", ticks=(0.0, *map(float, SEVERITIES))),
        Axis("Validation accuracy (%)"),
        (Panel(tuple(lines)),),
    )


def _table(summary: pd.DataFrame) -> ResultTable:
    titles = {"clean": "Clean", "mean": "Mean over all", "relative": "Relative robustness"}
    titles |= {key: capital(kind.title) for key, kind in CORRUPTIONS.items() if key in summary}
    table = ResultTable("Accuracy (%) on corrupted validation images, each corruption as the mean over its severities; n = 1")
    table.add("Network", [short_name(variant) for variant in summary["variant"]])
    for key, title in titles.items():
        table.add(title, 100 * summary[key], ".1f", higher_is_better=True)
    return table


def _contrast_table(found: dict[tuple[str, str], float]) -> ResultTable:
    variants = list(dict.fromkeys(variant for variant, _ in found))
    factor = CORRUPTIONS["contrast"].levels[-1]
    table = ResultTable(f"Accuracy (%) at the lowest contrast (factor {factor:g}), towards different colours; n = 1")
    table.add("Network", [short_name(variant) for variant in variants])
    for change, title in analysis.CHANGES.items():
        values = [found.get((variant, change)) for variant in variants]
        if any(value is not None for value in values):
            table.add(title, [None if value is None else 100 * value for value in values], ".1f")
    return table


#: Theory of lower contrast, and its exception, the border.
_CONTRAST_NOTES = (
    "Lower contrast maps every pixel x to m + a (x − m), with one grey m and one factor a per image. After a convolution "
    "without bias each channel is a times its original value plus a constant, except at the zero-padded border. Only instance "
    "normalization removes both, so in theory IN loses accuracy only because of the border.",
    "If the first convolution replicates the border instead of padding with zeros, IN's accuracy cannot depend on contrast in "
    "theory, so its equal accuracies are no evidence. Only a network trained with replicated borders could show whether IN "
    "uses the border.",
)
