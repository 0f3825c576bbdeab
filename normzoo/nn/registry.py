"""The built-in norms: key, class and description.

`NORM_LAYERS` has the classes:

>>> normzoo.NORM_LAYERS["bin"]
<class 'normzoo.nn.norms.BatchInstanceNorm'>
"""

from dataclasses import dataclass

from torch import nn

from normzoo.errors import ConfigError
from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm


@dataclass(frozen=True)
class NormRecord:
    """Description of a norm for the page and the report; for a custom norm only the title."""

    title: str  # "batch normalization"
    axes: str = ""  # what the statistics are taken over
    #: The same for drawing: axes of each mean; None: unknown.
    pooled_axes: tuple[tuple[str, ...], ...] | None = None
    formula: str = ""  # plain text
    paper: str = ""  # authors, title, year
    remark: str = ""  # what else to know of it in this study


# A seventh norm is one class and one entry here.
_ZOO: dict[str, tuple[type[nn.Module], NormRecord]] = {
    "nn": (
        NoNorm,
        NormRecord(
            title="no normalization",
            axes="–",
            pooled_axes=(),
            formula="y = x",
            paper="He et al., Deep Residual Learning for Image Recognition, 2015 (the network itself)",
            remark="The norm is removed without compensation, such as another initialization, so its results do not show that "
            "residual networks need a norm.",
        ),
    ),
    "bn": (
        BatchNorm,
        NormRecord(
            title="batch normalization",
            axes="N, H, W",
            pooled_axes=(("N", "H", "W"),),
            formula="y = (x − mean over N,H,W) / √(var over N,H,W + ε) · weight + bias",
            paper="Ioffe, Szegedy, Batch Normalization, 2015, arXiv:1502.03167",
        ),
    ),
    "in": (
        InstanceNorm,
        NormRecord(
            title="instance normalization",
            axes="H, W",
            pooled_axes=(("H", "W"),),
            formula="y = (x − mean over H,W) / √(var over H,W + ε) · weight + bias",
            paper="Ulyanov, Vedaldi, Lempitsky, Instance Normalization, 2016, arXiv:1607.08022",
        ),
    ),
    "bin": (
        BatchInstanceNorm,
        NormRecord(
            title="batch-instance normalization",
            axes="N, H, W and H, W, blended by a learned gate",
            pooled_axes=(("N", "H", "W"), ("H", "W")),
            formula="y = (gate · BN(x) + (1 − gate) · IN(x)) · weight + bias",
            paper="Nam, Kim, Batch-Instance Normalization, 2018, arXiv:1805.07925",
            remark="Its gates start at 1 (batch norm), have 10 times the learning rate and no weight decay, and are clamped to "
            "[0, 1] after each step, so its training differs as well as its formula.",
        ),
    ),
    "gn": (
        GroupNorm,
        NormRecord(
            title="group normalization",
            axes="C/G, H, W",
            pooled_axes=(("C/G", "H", "W"),),
            formula="y = (x − mean over C/G,H,W) / √(var over C/G,H,W + ε) · weight + bias",
            paper="Wu, He, Group Normalization, 2018, arXiv:1803.08494",
            remark="G = 8 groups in every layer: 2 channels each in the first stage, 4 in the second, 8 in the third.",
        ),
    ),
    "ln": (
        LayerNorm,
        NormRecord(
            title="layer normalization",
            axes="C, H, W",
            pooled_axes=(("C", "H", "W"),),
            formula="y = (x − mean over C,H,W) / √(var over C,H,W + ε) · weight + bias",
            remark="Mean and variance over all channels and pixels of an image, that is, group normalization with one group. "
            "Transformers and ConvNeXt normalize each position over C alone.",
            paper="Ba, Kiros, Hinton, Layer Normalization, 2016, arXiv:1607.06450",
        ),
    ),
}

#: Key -> class; custom norms are added at run time.
NORM_LAYERS: dict[str, type[nn.Module]] = {key: layer for key, (layer, _) in _ZOO.items()}
#: Key -> description.
NORM_RECORDS: dict[str, NormRecord] = {key: record for key, (_, record) in _ZOO.items()}


def get_norm_layer(key: str) -> type[nn.Module]:
    """Return the layer class for a key of `NORM_LAYERS`.

    >>> normzoo.get_norm_layer("gn")
    <class 'normzoo.nn.norms.GroupNorm'>

    Raises:
        ConfigError: the key is not one of them.
    """
    try:
        return NORM_LAYERS[key]
    except KeyError:
        raise ConfigError(f"Unknown norm {key!r}. Choose one of: {', '.join(NORM_LAYERS)}.") from None


def describe_norm(key: str) -> NormRecord:
    """Return the description of a norm; for an unknown one its key as the title."""
    return NORM_RECORDS.get(key, NormRecord(title=key))
