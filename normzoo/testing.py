"""A check of a norm layer for a test suite."""

import inspect
from pathlib import Path

from torch import nn

from normzoo.check.report import Report, check_apart
from normzoo.check.subject import Subject
from normzoo.nn.own_norm import OwnNorm


def check_norm(layer: type[nn.Module], kind: str | None = None, arguments: str = "") -> Report:
    """Compare a norm layer with its formula; fail if they differ.

    >>> from normzoo.testing import check_norm
    >>> check_norm(normzoo.GroupNorm, "gn").passed
    True

    Args:
        layer: class built with the number of channels.
        kind: what it should be, such as "bn"; None: what it computes.
        arguments: of the constructor, as text: "num_groups=4".

    Raises:
        AssertionError: a check fails; the message is the report.
        ConfigError: the layer cannot be built.
    """
    path = inspect.getsourcefile(layer)
    own = OwnNorm(layer, Path(path or layer.__module__), Path(path).read_text(encoding="utf-8") if path else "")
    report = check_apart(lambda: Subject(own, kind, arguments), own.name, with_compiler=False)
    if not report.passed:
        raise AssertionError(report.to_text())
    return report
