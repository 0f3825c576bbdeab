"""Calibration: does confidence match accuracy?"""

from collections.abc import Mapping

import numpy as np

from normzoo.analysis.calibration import BINS, FOLDS, Calibration, calibrations
from normzoo.findings.finding import Evidence, Finding, ResultTable, counts, names, where
from normzoo.formatting import percent
from normzoo.plotting.spec import Axis, Chart, Panel, Rule, series
from normzoo.variants import short_name


def calibration_finding(evidence: Evidence) -> Finding | None:
    """Return the calibration of the shown set's norms, from the stored logits."""
    found, _ = calibrations(evidence.shown, evidence.shown.main_variants)
    if not found:
        return None
    compatible = [key for key, each in found.items() if all(one.ece <= one.expected_ece_high for one in each)]
    table = ResultTable("Calibration on the validation images, means over the runs")
    table.add("Network", [short_name(key) for key in found])
    table.add("ECE (%)", [100 * _mean(each, "ece") for each in found.values()], ".1f", higher_is_better=False)
    table.add("Expected if calibrated (%)", [100 * _mean(each, "expected_ece") for each in found.values()], ".1f")
    table.add("Its 95% point (%)", [100 * _mean(each, "expected_ece_high") for each in found.values()], ".1f")
    table.add("Runs compatible", [sum(one.ece <= one.expected_ece_high for one in each) for each in found.values()], "d")
    table.add("NLL (nats)", [_mean(each, "nll") for each in found.values()], ".3f", higher_is_better=False)
    table.add("NLL, scaled (nats)", [_mean(each, "nll_scaled") for each in found.values()], ".3f", higher_is_better=False)
    table.add("Temperature", [_mean(each, "temperature") for each in found.values()], ".2f")
    table.add("n", [len(each) for each in found.values()], "d")
    worst = max(found, key=lambda key: _mean(found[key], "ece"))
    fits = f"{names(compatible)} {'is' if len(compatible) == 1 else 'are'} compatible with perfect calibration in every run"
    over = "overconfident" if _mean(found[worst], "temperature") > 1 else "underconfident"
    return Finding(
        key="calibration",
        title="Calibration",
        headline=f"{fits if compatible else 'No norm is compatible with perfect calibration in every run'}; "
        f"{short_name(worst)} has the largest expected calibration error, {percent(_mean(found[worst], 'ece'), 1)}% ({over}; "
        f"{where(evidence.shown)}, {counts(map(len, found.values()))}).",
        chart=_chart(found),
        tables=[table],
        method=[
            "Expected calibration error (ECE): mean distance between confidence (maximum softmax probability) and accuracy "
            f"over {BINS} bins of equally many images (Guo et al. 2017). With so few images even a perfectly calibrated "
            "network has an error; the table gives its mean and 95% point, by simulation.",
            f"The temperature divides the logits; it is fitted on {FOLDS - 1} of {FOLDS} parts of the images and evaluated on "
            "the other. Above 1 a network is overconfident.",
        ],
        commands=["python -m training report"],
    )


def _mean(found: list[Calibration], key: str) -> float:
    return float(np.mean([getattr(each, key) for each in found]))


def _chart(found: Mapping[str, list[Calibration]]) -> Chart:
    panels = []
    for variant, (first, *_) in found.items():
        points = [100 * value for value in first.confidence], [100 * value for value in first.accuracy]
        panels.append(Panel((series(variant, *points, is_listed=False),), short_name(variant)))
    limits = (0.0, 100.0)
    return Chart(
        "Reliability diagram of the first run (dashed: perfect calibration)",
        Axis("Confidence (%)", limits=limits),
        Axis("Accuracy (%)", limits=limits),
        tuple(panels),
        (Rule(axis="diagonal"),),
    )
