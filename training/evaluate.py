"""Computing packaged figures again: from the images where they are, from the stored logits where not."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from normzoo.checkpoint import CARD, Checkpoint, open_checkpoint
from normzoo.errors import CheckpointError, DataError
from training.card import model_card
from training.data import SPLITS, ImageData
from training.data import load as load_data
from training.metrics import METRICS
from training.package import class_figures, final_figures, split_logits

#: Processors round differently in the last bits: logits from the images may differ from the stored float16 ones by this
#: much, and the loss by half of its last shown digit. Accuracy and F1 must be equal.
LOGIT_TOLERANCE = 0.02
LOSS_TOLERANCE = 5e-5


def evaluate(checkpoints: Path, say: Callable[[str], None] = print, workers: int | None = None) -> list[str]:
    """Compute the figures of every packaged checkpoint again.

    Args:
        checkpoints: the folder of all model sets.
        say: prints one line for each checkpoint.
        workers: processes, one thread each; None: one per core.

    Returns:
        every difference found, in words; none where all is as stored.

    Raises:
        CheckpointError: nothing is packaged there.
    """
    folders = sorted(path for path in checkpoints.glob("*/*/*") if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise CheckpointError(f"No packaged checkpoint under {checkpoints}. Make them with: python -m training package")
    problems = []
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers or os.cpu_count(), context, _one_thread) as pool:
        for folder, (line, found) in zip(folders, pool.map(_check_folder, folders), strict=True):
            name = folder.relative_to(checkpoints).as_posix()
            say(f"{name:40s} {line}{'' if not found else '  DIFFERS'}")
            problems += [f"{name}: {problem}" for problem in found]
    return problems


def _one_thread() -> None:
    torch.set_num_threads(1)


def _check_folder(folder: Path) -> tuple[str, list[str]]:
    """One line about a checkpoint, and what differs from what is stored."""
    try:
        checkpoint = open_checkpoint(folder)
        network = checkpoint.load_model()
        problems = _check_stored(checkpoint)
    except CheckpointError as error:
        return "cannot be read", [str(error)]
    stored = checkpoint.metrics["final"]
    line = "  ".join(f"val {name.replace('_', ' ')} {stored['val'][name]['mean']:.4f}" for name in METRICS)
    data = _images(checkpoint)
    if data is None:
        return f"{line}  (from the stored logits: no images here)", problems
    first = min(checkpoint.metrics["seeds"])
    for split in SPLITS:
        logits = split_logits(network, data, split)
        if split == "val":
            apart = (logits.float() - checkpoint.val_logits()[0][first].float()).abs().max().item()
            if apart > LOGIT_TOLERANCE:
                problems.append(f"logits from the images are up to {apart:.4f} from the stored ones")
        found = final_figures([logits], data.labels[split])
        position = checkpoint.metrics["seeds"].index(first)
        for name in METRICS:
            value, expected = found[name]["values"][0], stored[split][name]["values"][position]
            if abs(value - expected) > (LOSS_TOLERANCE if name == "loss" else 0):
                problems.append(f"{split} {name} of seed {first} is {value} from the images, {expected} stored")
    return f"{line}  (from the images)", problems


def _check_stored(checkpoint: Checkpoint) -> list[str]:
    """What in a folder does not follow from its stored logits and history."""
    stored, classes = checkpoint.metrics, checkpoint.config.classes
    val_logits, labels = checkpoint.val_logits()
    again: dict[str, Any] = {
        "seeds": list(val_logits),
        "val figures": final_figures(list(val_logits.values()), labels),
        **class_figures(val_logits, labels, classes),
        "card": model_card(checkpoint.config, stored),
    }
    kept = {
        "seeds": stored["seeds"],
        "val figures": stored["final"]["val"],
        **{key: stored.get(key) for key in ("per_class", "confusion_matrix")},
        "card": (checkpoint.folder / CARD).read_text() if (checkpoint.folder / CARD).exists() else None,
    }
    problems = [f"{key} stored and computed from the logits differ" for key in again if again[key] != kept[key]]
    epochs, history = stored["provenance"]["recipe"]["epochs"], checkpoint.history()
    if len(history) != epochs * len(SPLITS) * len(val_logits):
        problems.append(f"the history does not hold {epochs} epochs of each seed")
    last = [row for row in history if row["epoch"] == epochs and row["split"] == "val"]
    for name in METRICS:
        if [row[name] for row in last] != stored["final"]["val"][name]["values"]:
            problems.append(f"the history does not end with the final val {name}")
    return problems


def _images(checkpoint: Checkpoint) -> ImageData | None:
    """The images a checkpoint was made from, or None where they are not here."""
    description = checkpoint.metrics["provenance"]["data"]
    try:
        data = load_data(description["name"], checkpoint.config.image_size)
    except DataError:
        return None
    return data if data.digest == description["digest"] else None
