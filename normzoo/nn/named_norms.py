"""Norms of people's own in the zoo of this process: those that the user has named, and nobody else's code."""

import os
import re
from pathlib import Path

from torch import nn

from normzoo.errors import CheckpointError, ConfigError
from normzoo.nn.own_norm import OwnNorm, is_own_norm, read_own_norm, run_source, source_sha256
from normzoo.nn.registry import NORM_LAYERS, NORM_RECORDS, NormRecord

#: `FILE.py:CLASS` with commas between them: the user's own files, which child processes read as well.
NAMES_VARIABLE = "NORMZOO_OWN_NORMS"
#: 1: run the copy that lies in a folder of checkpoints or runs. Never that of one from the Hugging Face Hub.
ALLOW_VARIABLE = "NORMZOO_ALLOW_OWN_NORMS"
#: Copy of the file beside a run or a checkpoint, as text.
COPY = "norm.py.txt"
#: Name of the class -> the layer, for those that are in the zoo of this process.
OWN_NORMS: dict[str, OwnNorm] = {}


def name_own_norm(words: str) -> str:
    """Take the layer that `FILE.py:CLASS` names into the zoo of this process and of its children; returns its key.

    Raises:
        ConfigError: there is none, or its name is taken.
    """
    key = _enter(read_own_norm(words))
    listed = [each for each in os.environ.get(NAMES_VARIABLE, "").split(",") if each]
    entry = f"{OWN_NORMS[key].path.resolve()}:{key}"
    os.environ[NAMES_VARIABLE] = ",".join(dict.fromkeys([*listed, entry]))
    return key


def name_own_norms(words: str | None = None) -> list[str]:
    """Return the keys of norms with commas between them, those of files taken into the zoo; None takes the environment's."""
    given = os.environ.get(NAMES_VARIABLE, "") if words is None else words
    return [name_own_norm(word) if is_own_norm(word) else word for word in (each.strip() for each in given.split(",")) if word]


def own_sha256(key: str) -> str:
    """Return the sha256 of the file that a norm was read from; empty for the zoo's own and torch's."""
    return OWN_NORMS[key].sha256 if key in OWN_NORMS else ""


def own_source(key: str) -> str | None:
    """Return the text of the file that a norm was read from; None for the zoo's own and torch's."""
    return OWN_NORMS[key].source if key in OWN_NORMS else None


def require_own_norm(key: str, sha256: str, folder: Path) -> None:
    """See to it that a norm that is not of this zoo can be built: the user has named its file, or allowed the copy.

    Args:
        key: name of its class.
        sha256: of the file that the networks were trained with.
        folder: in which the copy lies.

    Raises:
        CheckpointError: neither, or it is another file.
    """
    shown = Path(*folder.parts[-3:], COPY)  # visitors of the page read these words: no path of the host
    if key in OWN_NORMS:
        if OWN_NORMS[key].sha256 != sha256:
            raise CheckpointError(
                f"{key} was trained with another text of {OWN_NORMS[key].path.name}: name that one; {shown} is a copy of it."
            )
        return
    if os.environ.get(ALLOW_VARIABLE) != "1" or is_from_hub(folder):
        raise CheckpointError(
            f"{key} is a norm of somebody's own, whose code is not run unless you say so: read {shown}, then set "
            f"{NAMES_VARIABLE}=FILE.py:{key} to your copy of the file"
            + ("." if is_from_hub(folder) else f", or {ALLOW_VARIABLE}=1 to run the copies in folders of your own.")
        )
    try:
        source = (folder / COPY).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{shown} is missing or damaged. Package the run again.") from error
    if source_sha256(source) != sha256:  # before a line of it is run
        raise CheckpointError(f"{shown} is not the file that the network was trained with. Get it again.")
    try:
        _enter(run_source(source, key, folder / COPY))
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def is_from_hub(folder: Path) -> bool:
    """Does a folder lie in the cache of the Hugging Face Hub?"""
    return any(part.startswith("models--") for part in (*folder.parts, *folder.resolve().parts))


def forget_own_norms() -> None:
    """Take all norms of people's own out of the zoo of this process."""
    for key in list(OWN_NORMS):
        del OWN_NORMS[key], NORM_LAYERS[key], NORM_RECORDS[key]
    os.environ.pop(NAMES_VARIABLE, None)


def _enter(own: OwnNorm) -> str:
    key = own.name
    if key.lower() in {name for name in NORM_LAYERS if name not in OWN_NORMS}:
        raise ConfigError(f"A norm of your own must not be called as one of the zoo, got {key!r}. Rename the class.")
    other = next((name for name in OWN_NORMS if name.lower() == key.lower()), None)
    if other is not None and (other, OWN_NORMS[other].sha256) != (key, own.sha256):
        raise ConfigError(f"There are two norms called {key}: {OWN_NORMS[other].path} and {own.path}. Rename one class.")
    if other is None:
        OWN_NORMS[key] = own
        NORM_LAYERS[key], NORM_RECORDS[key] = _zoo_class(own), _record(own)
    return key


def _zoo_class(own: OwnNorm) -> type[nn.Module]:
    """Return the class as the zoo has them: made with the number of channels alone."""

    def make(self: nn.Module, num_channels: int) -> None:
        own.cls.__init__(self, **own.fill({"num_channels": num_channels}))

    return type(own.name, (own.cls,), {"__init__": make, "__module__": own.cls.__module__, "__doc__": own.cls.__doc__})


def _record(own: OwnNorm) -> NormRecord:
    """Return what a class says of itself, in attributes called as the record's; its name is the title where it says none."""

    def said(name: str, otherwise: str = "") -> str:
        words = getattr(own.cls, name, None)
        return words if isinstance(words, str) else otherwise

    pooled_axes = getattr(own.cls, "pooled_axes", None)
    return NormRecord(
        title=said("title", _title(own)),
        axes=said("axes"),
        pooled_axes=pooled_axes if isinstance(pooled_axes, tuple) else None,
        formula=said("formula"),
        paper=said("paper"),
    )


def _title(own: OwnNorm) -> str:
    """The name of a class as words: "FilterResponseNorm" -> "filter response norm", "FRN" stays."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", own.name).replace("_", " ").split()
    return " ".join(word if word.isupper() else word.lower() for word in words)
