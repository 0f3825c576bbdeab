"""Out-of-distribution detection by the maximum softmax probability."""

import itertools
import math

from normzoo.analysis.ood import ENSEMBLE, FALSE_ALARMS, UNKNOWN_CLASSES, UNKNOWN_SIZE, Ood, read_ood, read_ood_differences
from normzoo.analysis.statistics import SIGNIFICANT, holm
from normzoo.findings.finding import Evidence, Finding, ResultTable, where
from normzoo.formatting import counted, listed, minus, percent
from normzoo.plotting.spec import Axis, Chart, Panel, series
from normzoo.variants import short_name

COMMANDS = ["python -m training data fetch cifar-10", "python -m training measure ood"]
#: Half of a 95% interval, in standard errors.
_Z = 1.959963984540054


def ood_finding(evidence: Evidence) -> Finding | None:
    """Return the OOD detection of the shown set's norms by the maximum softmax probability."""
    found = read_ood(evidence.shown, evidence.shown.main_variants)
    main = {key: each for key, each in found.items() if key != ENSEMBLE}
    if not main:
        return None
    order = sorted(main, key=lambda key: -main[key].auroc)
    phrases = [f"{short_name(key)} {main[key].auroc:.2f}" for key in order]
    pairs = read_ood_differences(evidence.shown, main)
    p_values = dict(zip(pairs, holm([_p_value(each) for each in pairs.values()]), strict=True))
    apart = sum(p < SIGNIFICANT for p in p_values.values())
    first = next(iter(main.values()))
    size = evidence.shown.image_size
    coarse = (
        f" The OOD images were enlarged from {UNKNOWN_SIZE}×{UNKNOWN_SIZE} to {size}×{size}, so part of the "
        "difference may be their coarseness."
        if size != UNKNOWN_SIZE
        else ""
    )
    return Finding(
        key="ood",
        title="Out-of-distribution detection",
        headline=f"AUROC of the maximum softmax probability against images of other classes: {listed(phrases)}; {apart} of "
        f"{counted(len(pairs), 'difference')} {'is' if apart == 1 else 'are'} significant ({where(evidence.shown)}, n = 1)."
        if pairs
        else f"AUROC of the maximum softmax probability against images of other classes: {listed(phrases)} "
        f"({where(evidence.shown)}, n = 1).",
        chart=_chart(main, order),
        tables=[_table(found), *([_pair_table(pairs, p_values, order)] if pairs else [])],
        method=[
            f"{first.known:,.0f} validation images against {first.unknown:,.0f} of CIFAR-10's test images of "
            f"{listed(UNKNOWN_CLASSES)} (its JPEG edition). AUROC: how often a known image has the larger maximum softmax "
            "probability; 0.5 is chance. FPR at 95% TPR: share of OOD images accepted at the threshold that accepts 95% of "
            "the known ones.",
            "Differences: DeLong's test on the same images, Holm over all pairs; intervals are over images. n = 1: the "
            "packaged runs.",
            f"Threshold: fitted on every second known image so that at most {percent(FALSE_ALARMS, 0)}% of them are flagged "
            "(upper 95% bound), evaluated on the others.",
        ],
        notes=[
            "Known and unknown images come from different collections, so some of the difference may be due to how they were "
            f"taken, not to the classes.{coarse}"
        ],
        commands=COMMANDS,
    )


def _p_value(found: Ood) -> float:
    return math.erfc(abs(found.auroc) / found.standard_error / math.sqrt(2)) if found.standard_error else 1.0


def _name(variant: str) -> str:
    return "Ensemble" if variant == ENSEMBLE else short_name(variant)


def _table(found: dict[str, Ood]) -> ResultTable:
    table = ResultTable("By the maximum softmax probability; n = 1")
    table.add("Network", map(_name, found))
    ends = [f"{each.auroc:.3f} ± {_Z * each.standard_error:.3f}" for each in found.values()]
    table.add("AUROC (95%)", [each.auroc for each in found.values()], higher_is_better=True, texts=ends)
    table.add("FPR at 95% TPR (%)", [100 * each.fpr95 for each in found.values()], ".1f", higher_is_better=False)
    for title, key in (
        ("Threshold (%)", "threshold"),
        ("Known flagged (%)", "known_flagged"),
        ("Unknown flagged (%)", "unknown_flagged"),
        ("Mean MSP on noise (%)", "noise_confidence"),
    ):
        table.add(title, [100 * getattr(each, key) for each in found.values()], ".1f")
    return table


def _pair_table(pairs: dict[tuple[str, str], Ood], p_values: dict[tuple[str, str], float], order: list[str]) -> ResultTable:
    table = ResultTable("AUROC of the row minus that of the column; * significant")
    table.add("Network", [short_name(key) for key in order])
    for column in order:
        values = [_difference(pairs, row, column) for row in order]
        marks = ["*" if p_values.get((row, column), p_values.get((column, row), 1.0)) < SIGNIFICANT else "" for row in order]
        texts = ["–" if value is None else minus(f"{value:+.3f}{mark}") for value, mark in zip(values, marks, strict=True)]
        table.add(short_name(column), values, texts=texts)
    return table


def _difference(pairs: dict[tuple[str, str], Ood], first: str, second: str) -> float | None:
    if (first, second) in pairs:
        return pairs[first, second].auroc
    return -pairs[second, first].auroc if (second, first) in pairs else None


def _chart(found: dict[str, Ood], order: list[str]) -> Chart:
    rows = []
    for place, key in zip(itertools.count(), order, strict=False):
        half = _Z * found[key].standard_error
        ends = {"low": [found[key].auroc - half], "high": [found[key].auroc + half]}
        rows.append(series(key, [found[key].auroc], [place], **ends, dash=None, is_listed=False))
    return Chart(
        "AUROC with 95% intervals over images",
        Axis("AUROC (0.5: chance)"),
        Axis(names=tuple(short_name(key) for key in order)),
        (Panel(tuple(rows)),),
        is_sideways=True,
        digits=3,
    )
