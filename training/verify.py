"""Recompute packaged metrics from the images or the stored logits; evaluate on test images."""

import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from normzoo.allocator import disable_malloc_trim
from normzoo.analysis.robustness import CHANGES
from normzoo.analysis.statistics import accuracy_interval
from normzoo.errors import CheckpointError, ConfigError, DataError
from normzoo.inference.predict import compute_logits
from normzoo.nn.own_norm import name_own_norms
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import CARD, HASHED, ROBUSTNESS, Checkpoint, count_parameters, open_checkpoint
from normzoo.pretrained.checkpoint import METRICS as METRICS_FILE
from normzoo.pretrained.registry import ModelSet, list_model_sets, load_models
from normzoo.pretrained.serialization import file_sha256, read_text
from normzoo.variants import short_name
from training.cards import README, folder_card, model_card
from training.data.dataset import SPLITS, ImageData, cache_folder, data_root, load_once
from training.data.image_folder import decode_file
from training.data.splits import find_test_files
from training.engine import metrics
from training.engine.metrics import METRICS, mean_std
from training.measurements.batch_statistics import CASES, check_batch_statistics
from training.measurements.batch_statistics import SAMPLE as BATCH_STATISTICS
from training.measurements.ood import check_ood
from training.measurements.robustness import ALL, CHECKED, SAMPLE, check_contrast, measure
from training.measurements.tables import DECIMALS, progress, rounded
from training.package import class_figures, count_macs, final_figures, split_logits

#: Processors round differently: tolerance of logits against the stored float16 ones, and of the loss half its last shown digit.
#: Accuracy and F1 must be equal.
LOGIT_TOLERANCE = 0.02
LOSS_TOLERANCE = 5e-5
#: Slow checks are divided among this many networks; not a multiple of six, so that each norm gets each share in some recipe.
SHARES = 11
#: Shown if the images are missing.
WEAKER = "WEAKER CHECK"
SHARED = (
    f"Of every {SHARES} networks, one was recomputed on the training images, one with lower contrast, and "
    f"{len(SAMPLE)} under one corruption each. To recompute every stored figure: --full"
)


def evaluate(
    checkpoints: Path, say: Callable[[str], None] = print, workers: int | None = None, full: bool = False
) -> list[str]:
    """Recompute the metrics of every packaged checkpoint: all on the validation images, and a sample of the others.

    Args:
        checkpoints: the folder of all model sets.
        say: prints one line for each checkpoint.
        workers: processes, one thread each; None: one per core; 1: this process, with all its threads.
        full: recompute everything, which takes much longer and needs the images.

    Returns:
        descriptions of all differences.
    """
    folders = sorted(path for path in checkpoints.glob("*/*/*") if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise CheckpointError(f"No packaged checkpoint under {checkpoints}. Package runs with: python -m training package")
    shares = itertools.cycle([None] if full else range(SHARES))
    problems, weaker = [], 0
    with _mapper(min(workers or os.cpu_count() or 1, len(folders))) as mapped:
        for folder, (line, found) in zip(folders, mapped(_check_folder, folders, shares), strict=True):
            name = folder.relative_to(checkpoints).as_posix()
            say(f"{name:40s} {line}{'' if not found else '  DIFFERS'}")
            problems += [f"{name}: {problem}" for problem in found]
            weaker += WEAKER in line
    if weaker:
        say(f"{WEAKER}: the images of {weaker} of {len(folders)} networks are missing; their stored logits were used.")
    if (checkpoints / README).exists() and read_text(checkpoints / README) != folder_card(checkpoints):
        problems.append(f"{README} is out of date. Package again.")
    sets = [model_set for model_set in list_model_sets(checkpoints) if model_set.main_variants]
    for model_set in sets if full else sets[:1]:
        problems += [f"{model_set.name}: {problem}" for problem in check_ood(model_set)]
    if not full:
        say(SHARED)
    return problems


@contextlib.contextmanager
def _mapper(workers: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map` over this many processes, or in this one."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, _begin_worker) as pool:
        yield pool.map


def _begin_worker() -> None:
    torch.set_num_threads(1)
    name_own_norms()
    disable_malloc_trim()


def _check_folder(folder: Path, share: int | None = None) -> tuple[str, list[str]]:
    """Return one line about a checkpoint and its differences from the stored figures; share None: everything."""
    try:
        return _check(open_checkpoint(folder), share)
    except CheckpointError as error:
        return "cannot be read", [str(error)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return "cannot be read", [f"{METRICS_FILE} has invalid content ({error!r}). Package the run again."]


def _check(checkpoint: Checkpoint, share: int | None) -> tuple[str, list[str]]:
    network, stored = checkpoint.load_model(), checkpoint.metrics
    problems = [*_check_identity(checkpoint, network), *_check_logits(checkpoint), *_check_history(checkpoint)]
    line = "  ".join(f"val {name.replace('_', ' ')} {stored['final']['val'][name]['mean']:.4f}" for name in METRICS)
    data, reason = _images(checkpoint)
    if data is None:
        if share is None:
            problems.append(f"the full check needs the images: {reason}")
        return f"{line}  ({WEAKER}, from the stored logits: {reason})", problems
    return f"{line}  (from the images)", problems + _check_images(checkpoint, network, data, share)


def _check_identity(checkpoint: Checkpoint, network: ResNet) -> list[str]:
    """Return inconsistencies of a folder with its place, its network and its other figures."""
    stored, final = checkpoint.metrics, checkpoint.metrics["final"]
    where = "/".join(checkpoint.folder.parts[-3:])
    provenance = stored["provenance"]
    pairs: dict[str, tuple[Any, Any]] = {
        "place": (f"{stored['data']}/{stored['recipe']}/{stored['variant']}", where),
        **{name: (provenance[key], file_sha256(checkpoint.folder / name)) for key, name in HASHED.items()},
        "parameters": (stored["parameters"], count_parameters(network)),
        "macs": (stored["macs"], count_macs(network, checkpoint.config.image_size)),
        "card": (read_text(checkpoint.folder / CARD), model_card(checkpoint.config, stored)),
    }
    problems = [f"{key}: stored and recomputed values differ" for key, (kept, found) in pairs.items() if kept != found]
    for name in METRICS:
        again = mean_std(final["train"][name]["values"])
        # Of figures that are rounded already: the last digit may move.
        if not all(_close(final["train"][name][key], again[key], 2 * 10**-DECIMALS) for key in ("mean", "sd")):
            problems.append(f"the stored train {name} is not the mean and standard deviation of its values")
    return problems


def _check_logits(checkpoint: Checkpoint) -> list[str]:
    """Return figures that differ from those of the stored logits."""
    stored = checkpoint.metrics
    val_logits, labels = checkpoint.val_logits()
    again = {
        "seeds": list(val_logits),
        "val figures": final_figures(list(val_logits.values()), labels),
        **class_figures(val_logits, labels, checkpoint.config.classes),
    }
    kept = {**stored, "val figures": stored["final"]["val"]}
    return [f"{key}: stored values differ from those of the logits" for key in again if again[key] != kept.get(key)]


def _check_history(checkpoint: Checkpoint) -> list[str]:
    """Is the history complete, and does it end with the final figures?"""
    stored, history = checkpoint.metrics, checkpoint.history()
    epochs, seeds = stored["provenance"]["recipe"]["epochs"], stored["seeds"]
    problems = []
    whole = [(seed, epoch, split) for seed in seeds for epoch in range(1, epochs + 1) for split in SPLITS]
    if sorted(whole) != sorted((row["seed"], row["epoch"], row["split"]) for row in history):
        problems.append(f"the history lacks epochs: it must have {epochs} of each seed")
    last = [row for row in history if row["epoch"] == epochs and row["split"] == "val"]
    for name in METRICS:
        if [row[name] for row in last] != stored["final"]["val"][name]["values"]:
            problems.append(f"the history does not end with the final val {name}")
    return problems


def _check_images(checkpoint: Checkpoint, network: ResNet, data: ImageData, share: int | None) -> list[str]:
    """Compare the network's outputs on the images with the stored ones of its seed."""
    final, seed = checkpoint.metrics["final"], min(checkpoint.metrics["seeds"])
    position = checkpoint.metrics["seeds"].index(seed)
    problems = []
    for split in SPLITS if share in (None, 0) else ("val",):
        logits = split_logits(network, data, split)
        if split == "val":
            apart = (logits.float() - checkpoint.val_logits()[0][seed].float()).abs().max().item()
            if not apart <= LOGIT_TOLERANCE:
                problems.append(f"logits from the images are up to {apart:.4f} from the stored ones")
        found = final_figures([logits], data.labels[split])
        for name in METRICS:
            value, expected = found[name]["values"][0], final[split][name]["values"][position]
            if not _close(value, expected, LOSS_TOLERANCE if name == "loss" else 0):
                problems.append(f"{split} {name} of seed {seed} is {value}, {expected} is stored")
    is_whole, mine = share is None, slice(share, None, SHARES)
    problems += _check_robustness(checkpoint, network, data, ALL if is_whole else SAMPLE[mine])
    problems += check_batch_statistics(checkpoint, network, data, CASES if is_whole else BATCH_STATISTICS[mine])
    if is_whole or share == 1:
        problems += check_contrast(checkpoint, network, data, tuple(CHANGES) if is_whole else CHECKED)
    return problems


def _check_robustness(
    checkpoint: Checkpoint, network: ResNet, data: ImageData, cases: tuple[tuple[str, int], ...]
) -> list[str]:
    """Is the table complete, and correct in some cases?"""
    stored, seed = checkpoint.robustness(), min(checkpoint.metrics["seeds"])
    if [(row["seed"], row["corruption"], row["severity"]) for row in stored] != [(seed, *case) for case in ALL]:
        return [f"{ROBUSTNESS} lacks corruptions or severities"]
    kept = {(row["corruption"], row["severity"]): row for row in stored}
    problems = []
    for found in rounded(measure(network, data, seed, cases)):
        expected = kept[found["corruption"], found["severity"]]
        if found["accuracy"] != expected["accuracy"] or not _close(found["loss"], expected["loss"], LOSS_TOLERANCE):
            problems.append(f"under {found['corruption']} {found['severity']} the result is {found}, {expected} is stored")
    return problems


def _close(value: Any, expected: Any, tolerance: float) -> bool:
    """Are both equal, or numbers within the tolerance? NaN never is."""
    return bool(value == expected or (None not in (value, expected) and abs(value - expected) <= tolerance))


def _images(checkpoint: Checkpoint) -> tuple[ImageData | None, str]:
    """The images of a checkpoint, or why they are unavailable."""
    description = checkpoint.metrics["provenance"]["data"]
    try:
        data = load_once(description["name"], checkpoint.config.image_size, data_root())
    except DataError as error:
        is_there = cache_folder(description["name"], checkpoint.config.image_size).exists()
        return None, str(error) if is_there else "the images are missing"
    if data.digest != description["digest"]:
        return None, f"other images of that name: {data.name}"
    return data, ""


def final_test(folder: Path, model_set: ModelSet, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Print accuracy with interval and macro F1 of every network of a set on the test images of a folder.

    Returns:
        variant -> loss (nats), accuracy, macro_f1, micro_f1.
    """
    models = load_models(model_set)
    config = next(iter(models.values())).config
    files = find_test_files(folder, config.classes)
    pixels, labels = [], []
    for file in progress(files, "decoding", lambda file: file.name, say):
        square, _, problem = decode_file(file.path, config.image_size)
        if square is None:
            say(f"skipped: {file.name}: {problem}")
        else:
            pixels.append(square)
            labels.append(file.label)
    if not pixels:
        raise ConfigError(f"None of the {len(files)} test images in {folder} can be read. Give other files.")
    images, truth = torch.from_numpy(np.stack(pixels)), torch.tensor(labels)
    found, rows = {}, []
    for variant, model in models.items():
        logits = compute_logits(
            model.network, images, torch.tensor(model.config.mean), torch.tensor(model.config.std), torch.channels_last
        )
        found[variant] = metrics.from_logits(logits, truth)
        interval = accuracy_interval((logits.argmax(1) == truth).numpy())
        row = [100 * value for value in (interval.value, interval.low, interval.high, found[variant]["macro_f1"])]
        rows.append([short_name(variant), *(f"{value:.1f}" for value in row)])
    say(tabulate(rows, ["norm", "accuracy %", "95% from", "to", "macro F1 %"], "plain", disable_numparse=True))
    say(f"{len(pixels)} test images, packaged weights of the first seed. If you choose by these figures, test on new images.")
    return found
