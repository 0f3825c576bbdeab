"""What a run is, and its folder: the saved state, the history, the lock."""

import contextlib
import csv
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from normzoo.checkpoint import HISTORY_COLUMNS
from normzoo.errors import TrainingError
from training.recipes import RECIPES, Recipe


@dataclass(frozen=True)
class Run:
    """What one run trains: with the data it decides the result."""

    data: str
    recipe: Recipe
    norm: str
    seed: int = 0
    precision: str = "fp32"

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
        """Write beside, then rename: a reader finds the old state or the new one."""
        part = folder / "state.pt.part"
        with open(part, "wb") as file:
            torch.save(self.__dict__, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / "state.pt")
        with open(folder / "history.csv.part", "w", newline="") as file:
            writer = csv.DictWriter(file, HISTORY_COLUMNS)
            writer.writeheader()
            writer.writerows(self.history)
        os.replace(folder / "history.csv.part", folder / "history.csv")

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
            raise TrainingError(f"{path} cannot be read ({error}). Delete {folder} to start this run anew.") from error


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a run: two processes never train the same one. Released by the system if the process dies."""
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(f"Another process is training {folder}. Wait for it, or stop it.") from error
        yield
