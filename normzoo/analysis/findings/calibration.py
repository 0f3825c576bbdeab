"""Finding on calibration: which networks are surer than they should be, and what a temperature mends."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from normzoo.analysis.calibration import Calibration, calibrate
from normzoo.analysis.findings.finding import Figures, Finding
from normzoo.analysis.results import read_each
from normzoo.formatting import listed, percent
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

#: A temperature this far from 1, and an error beyond what a perfect network shows, are called over- or under-confident.
NOTABLE = 0.1


def calibrations(model_set: ModelSet, variants: Iterable[str]) -> tuple[dict[str, list[Calibration]], dict[str, str]]:
    """Return the calibration of every seed of each variant, and for those that cannot be read the reason."""
    return read_each(model_set, variants, _of_seeds)


def _beside_perfect(variant: str, means: Mapping[str, Mapping[str, float]]) -> str:
    found = means[variant]
    return f"{percent(found['ece'], 1)}% and {percent(found['expected_ece'], 1)}% ({short_name(variant)})"


def _of_seeds(checkpoint: Checkpoint) -> list[Calibration]:
    logits, labels = checkpoint.val_logits()
    return [calibrate(each.double().numpy(), labels.numpy()) for each in logits.values()]


def calibration_finding(found: dict[str, list[Calibration]]) -> Finding:
    """Return what the calibrations of some variants, by seed, say."""
    if not found:
        return Finding()
    means = {variant: _means(each) for variant, each in found.items()}
    over = [variant for variant, each in means.items() if each["temperature"] > 1 + NOTABLE]
    under = [variant for variant, each in means.items() if each["temperature"] < 1 - NOTABLE]
    told = [f"surer than they should be (over-confident): {_names(over)}"] if over else []
    told += [f"less sure than they should be (under-confident): {_names(under)}"] if under else []
    least, most = (pick(means, key=lambda variant: means[variant]["ece"]) for pick in (min, max))
    counts = listed([str(n) for n in sorted({len(each) for each in found.values()})])
    table = Figures("Calibration on the validation images, means over the seeds")
    table.add("Network", [short_name(variant) for variant in means])
    for title, key in (("ECE (%)", "ece"), ("ECE if perfect (%)", "expected_ece")):
        table.add(title, [100 * each[key] for each in means.values()], ".1f", higher_is_better=False if key == "ece" else None)
    table.add("NLL (nats)", [each["nll"] for each in means.values()], ".4f", higher_is_better=False)
    table.add("NLL after temperature (nats)", [each["nll_scaled"] for each in means.values()], ".4f")
    table.add("Temperature", [each["temperature"] for each in means.values()], ".2f")
    table.add("n", [len(each) for each in found.values()], "d")
    summary = (
        ""
        if len(means) < 2
        else "expected calibration error, and that of a perfectly calibrated network as sure as this one, go from "
        f"{_beside_perfect(least, means)} to {_beside_perfect(most, means)} (n = {counts})."
    )
    return Finding(
        summary,
        [
            "A calibrated network is right as often as it is sure. ECE: the mean distance between the largest probability and "
            "the share of right answers, over 15 bins that hold as many images each; beside it what a perfectly calibrated "
            "network as sure as this one would show with so few images. The temperature divides the logits; it was fitted on "
            "four fifths of the images and judged on the fifth that it had not seen, five times.",
            *([f"By their temperature {'; '.join(told)}."] if told else []),
        ],
        tables=[table],
    )


def reliability_points(found: dict[str, list[Calibration]]) -> pd.DataFrame:
    """Return the reliability diagram of each variant's first seed: `variant`, and of each bin `confidence` and `accuracy`."""
    rows = [
        {"variant": variant, "confidence": confidence, "accuracy": accuracy}
        for variant, by_seed in found.items()
        for confidence, accuracy in zip(by_seed[0].confidence, by_seed[0].accuracy, strict=True)
    ]
    return pd.DataFrame(rows, columns=["variant", "confidence", "accuracy"])


def _names(variants: list[str]) -> str:
    return listed([short_name(variant) for variant in variants])


def _means(found: list[Calibration]) -> dict[str, float]:
    keys = ("ece", "expected_ece", "nll", "nll_scaled", "temperature")
    return {key: float(np.mean([getattr(each, key) for each in found])) for key in keys}
