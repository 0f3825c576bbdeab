"""Run: what one training decides; its folder with the saved state, the history and the lock."""

import contextlib
import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from normzoo.errors import ConfigError, TrainingError
from normzoo.pretrained.checkpoint import HISTORY_COLUMNS
from normzoo.variants import Variant
from training.experiment.recipes import RECIPES, Recipe

LOCK = "lock"
#: Whoever asks `is_busy` holds the lock for a moment: longer than that, and another process is training.
PROBE_SECONDS = 0.2
#: Between the name of a data set and the share of its training images that was held out, in the name of a folder.
_HOLDOUT = ",holdout="


@dataclass(frozen=True)
class Run:
    """Settings of one run: with the images they decide the result.

    Args:
        data: name of the data set.
        norm: a key that `ResNet` takes.
        precision: fp32 or bf16 (convolutions only).
        holdout: share of the training images that is validated on in place of the validation images; 0 for none.
        norm_sha256: of the file of a norm of somebody's own; empty for those of the zoo and torch's.
    """

    data: str
    recipe: Recipe
    norm: str
    seed: int = 0
    precision: str = "fp32"
    holdout: float = 0.0
    norm_sha256: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must be 0 or more, and below 2^63, got {self.seed}.")

    @property
    def variant(self) -> str:
        """The norm, with the batch size where it is not the recipe's own: `bn`, `bn-bs8`."""
        usual = RECIPES.get(self.recipe.name, self.recipe).batch_size
        norm = Variant.parse(self.norm)
        size = self.recipe.batch_size if self.recipe.batch_size != usual else None
        return Variant(norm.norm, size, norm.is_reference).key

    def folder(self, root: Path) -> Path:
        """Return where it lies under the folder of all raw runs."""
        return root / self._images / self.recipe.name / self.variant / f"seed-{self.seed}"

    @property
    def _images(self) -> str:
        return f"{self.data}{_HOLDOUT}{self.holdout}" if self.holdout else self.data

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON; the holdout is part of the data set's name."""
        return {
            "data": self._images,
            "norm": self.norm,
            "seed": self.seed,
            "precision": self.precision,
            "recipe": self.recipe.to_dict(),
            **({"norm_sha256": self.norm_sha256} if self.norm_sha256 else {}),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Run":
        """Return the run that `to_dict` wrote."""
        data, _, share = fields["data"].partition(_HOLDOUT)
        return cls(
            data,
            Recipe(**fields["recipe"]),
            fields["norm"],
            fields["seed"],
            fields["precision"],
            float(share or 0),
            fields.get("norm_sha256", ""),
        )


@dataclass
class State:
    """A run after some epochs; what is saved and resumed."""

    run: Run
    data_digest: str
    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[dict[str, Any]]
    sessions: list[dict[str, Any]]  # provenance and seconds of every process that worked on it

    @property
    def is_finished(self) -> bool:
        """Has it gone through all its epochs?"""
        return self.epoch >= self.run.recipe.epochs

    def save(self, folder: Path) -> None:
        """Write beside, then rename: a reader finds the old state or the new one.

        Raises:
            TrainingError: it could not be written; the old one stays.
        """
        table, state = io.StringIO(newline=""), io.BytesIO()
        writer = csv.DictWriter(table, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows(self.history)
        torch.save({**self.__dict__, "run": self.run.to_dict()}, state)
        try:
            # The history first: killed in between, it is one epoch ahead, which the next call writes again; the other
            # way round it could stay one behind for good.
            replace_file(folder / "history.csv", table.getvalue().encode())
            replace_file(folder / "state.pt", state.getvalue())
        except OSError as error:
            raise TrainingError(
                f"Epoch {self.epoch} could not be saved in {folder} ({error.strerror}). The state before it is kept: see to "
                "it, and the same command goes on from there."
            ) from error

    @classmethod
    def load(cls, folder: Path) -> "State | None":
        """Return the saved state of a run, or None where it has not begun.

        Raises:
            TrainingError: the file is damaged.
        """
        path = folder / "state.pt"
        if not path.exists():
            return None
        try:
            fields = torch.load(path, weights_only=True)
            return cls(**{**fields, "run": Run.from_dict(fields["run"])})
        except Exception as error:
            # Not torch's own words: for a foreign file they recommend to run what is in it.
            raise TrainingError(f"{path} is damaged. Delete {folder} to start this run anew.") from error


def iter_runs(root: Path) -> Iterator[tuple[Path, State]]:
    """Yield the folder and the saved state of every run that has begun, in the order of their folders, seeds as numbers.

    Raises:
        TrainingError: a state is damaged.
    """
    paths = root.glob("*/*/*/seed-*/state.pt")
    # Not those that somebody has renamed, to keep them.
    paths = (path for path in paths if path.parent.name.removeprefix("seed-").isdigit())
    for path in sorted(paths, key=lambda path: (path.parents[1], int(path.parent.name.removeprefix("seed-")))):
        state = State.load(path.parent)
        if state is not None:
            yield path.parent, state


def replace_file(path: Path, content: bytes) -> None:
    """Write beside, then rename: a reader finds the old file or the new one, and never a part."""
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
    try:
        held = FileLock(folder / LOCK).acquire(timeout=PROBE_SECONDS)
    except Timeout as error:
        raise RunBusyError(f"Another process is training {folder}. Wait for it, or stop it.") from error
    with held:
        yield


def is_busy(folder: Path) -> bool:
    """Is another process training this run, on this machine or, where they share the folder, on another?"""
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True
