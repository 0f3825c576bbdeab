"""Matplotlib figures from stored records, for files and reports; the page draws its own charts in `charts`."""

import io
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normzoo.palette import look
from normzoo.results import SPLITS, Metric, over_seeds

# `Figure` and never pyplot, whose global state is not safe in the threads of a server.
_MARKERS = dict(
    zip(
        ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star"),
        ("o", "s", "D", "^", "v", "P", "X", "*"),
        strict=True,
    )
)
_DASHES = {"solid": "-", "dash": "--", "dashdot": "-.", "longdash": (0, (8, 3)), "dot": ":"}


def curves(history: pd.DataFrame, metric: Metric, splits: Sequence[str], chance: float | None = None) -> Figure:
    """One metric against the epochs: the figure of `charts.curves`, for print."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for variant, rows in over_seeds(history, metric.key).groupby("variant", sort=False):
        for split in splits:
            _line(axes, str(variant), split, rows[rows["split"] == split], metric, alone=len(splits) == 1)
    if chance is not None:
        label = f"guessing: {metric.text(chance)}"
        axes.axhline(metric.on_screen(chance), color="0.5", linestyle="--", linewidth=1, label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{metric.title} ({metric.unit})")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", ncols=2)
    return figure


def to_bytes(figure: Figure, file_format: str) -> bytes:
    """A figure as a file: "png" or "svg"."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=150)
    return buffer.getvalue()


def _line(axes: Axes, variant: str, split: str, rows: pd.DataFrame, metric: Metric, alone: bool) -> None:
    if rows.empty:
        return
    style = look(variant)
    n = int(rows["n"].max())
    means, spread = metric.on_screen(1) * rows["mean"], metric.on_screen(1) * rows["sd"].fillna(0)
    axes.plot(
        rows["epoch"],
        means,
        color=style.colour,
        linestyle=_DASHES["dot" if split == "train" and not alone else style.dash],
        marker=_MARKERS[style.marker],
        markevery=max(1, len(rows) // 8),
        markersize=5,
        label=(style.name if alone else f"{style.name} {SPLITS[split].lower()}") + (f" (n={n})" if n > 1 else ""),
    )
    if n > 1:
        axes.fill_between(rows["epoch"], means - spread, means + spread, color=style.colour, alpha=0.2, linewidth=0)
