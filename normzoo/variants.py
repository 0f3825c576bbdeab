"""Variant of a model set: its norm, whose implementation, its batch size; and its names."""

from dataclasses import dataclass

from normzoo.nn.registry import NORM_LAYERS, describe_norm

_REFERENCE, _BATCH_SIZE = "torch-", "-bs"


@dataclass(frozen=True)
class Variant:
    """One network of a model set.

    Args:
        norm: a key of `NORM_LAYERS`, or another name.
        batch_size: if it differs from the recipe's.
        is_reference: torch's layer in place of ours.
    """

    norm: str
    batch_size: int | None = None
    is_reference: bool = False

    @classmethod
    def parse(cls, key: str) -> "Variant":
        """Return the variant of a key such as `bn`, `torch-bn` or `bn-bs8`; any other key is the name of a norm."""
        norm, _, size = key.partition(_BATCH_SIZE)
        if not size.isdecimal():
            norm, size = key, ""
        return cls(norm.removeprefix(_REFERENCE), int(size) if size else None, norm.startswith(_REFERENCE))

    @property
    def key(self) -> str:
        """Name as a folder and on the command line: `bn`, `torch-bn`, `bn-bs8`."""
        size = "" if self.batch_size is None else f"{_BATCH_SIZE}{self.batch_size}"
        return f"{_REFERENCE if self.is_reference else ''}{self.norm}{size}"

    @property
    def is_main(self) -> bool:
        """Is it a built-in norm with the recipe's settings?"""
        return self.norm in NORM_LAYERS and self.batch_size is None and not self.is_reference

    @property
    def short_name(self) -> str:
        """Abbreviation: "BN", "torch BN", "BN batch 8"."""
        # Built-in keys are in lower case; a custom class keeps its capitals.
        norm = self.norm.upper() if self.norm.islower() else self.norm
        words = f"torch {norm}" if self.is_reference else norm
        return words if self.batch_size is None else f"{words} batch {self.batch_size}"

    @property
    def description(self) -> str:
        """Description: "batch normalization", "… (torch's own layer)", "… at batch size 8"."""
        words = describe_norm(self.norm).title
        words += " (torch's own layer)" if self.is_reference else ""
        return words if self.batch_size is None else f"{words} at batch size {self.batch_size}"


def describe_variant(key: str) -> str:
    return Variant.parse(key).description


def short_name(key: str) -> str:
    return Variant.parse(key).short_name
