"""Smoothing: TensorBoard's average, to the digit."""

import pandas as pd
import pytest

from normzoo.analysis.results import smoothed
from normzoo.errors import ConfigError


def history(values: list[float], seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"variant": "bn", "seed": seed, "split": "val", "epoch": range(1, len(values) + 1), "loss": values})


def tensorboard(values: list[float], weight: float) -> list[float]:
    """Its loop: `last` is pulled towards 0, and divided by the weight that it has collected."""
    last, found = 0.0, []
    for step, value in enumerate(values, start=1):
        last = last * weight + (1 - weight) * value
        found.append(last / (1 - weight**step))
    return found


@pytest.mark.parametrize("weight", [0.05, 0.6, 0.95])
def test_a_run_is_smoothed_as_tensorboard_does(weight):
    values = [3.0, 1.0, 2.5, 0.5, 0.75]
    assert smoothed(history(values), "loss", weight)["loss"].tolist() == pytest.approx(tensorboard(values, weight))


def test_every_run_is_smoothed_for_itself():
    runs = pd.concat([history([1.0, 2.0]), history([5.0, 9.0], seed=1)], ignore_index=True)
    assert smoothed(runs, "loss", 0.5)["loss"].tolist() == pytest.approx([*tensorboard([1, 2], 0.5), *tensorboard([5, 9], 0.5)])


def test_no_smoothing_changes_nothing():
    runs = history([1.0, 2.0])
    assert smoothed(runs, "loss", 0) is runs


@pytest.mark.parametrize("weight", [-0.1, 1, 1.5, float("nan"), None, "0.5", True])
def test_an_amount_that_is_none_is_refused(weight):
    with pytest.raises(ConfigError, match="Smoothing must be"):
        smoothed(history([1.0]), "loss", weight)
