"""Kinds of norm that a layer can behave as: those of the zoo, and others that people use."""

from dataclasses import dataclass, field
from typing import Any

from normzoo.nn.registry import describe_norm

#: The zoo's norms; a mistake is possible in these.
BATCH, EVERY = ("bn", "bin"), ("bn", "in", "bin", "gn", "ln")


@dataclass(frozen=True)
class Kind:
    """A kind of norm.

    Args:
        key: what `--as` takes.
        title: in words.
        axes: what its statistics are taken over, in words.
        settings: of the formula that computes it, but for the groups.
        groups: channels (each its own), one, or given.
        base: the norm of the zoo whose mistakes are possible in it.
    """

    key: str
    title: str
    axes: str
    settings: dict[str, Any] = field(default_factory=dict)
    groups: str = "one"
    base: str = "ln"

    def formula(self, groups: int, channels: int) -> dict[str, Any]:
        """Return the settings of its formula."""
        return {**self.settings, "groups": {"channels": channels, "one": 1, "given": groups}[self.groups]}


_BN: dict[str, Any] = {"axes": "NKHW", "remembers": True}
KINDS: dict[str, Kind] = {
    kind.key: kind
    for kind in (
        Kind("bn", describe_norm("bn").title, "N, H, W", _BN, "channels", "bn"),
        Kind("in", describe_norm("in").title, "H, W", {"axes": "HW"}, "channels", "in"),
        Kind(
            "bin",
            describe_norm("bin").title,
            "N, H, W (and H, W)",
            {**_BN, "gate": "learned"},
            "channels",
            "bin",
        ),
        Kind("ln", describe_norm("ln").title, "C, H, W", {"axes": "KHW"}),
        Kind("gn", describe_norm("gn").title, "C/G, H, W", {"axes": "KHW"}, "given", "gn"),
        Kind("ln-position", "layer normalization per position", "C", {"axes": "K"}),
        Kind("rms-position", "RMS normalization per position", "C", {"axes": "K", "center": False}),
        Kind("rms-image", "RMS normalization of each image", "C, H, W", {"axes": "KHW", "center": False}),
        Kind("rms-map", "RMS normalization of each map", "H, W", {"axes": "HW", "center": False}, "channels", "in"),
        Kind("rms-group", "RMS normalization of groups", "C/G, H, W", {"axes": "KHW", "center": False}, "given", "gn"),
        Kind("frozen-bn", "frozen batch normalization", "nothing", {**_BN, "training": "frozen"}, "channels", "bn"),
        Kind(
            "in-running",
            "instance normalization with running statistics",
            "H, W",
            {"axes": "HW", "remembers": True, "remembers_mean": True},
            "channels",
            "in",
        ),
        Kind("ghost-bn-2", "ghost batch normalization in two parts", "N/2, H, W", {**_BN, "parts": 2}, "channels", "bn"),
        Kind(
            "ghost-bn-strided",
            "ghost batch normalization in two parts",
            "N/2, H, W",
            {**_BN, "parts": 2, "part_order": "strided"},
            "channels",
            "bn",
        ),
        Kind("ghost-bn-3", "ghost batch normalization in three parts", "N/3, H, W", {**_BN, "parts": 3}, "channels", "bn"),
    )
}
