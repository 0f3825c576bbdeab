"""Runs as a few files that travel from one machine to another."""

import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from normzoo.errors import TrainingError
from training.experiment.recipes import Recipe
from training.experiment.runs import Run, State

#: The files that come back from a lent machine: 8 at most, of 16 MiB at most, 64 MiB together. Some room is left.
PART_BYTES = 15 * 2**20
MAX_PARTS = 4
#: What a zip adds to a file, at most.
ENTRY_BYTES = 1000


def pack(root: Path, folder: Path, say: Callable[[str], None] = print) -> list[Path]:
    """Put every run under `root` into a few zip files: finished ones first, without their optimizers, then the others.

    Returns:
        the files `runs-1.zip` … in `folder`; there may be none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("runs-*.zip"):
        path.unlink()
    parts: list[list[tuple[str, bytes]]] = []
    left_out = []
    for name, content in _contents(root):
        part = next((each for each in parts if _size(each) + len(content) + ENTRY_BYTES <= PART_BYTES), None)
        if part is None and len(parts) < MAX_PARTS and len(content) + ENTRY_BYTES <= PART_BYTES:
            part = []
            parts.append(part)
        if part is None:
            left_out.append(name)
        else:
            part.append((name, content))
    paths = [folder / f"runs-{number}.zip" for number in range(1, len(parts) + 1)]
    for path, part in zip(paths, parts, strict=True):
        with zipfile.ZipFile(path, "w") as archive:  # weights hardly get smaller by compressing
            for name, content in part:
                archive.writestr(name, content)
    say(f"{sum(map(len, parts))} runs are packed into {len(paths)} files in {folder}.")
    for name in left_out:
        say(f"left out, for want of room: {name}")
    return paths


def _size(part: list[tuple[str, bytes]]) -> int:
    return sum(len(content) + ENTRY_BYTES for _, content in part)


def _contents(root: Path) -> list[tuple[str, bytes]]:
    finished: list[tuple[str, bytes]] = []
    others: list[tuple[str, bytes]] = []
    for path in sorted(root.glob("*/*/*/seed-*/state.pt")):
        state = State.load(path.parent)
        if state is None:
            continue
        done = state.epoch >= state.run["recipe"]["epochs"]
        content = io.BytesIO()
        torch.save(vars(replace(state, optimizer={}) if done else state), content)
        (finished if done else others).append((path.relative_to(root).as_posix(), content.getvalue()))
    return finished + others


def unpack(folder: Path, root: Path, say: Callable[[str], None] = print) -> None:
    """Put the runs of `pack`'s files under `root`; one that is further there already is kept.

    Raises:
        TrainingError: there is nothing to unpack, a file is damaged, or a run there was made with other settings.
    """
    archives = sorted(folder.glob("runs-*.zip"))
    if not archives:
        raise TrainingError(f"There is no runs-….zip in {folder}. Make them with: python -m training pack")
    for path in archives:
        try:
            with zipfile.ZipFile(path) as archive:
                contents = [archive.read(name) for name in archive.namelist()]
        except (OSError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{path} cannot be read ({error}). Copy it once more.") from error
        for content in contents:
            say(_unpack_run(content, root))


def _unpack_run(content: bytes, root: Path) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary, "state.pt").write_bytes(content)
        state = State.load(Path(temporary))
    if state is None:
        raise TrainingError("A packed run vanished while it was read. Call again.")
    run = Run(**{**state.run, "recipe": Recipe(**state.run["recipe"])})
    target = run.folder(root)
    if os.path.relpath(target, root).startswith(".."):
        raise TrainingError(f"a packed run must lie inside {root}, got {target}.")
    before = State.load(target)
    if before and (before.run != state.run or before.data_digest != state.data_digest):
        raise TrainingError(f"{target} holds a run with other settings. Move it away, or unpack into another folder.")
    if before and before.epoch >= state.epoch:
        return f"{target}: epoch {before.epoch} is here, epoch {state.epoch} came; kept"
    target.mkdir(parents=True, exist_ok=True)
    state.save(target)
    return f"{target}: epoch {state.epoch} of {run.recipe.epochs}"
