"""What the original study concluded about the batch size, and what of it holds here, in words as HTML."""

import html
from collections.abc import Sequence

import pandas as pd

from normzoo.analysis.batch_sizes import norms_of_study
from normzoo.analysis.reference_study import batch_size_figures, nats, original_study
from normzoo.analysis.results import chance_loss
from normzoo.variants import short_name

INTRODUCTION = """
<div class="explanation"><p>Batch normalization computes its means over the photos of a batch, so the size of the batch is part
of it. Group normalization looks at each photo alone. All else is the recipe's: as many epochs at the same learning rate, so a
larger batch also means fewer steps.</p><p>The original study divides its loss by the batch size once more. Both conventions are
here: choose the divided one to see how it alone moves the curves apart.</p></div>
"""


def missing(set_name: str, variants: Sequence[str]) -> str:
    """Which runs there are not, and how they are made; nothing where all are there."""
    if not variants:
        return ""
    data, _, _ = set_name.partition("/")
    names = html.escape(", ".join(short_name(variant) for variant in variants))
    return (
        f'<p class="hint">Not here yet: {names}. <code>python -m training study --data {html.escape(data)}</code> trains them '
        "with all other runs of the study, <code>python -m training package</code> brings them here.</p>"
    )


def explain(finals: pd.DataFrame) -> str:
    """One paragraph for each norm, from the figures.

    Args:
        finals: as `batch_sizes.by_batch_size` gives them.
    """
    if finals.empty:
        return ""
    told = "".join(_of_norm(str(norm), rows.sort_values("batch_size")) for norm, rows in finals.groupby("norm", sort=False))
    return told + "".join(f"<p>{html.escape(text)}</p>" for text in _reach(finals))


def _of_norm(norm: str, rows: pd.DataFrame) -> str:
    told = ", ".join(f"{row.batch_size}: {100 * row.val_accuracy:.2f}%" for row in rows.itertuples())
    head = f"<p><strong>{html.escape(short_name(norm))}</strong>: validation accuracy by batch size {told}.</p>"
    if len(rows) < 2:
        return f"{head}<p>There is no other batch size to compare it with yet.</p>"
    sizes = rows["batch_size"].tolist()
    first, last = rows.iloc[0], rows.iloc[-1]
    divided, per_photo = ((first[key], last[key]) for key in ("train_loss_divided", "train_loss"))
    points = [
        *_original(norm, min(sizes), max(sizes)),
        f"Here {_both_losses(divided, per_photo, sizes)} {_verdict(*per_photo)}",
    ]
    return f"{head}<ul>{''.join(f'<li>{html.escape(point)}</li>' for point in points)}</ul>"


def _original(norm: str, small: int, large: int) -> list[str]:
    """What the original's training losses say between two batch sizes; nothing where it lacks one of them."""
    figures = [batch_size_figures(norm, size) for size in (small, large)]
    losses = [found["loss"] for found in figures if found and found["loss"] is not None]
    if len(losses) < len(figures):
        return []
    points = []
    if copied := _same_as(norm, small):
        points.append(
            f"The original's figures at batch size {small} are digit for digit those of {short_name(copied)}: a slip."
        )
    guessing = chance_loss(original_study()["architecture"]["classes_r"])
    for size, loss in zip((small, large), losses, strict=True):
        if nats(loss, size) > guessing:
            points.append(
                f"The original's loss at batch size {size}, {loss:.4f}, does not fit its own convention: it would be "
                f"{nats(loss, size):.2f} nats per photo, far worse than guessing ({guessing:.2f}). Nothing follows from it."
            )
    if not points:
        in_nats = nats(losses[0], small), nats(losses[1], large)
        points.append("In the original " + _both_losses((losses[0], losses[1]), in_nats, [small, large]))
    return points


def _both_losses(divided: tuple[float, float], per_photo: tuple[float, float], sizes: Sequence[int]) -> str:
    """How the training loss moves from the smallest batch to the largest, by either convention."""
    small, large = min(sizes), max(sizes)
    factor = divided[0] / divided[1] if divided[1] else float("inf")
    change = 100 * (per_photo[1] / per_photo[0] - 1) if per_photo[0] else 0.0
    return (
        f"the divided training loss goes from {divided[0]:.4f} at {small} to {divided[1]:.4f} at {large}, a factor of "
        f"{factor:.1f}, of which the division alone makes {large / small:.1f}; per photo it goes from {per_photo[0]:.3f} to "
        f"{per_photo[1]:.3f} nats ({change:+.0f}%)."
    )


def _verdict(small: float, large: float) -> str:
    if large < small:
        return "So the loss does fall as the batch grows, but by no more than that."
    return "So the loss falls with the batch size by the division only; per photo it does not."


def _same_as(norm: str, batch_size: int) -> str | None:
    """Another norm of which the original prints the very same figures."""
    own = batch_size_figures(norm, batch_size)
    earlier = norms_of_study()[: norms_of_study().index(norm)]
    return next((other for other in earlier if batch_size_figures(other, batch_size) == own), None)


def _reach(finals: pd.DataFrame) -> list[str]:
    """Which norm's accuracy depends more on the batch size, where both have the same sizes."""
    ranges = {}
    for norm, rows in finals.groupby("norm", sort=False):
        ranges[str(norm)] = (tuple(sorted(rows["batch_size"])), float(rows["val_accuracy"].max() - rows["val_accuracy"].min()))
    if (
        len(ranges) < 2
        or len({sizes for sizes, _ in ranges.values()}) > 1
        or any(len(sizes) < 2 for sizes, _ in ranges.values())
    ):
        return []
    told = ", ".join(f"{short_name(norm)} {100 * reach:.2f}" for norm, (_, reach) in ranges.items())
    most = max(ranges, key=lambda norm: ranges[norm][1])
    runs = int(finals["n"].min())
    doubt = " With one run each this may be chance." if runs == 1 else ""
    return [f"Points between the best and the worst batch size: {told}; {short_name(most)} depends on it more here.{doubt}"]
