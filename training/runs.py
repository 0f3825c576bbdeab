"""The folder of a run: its saved state, history, progress, and lock."""

import contextlib
import csv
import io
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from normzoo.errors import ConfigError, TrainingError
from normzoo.pretrained.checkpoint import HISTORY_COLUMNS
from training.config import Run

LOCK = "lock"
#: `is_busy` holds the lock for a moment; if it is locked for longer, another process is training.
PROBE_SECONDS = 0.2
#: In the folder of a run: what it is doing.
DOING = "doing"
#: On Windows a file cannot be replaced while a reader or virus scanner holds it.
REPLACE_SECONDS = 2.0


@dataclass
class State:
    """A run after some epochs, as saved and resumed."""

    run: Run
    data_digest: str
    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[dict[str, Any]]
    sessions: list[dict[str, Any]]  # provenance and seconds of every process that worked on it

    @property
    def is_finished(self) -> bool:
        """Has it completed all its epochs?"""
        return self.epoch >= self.run.recipe.epochs

    def save(self, folder: Path) -> None:
        """Write the state atomically."""
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
                f"Epoch {self.epoch} could not be saved in {folder} ({error.strerror}). The state before it is kept: fix "
                "this, and the same command resumes."
            ) from error

    @classmethod
    def load(cls, folder: Path) -> "State | None":
        """Return the saved state of a run, or None."""
        path = folder / "state.pt"
        try:
            fields = torch.load(path, weights_only=True)
            return cls(**{**fields, "run": Run.from_dict(fields["run"])})
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise TrainingError(f"{path} cannot be read. Check its permissions, and run this again.") from error
        except ConfigError as error:
            raise TrainingError(f"{path} was saved by another version of NormZoo: {error}") from error
        except Exception as error:
            # Not torch's message: for a foreign file it recommends unpickling it.
            raise TrainingError(f"{path} is damaged. Delete {folder} to train this run again.") from error


def iter_runs(root: Path) -> Iterator[tuple[Path, State]]:
    """Yield folder and saved state of every run that has begun, in order of the folders, seeds as numbers."""
    paths = root.glob("*/*/*/seed-*/state.pt")
    # Not folders that a user has renamed to keep them.
    paths = (path for path in paths if path.parent.name.removeprefix("seed-").isdigit())
    for path in sorted(paths, key=lambda path: (path.parents[1], int(path.parent.name.removeprefix("seed-")))):
        state = State.load(path.parent)
        if state is not None:
            yield path.parent, state


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically: beside, then rename."""
    part = path.with_name(f"{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        deadline = time.monotonic() + REPLACE_SECONDS
        while True:
            try:
                os.replace(part, path)
                break
            except PermissionError:
                if os.name != "nt" or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
    finally:
        part.unlink(missing_ok=True)


def set_aside(folder: Path) -> Path:
    """Move the files of a locked run into a folder beside it; return the new folder."""
    place = next(new for i in range(1, 10_000) if not (new := folder.with_name(f"{folder.name}-before-{i}")).exists())
    place.mkdir()
    for path in folder.iterdir():
        if path.name != LOCK:
            path.rename(place / path.name)
    return place


def tell_doing(folder: Path, what: str) -> None:
    """Write down what a run is doing, for observers."""
    with contextlib.suppress(OSError):
        (folder / DOING).write_text(what, encoding="utf-8")


def read_doing(folder: Path) -> str:
    """Return what a run is doing, as written down; empty if unknown."""
    try:
        return (folder / DOING).read_text(encoding="utf-8")
    except OSError:
        return ""


def read_history(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the history of a run as text; empty if it has not begun."""
    try:
        with open(folder / "history.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


class RunBusyError(TrainingError):
    """Another process is training this run, or at work in this folder."""


@contextlib.contextmanager
def lock(folder: Path, doing: str = "training", seconds: float = PROBE_SECONDS) -> Iterator[None]:
    """Lock a folder, so that no two processes work in it; the system releases the lock if the process dies."""
    try:
        held = FileLock(folder / LOCK).acquire(timeout=seconds)
    except Timeout as error:
        raise RunBusyError(f"Another process is {doing} {folder}. Wait for it, or stop it.") from error
    with held:
        yield


def is_busy(folder: Path) -> bool:
    """Is another process training this run, here or on a machine that shares the folder?"""
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True


PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow", "safetensors")


def provenance(command: str) -> dict[str, Any]:
    """Return the provenance to store with a result; it does not identify the machine."""
    return {
        "command": command,
        "commit": commit(),
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def commit() -> str | None:
    """Return the commit of this code, with "+" if it was changed since; None outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD", check=True).stdout.strip()
        dirty = _git("diff", "--quiet", "HEAD", "--", "*.py", check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if dirty else "")


def _git(*arguments: str, check: bool) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[1]
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=check)


def device_name() -> str:
    """Model name of the processor or GPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
