"""Rounding of stored figures: once, to what does not depend on the processor."""

from typing import Any

#: Decimals kept of every stored figure: finer differences are those of processors, not of networks. Figures that are counts of
#: images divided by others are the same everywhere and are kept as they are, to be rounded once, when they are shown.
DECIMALS, DECIMALS_OF_SHARES = 6, 12
SHARES = {"accuracy", "macro_f1", "micro_f1", "precision", "recall", "f1"}


def rounded(value: Any, decimals: int = DECIMALS) -> Any:
    """Return a nest of dicts and lists with every float at so many decimals or, if smaller than 0.001, significant digits.

    What stands below a key of `SHARES` keeps `DECIMALS_OF_SHARES`.
    """
    if isinstance(value, float):
        return round(value, decimals) if abs(value) >= 1e-3 else float(f"{value:.{decimals}g}")
    if isinstance(value, dict):
        return {key: rounded(item, DECIMALS_OF_SHARES if key in SHARES else decimals) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, decimals) for item in value]
    return value
