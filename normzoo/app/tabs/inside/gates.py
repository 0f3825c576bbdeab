"""What the learned gates mean and where they ended, in words."""

from collections.abc import Mapping, Sequence

import numpy as np

from normzoo.app.components.html import render
from normzoo.inference.value_trace import LayerGates
from normzoo.nn.registry import NORM_LAYERS, describe_norm
from normzoo.variants import short_name

NO_GATES = '<p class="hint">None of the networks shown has gates.</p>'


def explain_gates(norms: Mapping[str, str], gated: Mapping[str, Sequence[LayerGates]]) -> str:
    """For each network that has gates what they mix, and how they ended; as HTML.

    Args:
        norms: variant -> key of its norm.
        gated: variant -> as `activations.layer_gates` gives them.
    """
    networks = [_describe(variant, norms[variant], layers) for variant, layers in gated.items()]
    return render("gates.html", networks=networks) if networks else NO_GATES


def _describe(variant: str, norm: str, layers: Sequence[LayerGates]) -> dict[str, object]:
    record = describe_norm(norm)
    return {
        "name": short_name(variant),
        "formula": record.formula,
        "mixed": [_title(axes) for axes in record.pooled_axes or ()],
        "first": layers[0].mean,
        "last": layers[-1].mean,
        "gates": np.concatenate([layer.values for layer in layers]),
    }


def _title(axes: Sequence[str]) -> str:
    """The norm that takes its one mean over these axes, in words; the axes where the zoo has none."""
    records = map(describe_norm, NORM_LAYERS)
    return next((record.title for record in records if record.pooled_axes == (axes,)), f"over {', '.join(axes)}")
