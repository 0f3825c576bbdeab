"""Custom norms: reading the class from a Python file, calling its constructor, and registering it."""

import ast
import hashlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from normzoo.errors import CheckpointError, ConfigError
from normzoo.nn.registry import NORM_LAYERS, NORM_RECORDS, NormRecord

#: Meaning of an argument -> usual names.
ARGUMENT_NAMES = {
    "num_channels": "num_channels num_features channels n_channels in_channels out_channels num_filters features n_features "
    "num_feats in_features planes width dim nf nc c ch",
    "num_groups": "num_groups groups n_groups group ngroups num_group n_group g",
    "shape": "shape normalized_shape input_shape size in_shape feature_shape",
    "num_dims": "num_dims ndim ndims n_dims",
    "eps": "eps epsilon e",
    "momentum": "momentum decay mom",
    "affine": "affine elementwise_affine using_affine",
}


@dataclass(frozen=True)
class OwnNorm:
    """A layer class read from a user's file.

    Args:
        cls: the class.
        path: the file it was read from.
        source: the file's text.
    """

    cls: type[nn.Module]
    path: Path
    source: str

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.cls.__name__

    @property
    def sha256(self) -> str:
        """Hex sha256 of the file's text."""
        return source_sha256(self.source)

    def build(self, known: Mapping[str, Any], arguments: Mapping[str, Any] | None = None) -> nn.Module:
        """Return a layer, built with the arguments of `fill`.

        Raises:
            ConfigError: the constructor needs an unknown argument, or raises an error.
        """
        filled = self.fill(known, arguments)
        try:
            layer = self.cls(**filled)
        except Exception as error:  # a person's code may raise anything
            given = ", ".join(f"{name}={value!r}" for name, value in filled.items())
            raise ConfigError(f"{self.name}({given}) fails: {type(error).__name__}: {error}. Fix it, or use --args.") from error
        return layer

    def fill(self, known: Mapping[str, Any], arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the arguments of the constructor, by its own names.

        Args:
            known: what there is to give, by its meaning (the keys of `ARGUMENT_NAMES`). Arguments with a default are given
                only what is here; `num_groups` falls back on 8 and `num_dims` on 4 where the constructor asks for them.
            arguments: given as they are, by the constructor's own names; they come first.

        Raises:
            ConfigError: the constructor needs an unknown argument.
        """
        filled = dict(arguments or {})
        for name, meaning, is_required in self._parameters():
            if name in filled:
                continue
            if meaning in known:
                filled[name] = known[meaning]
            elif is_required and meaning in _FALLBACKS:
                filled[name] = _FALLBACKS[meaning]
            elif is_required:
                raise ConfigError(f"{self.name} needs the argument {name!r}. Give it with --args '{name}=…'.")
        return filled

    def takes(self, meaning: str) -> bool:
        """Does the constructor have an argument of that meaning?"""
        return any(each == meaning for _, each, _ in self._parameters())

    def default(self, meaning: str) -> Any:
        """Return the default of that argument; None if it has none."""
        names = [name for name, each, _ in self._parameters() if each == meaning]
        value = next((each.default for each in self._signature() if each.name in names), None)
        return None if value is inspect.Parameter.empty else value

    def _parameters(self) -> list[tuple[str, str, bool]]:
        """Name, meaning and whether it must be given, of every argument of the constructor."""
        try:
            parameters = self._signature()
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self.name}'s constructor has no readable signature ({error}). Write it in Python.") from error
        found = []
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                is_required = parameter.default is parameter.empty
                found.append((parameter.name, _MEANINGS.get(parameter.name.lower(), parameter.name), is_required))
        required = [name for name, _, is_required in found if is_required]
        if len(required) == 1 and not any(meaning in ("num_channels", "shape") for _, meaning, _ in found):
            # The only thing that must be said to a norm is how many channels there are, whatever it is called.
            found = [(name, "num_channels" if name == required[0] else meaning, needed) for name, meaning, needed in found]
        return found

    def _signature(self) -> list[inspect.Parameter]:
        """Arguments of the constructor, including those passed on to its parent."""
        parameters = list(inspect.signature(self.cls).parameters.values())
        for parent in self.cls.__mro__[1:]:
            has_channels = any(_MEANINGS.get(each.name.lower()) in ("num_channels", "shape") for each in parameters)
            if has_channels or not parameters or parameters[-1].kind != inspect.Parameter.VAR_KEYWORD or parent is nn.Module:
                break
            if "__init__" in vars(parent):
                names = {each.name for each in parameters}
                own = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
                passed = list(inspect.signature(parent).parameters.values())
                parameters = own + [each for each in passed if each.name not in names or each.kind == each.VAR_KEYWORD]
        return parameters


_MEANINGS = {name: meaning for meaning, names in ARGUMENT_NAMES.items() for name in names.split()}
_FALLBACKS = {"num_groups": 8, "num_dims": 4}


def meant(values: Mapping[str, Any], meaning: str) -> Any:
    """Return the first value whose name has this meaning (a key of `ARGUMENT_NAMES`), or None."""
    return next((value for name, value in values.items() if _MEANINGS.get(name.lower()) == meaning), None)


def is_own_norm(words: str) -> bool:
    """Is this `FILE.py` or `FILE.py:CLASS`, not a built-in norm?"""
    return words.endswith(".py") or ".py:" in words


def read_own_norm(words: str) -> OwnNorm:
    """Return the layer class of `FILE.py:CLASS`; this runs the file.

    Raises:
        ConfigError: there is no such file or class, or the file cannot be run.
    """
    if not is_own_norm(words):
        raise ConfigError(f"A custom norm must be given as FILE.py:CLASS, got {words!r}.")
    file, _, name = words.rpartition(":") if ".py:" in words else (words, "", "")
    path = Path(file)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}). Give a Python file and a class in it: FILE.py:CLASS.") from error
    return run_source(source, name, path)


def source_sha256(source: str) -> str:
    """Return the hex sha256 of a text."""
    return hashlib.sha256(source.encode()).hexdigest()


def run_source(source: str, name: str, path: Path) -> OwnNorm:
    """Run Python source and return the layer class of that name; without a name, the only one defined in it.

    Raises:
        ConfigError: it cannot be run, or there is no such class.
    """
    module_name = f"normzoo_own_{source_sha256(source)[:16]}"
    if module_name not in sys.modules:  # the same text is the same module: its classes compare equal
        spec = importlib.util.spec_from_loader(module_name, None, origin=str(path))
        if spec is None:
            raise ConfigError(f"{path} must be a Python module.")
        module = importlib.util.module_from_spec(spec)
        module.__file__ = str(path)
        sys.modules[module_name] = module  # dataclasses and torch.compile look there
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)
        except Exception as error:  # a person's code may raise anything
            del sys.modules[module_name]
            raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {error}. Fix it.") from error
    module = sys.modules[module_name]
    classes = {key: value for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    if not name:
        classes = {key: value for key, value in classes.items() if value.__module__ == module_name}
        if len(classes) != 1:
            names = ", ".join(classes) or "none"
            raise ConfigError(f"Give the class in {path}, as FILE.py:CLASS. Its layers are: {names}.")
        name = next(iter(classes))
    if name not in classes:
        raise ConfigError(f"{path} has no torch.nn.Module {name!r}. Its layers are: {', '.join(classes) or 'none'}.")
    return OwnNorm(classes[name], path, source)


def parse_arguments(text: str, symbols: Mapping[str, int]) -> dict[str, Any]:
    """Return arguments written as in a call: `num_groups=4, shape=(C, H, W)`.

    Args:
        text: keyword arguments whose values are literals or names of `symbols`.
        symbols: names that stand for numbers.

    Raises:
        ConfigError: anything else.
    """

    class _Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.copy_location(ast.Constant(symbols[node.id]), node) if node.id in symbols else node

    try:
        call = ast.parse(f"call({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("not by name")
        pairs = {keyword.arg: ast.literal_eval(_Replace().visit(keyword.value)) for keyword in call.keywords}
        if None in pairs:
            raise ValueError("no name")
    except (SyntaxError, ValueError) as error:
        letters = ", ".join(symbols)
        raise ConfigError(f"--args must be comma-separated NAME=VALUE with literals or {letters}, got {text!r}.") from error
    return {str(name): value for name, value in pairs.items()}


#: Comma-separated `FILE.py:CLASS`; child processes read it as well.
NAMES_VARIABLE = "NORMZOO_OWN_NORMS"
#: Copy of the file in a run or a checkpoint.
COPY = "norm.py.txt"
#: Name of the class -> layer, for custom norms registered in this process.
OWN_NORMS: dict[str, OwnNorm] = {}


def name_own_norm(words: str) -> str:
    """Register the layer `FILE.py:CLASS` in this process and its children; return its key.

    Raises:
        ConfigError: there is no such class, or its name is taken.
    """
    key = _enter(read_own_norm(words))
    listed = [each for each in os.environ.get(NAMES_VARIABLE, "").split(",") if each]
    entry = f"{OWN_NORMS[key].path.resolve()}:{key}"
    os.environ[NAMES_VARIABLE] = ",".join(dict.fromkeys([*listed, entry]))
    return key


def name_own_norms(words: str | None = None) -> list[str]:
    """Return the keys of comma-separated norms, registering those from files; None: those of the environment."""
    given = os.environ.get(NAMES_VARIABLE, "") if words is None else words
    return [name_own_norm(word) if is_own_norm(word) else word for word in (each.strip() for each in given.split(",")) if word]


def own_sha256(key: str) -> str:
    """Return the sha256 of the file of a custom norm; empty for other norms."""
    return OWN_NORMS[key].sha256 if key in OWN_NORMS else ""


def own_source(key: str) -> str | None:
    """Return the source of a custom norm; None for other norms."""
    return OWN_NORMS[key].source if key in OWN_NORMS else None


def require_own_norm(key: str, sha256: str, folder: Path) -> None:
    """Ensure that a custom norm can be built: the user has named its file.

    Args:
        key: name of its class.
        sha256: of the file that the networks were trained with.
        folder: in which a copy of the file lies.

    Raises:
        CheckpointError: no file, or another one.
    """
    shown = Path(*folder.parts[-3:], COPY)  # visitors of the page read these words: no path of the host
    if key not in OWN_NORMS:
        raise CheckpointError(
            f"{key} is a custom norm, whose code runs only if you allow it. Read {shown}, then set "
            f"{NAMES_VARIABLE}=FILE.py:{key} with your copy of the file."
        )
    if OWN_NORMS[key].sha256 != sha256:
        raise CheckpointError(
            f"{key} was trained with another version of {OWN_NORMS[key].path.name}. Give that version; {shown} is a copy."
        )


def forget_own_norms() -> None:
    """Unregister all custom norms."""
    for key in list(OWN_NORMS):
        del OWN_NORMS[key], NORM_LAYERS[key], NORM_RECORDS[key]
    os.environ.pop(NAMES_VARIABLE, None)


def _enter(own: OwnNorm) -> str:
    key = own.name
    if key.lower() in {name for name in NORM_LAYERS if name not in OWN_NORMS}:
        raise ConfigError(f"A custom norm must not have the name of a built-in norm, got {key!r}. Rename the class.")
    other = next((name for name in OWN_NORMS if name.lower() == key.lower()), None)
    if other is not None and (other, OWN_NORMS[other].sha256) != (key, own.sha256):
        raise ConfigError(f"{OWN_NORMS[other].path} and {own.path} both define {key}. Rename one class.")
    if other is None:
        OWN_NORMS[key] = own
        NORM_LAYERS[key], NORM_RECORDS[key] = _zoo_class(own), _record(own)
    return key


def _zoo_class(own: OwnNorm) -> type[nn.Module]:
    """Return a subclass that is built with the number of channels alone."""

    def make(self: nn.Module, num_channels: int) -> None:
        own.cls.__init__(self, **own.fill({"num_channels": num_channels}))

    return type(own.name, (own.cls,), {"__init__": make, "__module__": own.cls.__module__, "__doc__": own.cls.__doc__})


def _record(own: OwnNorm) -> NormRecord:
    """Return the description from attributes of the class; without a title, its name."""

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
    """The name of a class as words: "FilterResponseNorm" -> "filter response norm", "FRN" is kept."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", own.name).replace("_", " ").split()
    return " ".join(word if word.isupper() else word.lower() for word in words)
