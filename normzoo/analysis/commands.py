"""Commands that make stored results again: every one of them runs as it is printed, where the file of a norm is at hand."""

import shlex
from collections.abc import Iterable, Sequence

from normzoo.pretrained.registry import ModelSet
from normzoo.variants import Variant

DEFAULT_DATA = "tiny-imagenet-25"
PACKAGE = "python -m training package"


def study_command(
    data: str, recipe: str, norms: Iterable[str], seeds: Sequence[int] = (0,), batch_size: int | None = None
) -> str:
    """Return the command that trains these networks.

    Args:
        recipe: its name, with the fields that were changed in it: "strong,epochs=2,horizontal_flip=False".
    """
    base, *changes = recipe.split(",")
    words = ["python -m training study", f"--recipe {base}", f"--norm {','.join(map(_norm_option, norms))}"]
    words += [f"--data {shlex.quote(data)}"] if data != DEFAULT_DATA else []
    for change in changes:
        field, _, value = change.partition("=")
        words.append(f"--{field.replace('_', '-')} {({'True': 'yes', 'False': 'no'}).get(value, value)}")
    words += [f"--batch-size {batch_size}"] if batch_size else []
    words += [f"--seeds {','.join(map(str, seeds))}"] if list(seeds) != [0] else []
    return " ".join(words)


def _norm_option(key: str) -> str:
    """Return what `--norm` takes; of a norm of somebody's own the class is known, not where the reader has its file."""
    return key if Variant.parse(key).norm.islower() else f"norm.py:{key}"


def training_commands(model_set: ModelSet, variants: Iterable[str]) -> list[str]:
    """Return the commands that train these variants of a set again, and package them."""
    groups: dict[tuple[int | None, tuple[int, ...]], list[str]] = {}
    for key in variants:
        if key in model_set.checkpoints:
            variant, seeds = Variant.parse(key), model_set.checkpoints[key].metrics["seeds"]
            norm = Variant(variant.norm, is_reference=variant.is_reference).key
            groups.setdefault((variant.batch_size, tuple(seeds)), []).append(norm)
    lines = [study_command(model_set.data, model_set.recipe, norms, seeds, size) for (size, seeds), norms in groups.items()]
    return [*lines, PACKAGE]
