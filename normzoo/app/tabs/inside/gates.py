"""What the learned gates mean and where they ended, in words."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from normzoo.inference.activations import LayerGates
from normzoo.nn.registry import NORM_LAYERS, describe_norm
from normzoo.variants import short_name

NO_GATES = '<p class="hint">None of the networks shown has gates.</p>'


def explain_gates(norms: Mapping[str, str], gated: Mapping[str, Sequence[LayerGates]]) -> str:
    """For each network that has gates what they mix, and how they ended; as HTML.

    Args:
        norms: variant -> key of its norm.
        gated: variant -> as `insight.layer_gates` gives them.
    """
    parts = [_explain(variant, norms[variant], layers) for variant, layers in gated.items()]
    return f'<div class="explanation">{"".join(parts)}</div>' if parts else NO_GATES


def _explain(variant: str, norm: str, layers: Sequence[LayerGates]) -> str:
    name = html.escape(short_name(variant))
    record = describe_norm(norm)
    formula = f": {html.escape(record.formula)}" if record.formula else ""
    mixed = [_title(axes) for axes in record.pooled_axes or ()]
    ends = f" A gate of 1 is all {mixed[0]}, a gate of 0 all {mixed[1]}." if len(mixed) == 2 else ""
    values = np.concatenate([layer.values for layer in layers])
    return (
        f"<p><strong>{name}</strong> learned one gate for each channel{formula}.{html.escape(ends)}</p><p>The mean gate of "
        f"{name} is {layers[0].mean:.2f} in the first layer and {layers[-1].mean:.2f} in the last. Of all {values.size} gates, "
        f"{100 * (values <= 0).mean():.1f}% are at 0 and {100 * (values >= 1).mean():.1f}% at 1; the smallest is "
        f"{values.min():.2f}.</p>"
    )


def _title(axes: Sequence[str]) -> str:
    """The norm that takes its one mean over these axes, in words; the axes where the zoo has none."""
    records = map(describe_norm, NORM_LAYERS)
    return next((record.title for record in records if record.pooled_axes == (axes,)), f"over {', '.join(axes)}")
