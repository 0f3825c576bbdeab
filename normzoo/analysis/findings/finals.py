"""Table of the figures that the networks of a set end with."""

import math
from typing import Any

import pandas as pd

from normzoo.analysis.findings.finding import Figures
from normzoo.analysis.results import METRICS, SPLITS, Metric
from normzoo.variants import short_name


def finals_figures(finals: pd.DataFrame) -> Figures:
    """Return what `results.final_metrics` gives as people read it: means over the seeds, ± their standard deviation."""
    rows: list[dict[str, Any]] = finals.to_dict("records")
    table = Figures("Results after the last epoch")
    table.add("Network", [short_name(row["variant"]) for row in rows])
    for split, split_title in SPLITS.items():
        for key, metric in METRICS.items():
            table.add(
                f"{split_title} {metric.title}{' (%)' if metric.is_fraction else ''}",
                [metric.on_screen(row[f"{split}_{key}"]) for row in rows],
                higher_is_better=metric.higher_is_better,
                texts=[_with_spread(metric, row[f"{split}_{key}"], row[f"{split}_{key}_sd"]) for row in rows],
            )
    table.add("Parameters", [row["parameters"] for row in rows])
    table.add("Million MACs", [row["macs"] / 1e6 for row in rows], ".2f")
    table.add("n", [row["n"] for row in rows])
    table.add("Seeds", [row["seeds"] for row in rows])
    return table


def _with_spread(metric: Metric, mean: float, sd: float | None) -> str:
    return metric.text(mean) if sd is None or math.isnan(sd) else f"{metric.text(mean)} ± {metric.text(sd)}"
