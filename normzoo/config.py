"""Configurations: frozen dataclasses whose fields have bounds and a description, checked by pydantic."""

import difflib
from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin

import pydantic.dataclasses
from pydantic import ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from normzoo.errors import ConfigError

Configured = TypeVar("Configured")
_KINDS = {bool: "yes or no", int: "a whole number", float: "a number", str: "a text"}


@dataclass_transform(frozen_default=True)
def config(cls: type[Configured]) -> type[Configured]:
    """Make a class a frozen dataclass that raises a `ConfigError` for unknown fields, wrong types and values out of bounds."""
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(cls)
    check = made.__init__

    def init(self: Any, *values: Any, **fields: Any) -> None:
        try:
            check(self, *values, **fields)
        except ValidationError as error:
            raise ConfigError(_sentence(error, made)) from error

    made.__init__ = init
    return made


def fields_of(cls: type) -> dict[str, FieldInfo]:
    """Return the fields of a configuration, each with a `description`."""
    return getattr(cls, "__pydantic_fields__")  # noqa: B009  # of pydantic, which does not declare it


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return "Did you mean …?", or the choices if none is similar to the word."""
    choices = list(choices)
    near = difflib.get_close_matches(word, choices, 1, 0.5)
    return f"Did you mean {near[0]}?" if near else f"Choose one of: {', '.join(choices)}."


def _sentence(error: ValidationError, cls: type) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] == "value_error":  # of the class's own checks
        return str(first["ctx"]["error"])
    place = first["loc"][0]
    name = list(fields_of(cls))[int(place)] if str(place).isdecimal() else str(place)
    if first["type"] == "unexpected_keyword_argument":
        return f"Unknown field {name!r}. {nearest(name, fields_of(cls))}"
    if first["type"].startswith("missing"):
        return f"The field {name} is missing."
    return f"{name} must be {_must(fields_of(cls)[name])}, got {first['input']!r}."


def _must(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]
    words = _KINDS.get(kind, "a list" if get_origin(kind) in (tuple, list) else "of another kind")  # type: ignore[arg-type]
    bounds = {name: getattr(each, name) for each in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(each, name)}
    low = bounds.get("ge", bounds.get("gt"))
    high = bounds.get("le", bounds.get("lt"))
    if low is not None and high is not None:
        return f"{words} between {low:,} and {high:,}"
    if low is not None:
        return f"{words} {'from' if 'ge' in bounds else 'above'} {low:,}{' on' if 'ge' in bounds else ''}"
    return words
