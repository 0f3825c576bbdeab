"""What a run is, and its folder: the saved state, the history, the lock."""

import contextlib
import csv
import fcntl
import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from normzoo.errors import ConfigError, TrainingError
from normzoo.pretrained.checkpoint import HISTORY_COLUMNS
from training.experiment.recipes import RECIPES, Recipe

LOCK = "lock"
PROBE_SECONDS = 0.2


@dataclass(frozen=True)
class Run:
    """What one run trains: with the data it decides the result."""

    data: str
    recipe: Recipe
    norm: str
    seed: int = 0
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must be 0 or more, and below 2^63, got {self.seed}.")

    @property
    def variant(self) -> str:
        """The norm, with the batch size where it is not the recipe's own: `bn`, `bn-bs8`."""
        usual = RECIPES.get(self.recipe.name, self.recipe).batch_size
        return self.norm if self.recipe.batch_size == usual else f"{self.norm}-bs{self.recipe.batch_size}"

    def folder(self, root: Path) -> Path:
        return root / self.data / self.recipe.name / self.variant / f"seed-{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "norm": self.norm,
            "seed": self.seed,
            "precision": self.precision,
            "recipe": self.recipe.to_dict(),
        }


@dataclass
class State:
    """A run after some epochs; what is saved and resumed."""

    run: dict[str, Any]
    data_digest: str
    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[dict[str, Any]]
    sessions: list[dict[str, Any]]  # provenance and seconds of every process that worked on it

    def save(self, folder: Path) -> None:
        """Write beside, then rename: a reader finds the old state or the new one.

        Raises:
            TrainingError: it could not be written; the old one stays.
        """
        table, state = io.StringIO(newline=""), io.BytesIO()
        writer = csv.DictWriter(table, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows(self.history)
        torch.save(self.__dict__, state)
        try:
            # The history first: killed in between, it is one epoch ahead, which the next call writes again; the other
            # way round it could stay one behind for good.
            _replace_file(folder / "history.csv", table.getvalue().encode())
            _replace_file(folder / "state.pt", state.getvalue())
        except OSError as error:
            raise TrainingError(
                f"Epoch {self.epoch} could not be saved in {folder} ({error.strerror}). The state before it is kept: see to "
                "it, and the same command goes on from there."
            ) from error

    @classmethod
    def load(cls, folder: Path) -> "State | None":
        """The saved state of a run, or None where it has not begun.

        Raises:
            TrainingError: the file is damaged.
        """
        path = folder / "state.pt"
        if not path.exists():
            return None
        try:
            return cls(**torch.load(path, weights_only=True))
        except Exception as error:
            # Not torch's own words: for a foreign file they recommend to run what is in it.
            raise TrainingError(f"{path} is damaged. Delete {folder} to start this run anew.") from error


def _replace_file(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class RunBusyError(TrainingError):
    """Another process is training this run."""


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a run: two processes never train the same one. Released by the system if the process dies.

    Raises:
        RunBusyError: another process holds it.
    """
    with open(folder / LOCK, "w") as file:
        # Twice: whoever asks `is_busy` holds it for a moment.
        if not _try_lock(file):
            time.sleep(PROBE_SECONDS)
            if not _try_lock(file):
                raise RunBusyError(f"Another process is training {folder}. Wait for it, or stop it.")
        yield


def is_busy(folder: Path) -> bool:
    """Is another process training this run, on this machine or, where they share the folder, on another?"""
    try:
        with open(folder / LOCK) as file:
            return not _try_lock(file)
    except FileNotFoundError:
        return False


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
