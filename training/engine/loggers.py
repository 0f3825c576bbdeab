"""Figures of a run sent to TensorBoard or trackio as they come; both are packages that only who asks for them needs."""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from normzoo.errors import ConfigError
from training.config import Run
from training.engine.metrics import METRICS

#: Name of the option's value and of the package -> the module that is used.
LOGS = {"tensorboard": "torch.utils.tensorboard", "trackio": "trackio"}

#: Takes the rows that an epoch added to the history.
Log = Callable[[list[dict[str, Any]]], None]


@contextlib.contextmanager
def open_log(kind: str | None, run: Run, folder: Path) -> Iterator[Log]:
    """Send the figures of a run besides its history: nowhere, or to one of `LOGS`.

    Args:
        folder: of the run; TensorBoard's files go into `tensorboard` in it.
    """
    if kind is None:
        yield lambda rows: None
        return
    module = import_log(kind)
    if kind == "tensorboard":
        writer = module.SummaryWriter(str(folder / "tensorboard"))
        try:

            def add(rows: list[dict[str, Any]]) -> None:
                for name, value in _figures(rows).items():
                    writer.add_scalar(name, value, rows[0]["epoch"])

            yield add
        finally:
            writer.close()
    else:
        name = f"{run.recipe.name}/{run.variant}/seed-{run.seed}"
        module.init(project=f"normzoo-{run.data}", name=name, config=run.to_dict(), resume="allow")
        try:
            yield lambda rows: module.log(_figures(rows), step=rows[0]["epoch"])
        finally:
            module.finish()


def import_log(kind: str) -> ModuleType:
    """The module of a log."""
    if kind not in LOGS:
        raise ConfigError(f"log-to must be one of {', '.join(LOGS)}, got {kind!r}.")
    try:
        return importlib.import_module(LOGS[kind])
    except ImportError as error:
        raise ConfigError(f"--log-to {kind} needs a package that is not installed: pip install {kind}") from error


def _figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {f"{row['split']}/{name}": row[name] for row in rows for name in METRICS} | {"lr": rows[0]["lr"]}
