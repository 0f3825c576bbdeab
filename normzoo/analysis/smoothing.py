"""Curves made smooth, as TensorBoard does it: an exponential moving average without the pull towards its start."""

import pandas as pd

from normzoo.errors import ConfigError


def smoothed(history: pd.DataFrame, metric: str, weight: float) -> pd.DataFrame:
    """The same history with one metric smoothed along the epochs, each run for itself.

    s_t = (1 - w) * sum over i of w^i x_(t-i), divided by 1 - w^t: its bias-corrected average, so that the first value is x_1
    and not a mixture with 0.

    Args:
        history: as `results.history` gives it, each run in the order of its epochs.
        weight: w, of what was before; 0 changes nothing.

    Raises:
        ConfigError: the weight is not in [0, 1).
    """
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1:
        raise ConfigError("Smoothing must be a number from 0, which is none, to less than 1.")
    if weight == 0 or history.empty:
        return history
    runs = history.groupby(["variant", "seed", "split"], sort=False)[metric]
    return history.assign(**{metric: runs.transform(lambda run: run.ewm(alpha=1 - weight, adjust=True).mean())})
