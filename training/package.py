"""From raw runs to packaged checkpoints: final metrics, robustness, provenance, model card."""

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from normzoo.errors import CheckpointError, TrainingError
from normzoo.inference.predict import BATCH_SIZE, compute_logits
from normzoo.nn.own_norm import require_own_norm
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import (
    HASHED,
    Checkpoint,
    Contents,
    ModelConfig,
    count_parameters,
    default_arguments,
    open_checkpoint,
    save_checkpoint,
)
from normzoo.pretrained.serialization import file_sha256, read_rows, write_rows
from training.cards import README, SEARCH_TABLE, folder_card, model_card
from training.data.dataset import ImageData, data_root, load_once
from training.engine import metrics
from training.measurements.robustness import measure
from training.measurements.tables import on_each_core, progress, rounded
from training.runs import State, iter_runs, lock

#: Columns of the table of the recipe search.
SEARCH_COLUMNS = (
    *("recipe", "variant", "seed", "epochs", "holdout", "train_accuracy", "holdout_loss", "holdout_accuracy", "seconds"),
)


@dataclass(frozen=True)
class SeedResult:
    """Results of one seed in a packaged folder."""

    sessions: list[dict[str, Any]]
    history: list[dict[str, Any]]
    train: dict[str, float]  # final figures on the training images
    val_logits: torch.Tensor


class SeedsLostError(TrainingError):
    """Packaging would replace results that cannot be reproduced; the others are packaged."""


def package(runs: Path, checkpoints: Path, say: Callable[[str], None] = print, again: bool = False) -> list[Path]:
    """Package every finished run under `runs`: one folder per data set, recipe and variant, with all seeds.

    Packaged seeds with the same settings and images are kept, even if their runs are gone. Unfinished runs are reported and
    skipped. Runs validated on held-out training images go into the table `search.csv`.

    Args:
        again: also measure packaged networks, and replace seeds with other settings.

    Returns:
        the folders of all finished runs.
    """
    if not runs.is_dir():
        raise _nothing_finished(runs)
    checkpoints.mkdir(parents=True, exist_ok=True)
    with lock(checkpoints, "packaging into"):
        return _package(runs, checkpoints, say, again)


def _package(runs: Path, checkpoints: Path, say: Callable[[str], None], again: bool) -> list[Path]:
    for path in checkpoints.glob("*/*/.*-????????"):  # left by an interrupted packaging, as tempfile names them
        shutil.rmtree(path, ignore_errors=True)
    done, refused = [], []
    found = _finished_states(runs, say)
    for folder, states in progress(found.items(), "packaging", lambda item: str(item[0].relative_to(runs)), say):
        target = checkpoints / folder.relative_to(runs)
        try:
            kept = _packaged(target, again, say)
            if kept and not again and _holds(kept, states):
                say(f"{target}  unchanged")
            else:
                seeds = _package_variant(folder.name, states, kept, target, again)
                replaced = sorted(set(kept.metrics["seeds"] if kept else ()) - set(seeds))
                lost = f"; they replace seeds {', '.join(map(str, replaced))}, trained otherwise" if replaced else ""
                say(f"{target}  seeds {', '.join(map(str, seeds))}{lost}")
        except SeedsLostError as error:
            refused.append(str(error))
            continue
        done.append(target)
    tables = write_search(runs, checkpoints)
    for table in tables:
        say(f"{table}  recipe search")
    if not (done or tables or refused):
        raise _nothing_finished(runs)
    for study in runs.glob("*/*.toml"):  # which make these runs again
        target = checkpoints / study.relative_to(runs)
        if target.parent.is_dir():
            shutil.copyfile(study, target)
    (checkpoints / README).write_text(folder_card(checkpoints), encoding="utf-8")
    if refused:
        raise SeedsLostError("\n".join(refused))
    return done


def _nothing_finished(runs: Path) -> TrainingError:
    return TrainingError(f"No finished run under {runs}. Train one with: python -m training study")


def _finished_states(runs: Path, say: Callable[[str], None]) -> dict[Path, dict[int, State]]:
    """The finished runs that are not part of a search: the folder of each variant, and its states by seed."""
    found: dict[Path, dict[int, State]] = {}
    for seed_folder, state in iter_runs(runs):
        if state.run.holdout:
            continue
        if state.is_finished and not _can_be_built(state, seed_folder, say):
            continue
        if state.is_finished:
            found.setdefault(seed_folder.parent, {})[state.run.seed] = state
        else:
            say(f"skipped: {seed_folder} has {state.epoch} of {state.run.recipe.epochs} epochs")
    for folder, states in found.items():
        if len({(dataclasses.replace(state.run, seed=0), state.data_digest) for state in states.values()}) > 1:
            raise TrainingError(f"The seeds under {folder} must have the same settings and images. Remove those that differ.")
    return found


def _can_be_built(state: State, seed_folder: Path, say: Callable[[str], None]) -> bool:
    """Is it a built-in norm, or one whose file the user has named?"""
    if state.run.norm_sha256:
        try:
            require_own_norm(state.run.norm, state.run.norm_sha256, seed_folder)
        except CheckpointError as error:
            say(f"skipped: {seed_folder}: {error}")
            return False
    return True


def _packaged(folder: Path, again: bool, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the packaged checkpoint, or None."""
    if not folder.exists():
        return None
    try:
        kept = open_checkpoint(folder)
        if not {run["seed"]: run["sessions"] for run in kept.metrics["provenance"]["runs"]}.keys() >= set(
            kept.metrics["seeds"]
        ):
            raise CheckpointError("metrics.json lacks the origin of its seeds.")
        return kept
    except (CheckpointError, LookupError, TypeError) as error:
        if not again:
            raise SeedsLostError(
                f"{folder} cannot be read, and is not changed: {error} Replace it with --again, which keeps a copy, or package "
                "into another folder with --checkpoints."
            ) from error
        place = next(new for i in range(1, 10_000) if not (new := folder.with_name(f".{folder.name}.damaged{i}")).exists())
        say(f"{folder} cannot be read ({error}); it is now {folder.rename(place)}.")
        return None


def _holds(kept: Checkpoint, states: dict[int, State]) -> bool:
    """Are exactly these runs packaged, with unchanged files?"""
    provenance = kept.metrics["provenance"]
    sessions = {run["seed"]: run["sessions"] for run in provenance["runs"]}
    is_same = all(seed in sessions and sessions[seed] == rounded(state.sessions) for seed, state in states.items())
    try:
        return is_same and all(file_sha256(kept.folder / name) == provenance.get(key) for key, name in HASHED.items())
    except CheckpointError:
        return False


def _package_variant(variant: str, states: dict[int, State], kept: Checkpoint | None, target: Path, replace: bool) -> list[int]:
    run, digest = (first_state := states[min(states)]).run, first_state.data_digest
    recipe, norm = run.recipe, run.norm
    data = load_once(run.data, recipe.image_size, data_root())
    if digest != data.digest:
        raise SeedsLostError(
            f"{target.name} of {recipe.name} was trained on other images than those of {data.name} now, and is skipped. "
            "Train it again with `python -m training study … --retrain`, or restore the images."
        )
    images = (data.classes, data.image_size, data.mean, data.std)
    own, last = run.norm_sha256, recipe.last_norm
    config = ModelConfig(recipe.depth, norm, default_arguments(norm), *images, norm_sha256=own, last_norm=last)
    settings = {"recipe": recipe.to_dict(), "data": data.describe(), "precision": run.precision}
    networks = {seed: _network(config, state) for seed, state in states.items()}
    is_joined = kept is not None and not set(kept.metrics["seeds"]) <= set(states)
    try:
        results = _kept_results(kept, config, settings) if kept and is_joined else {}
        oldest = kept.load_model() if kept and results and min(results) < min(states) else None
    except CheckpointError as error:
        raise SeedsLostError(
            f"{target} has seeds without runs here, and cannot be read completely: {error} It is not changed; package "
            "into another folder with --checkpoints."
        ) from error
    lost = set(kept.metrics["seeds"] if kept else ()) - set(states) - set(results)
    if lost and not replace:
        raise SeedsLostError(
            f"{target} has {', '.join(f'seed {seed}' for seed in sorted(lost))}, with another recipe, precision or "
            f"images than {variant} now. Replace them with --again, or package into another folder with --checkpoints."
        )
    results |= {seed: _measure(networks[seed], state, data) for seed, state in states.items()}
    results = dict(sorted(results.items()))
    first = min(results)
    network = oldest or networks[first]
    labels, val_logits = data.labels["val"], {seed: result.val_logits for seed, result in results.items()}
    train = {name: metrics.mean_std([result.train[name] for result in results.values()]) for name in metrics.METRICS}
    final = {"train": rounded(train), "val": final_figures(val_logits.values(), labels)}
    figures: dict[str, Any] = {
        "format_version": 1,
        "variant": variant,
        "norm": norm,
        "recipe": recipe.name,
        "data": data.name,
        "seeds": list(results),
        "final": final,
        **class_figures(val_logits, labels, data.classes),
        "parameters": count_parameters(network),
        "macs": count_macs(network, data.image_size),
        "provenance": {**settings, "runs": [{"seed": seed, "sessions": result.sessions} for seed, result in results.items()]},
    }
    figures = rounded(figures)
    history = [{**rounded(row), "seconds": round(row["seconds"], 3)} for result in results.values() for row in result.history]
    for position, seed in enumerate(results):
        # The last epoch's validation row is measured again with the rest: the stored figure, to the digit.
        row = next(r for r in reversed(history) if r["seed"] == seed and r["split"] == "val")
        row.update({name: final["val"][name]["values"][position] for name in metrics.METRICS})
    robustness_rows = rounded(measure(network, data, first))
    card = model_card(config, figures)
    save_checkpoint(target, Contents(network, config, history, figures, val_logits, labels, robustness_rows, card))
    return list(results)


def _kept_results(kept: Checkpoint, config: ModelConfig, settings: dict[str, Any]) -> dict[int, SeedResult]:
    """The packaged seeds with the same settings."""
    # An argument that the layer was given since then, by its default, makes it no other layer; one without any ignores them.
    known = default_arguments(config.norm)
    arguments = {**known, **kept.config.norm_arguments} if known else {}
    if dataclasses.replace(kept.config, norm_arguments=arguments) != config:
        return {}
    stored = kept.metrics
    if any(stored["provenance"][key] != rounded(value) for key, value in settings.items()):
        return {}
    for key in ("history_sha256", "logits_sha256"):
        if file_sha256(kept.folder / HASHED[key]) != stored["provenance"].get(key):
            raise CheckpointError(f"{HASHED[key]} is not the file that was packaged.")
    history, (val_logits, _) = kept.history(), kept.val_logits()
    train = stored["final"]["train"]
    return {
        run["seed"]: SeedResult(
            run["sessions"],
            [row for row in history if row["seed"] == run["seed"]],
            {name: train[name]["values"][position] for name in metrics.METRICS},
            val_logits[run["seed"]],
        )
        for position, run in enumerate(stored["provenance"]["runs"])
    }


def _measure(network: ResNet, state: State, data: ImageData) -> SeedResult:
    # Rounded to what is stored, so that every validation figure can be computed again from the stored logits.
    train = rounded(metrics.from_logits(split_logits(network, data, "train"), data.labels["train"]))
    return SeedResult(state.sessions, state.history, train, split_logits(network, data, "val"))


def _network(config: ModelConfig, state: State) -> ResNet:
    network = config.build()
    network.load_state_dict(state.model, strict=True)
    return network.eval()


def split_logits(network: ResNet, data: ImageData, split: str) -> torch.Tensor:
    """Logits of every image of a split, float16 as stored; all metrics are computed from these."""
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    parts = data.pixels[split].split(8 * BATCH_SIZE)  # whole batches: the same as in one go
    return torch.cat(on_each_core(lambda part: compute_logits(network, part, mean, std, torch.channels_last), parts)).half()


def final_figures(logits: Iterable[torch.Tensor], labels: torch.Tensor) -> dict[str, Any]:
    """Mean, sample standard deviation and values of each metric over the seeds."""
    per_seed = [metrics.from_logits(each, labels) for each in logits]
    return rounded({name: metrics.mean_std([figures[name] for figures in per_seed]) for name in metrics.METRICS})


def class_figures(val_logits: dict[int, torch.Tensor], labels: torch.Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    """Per seed: the metrics of every class, and the confusion matrix."""
    return {
        "per_class": {str(seed): rounded(metrics.per_class(each, labels, classes)) for seed, each in val_logits.items()},
        "confusion_matrix": {str(seed): metrics.confusion(each, labels) for seed, each in val_logits.items()},
    }


def count_macs(network: ResNet, image_size: int) -> int:
    """Multiply-accumulates of the convolutions and the last layer per image."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(torch.zeros(1, 3, image_size, image_size))
    counts = counter.get_flop_counts()["Global"]
    # Not those of the norms: group normalization has small matrix products, the others have none.
    return sum(counts[kind] for kind in (torch.ops.aten.convolution, torch.ops.aten.addmm)) // 2


def write_search(runs: Path, checkpoints: Path) -> list[Path]:
    """Write a table of the finished search runs of each data set; return the tables.

    Stored rows are kept, even if their runs are gone; those of the same run are replaced.
    """
    tables: dict[Path, list[dict[str, Any]]] = {}
    for _, state in iter_runs(runs):
        if state.run.holdout and state.is_finished:
            tables.setdefault(checkpoints / state.run.data / SEARCH_TABLE, []).append(_search_row(state))
    for table, rows in tables.items():
        stored = {_identity(row): row for row in (*(read_rows(table, SEARCH_COLUMNS) if table.exists() else ()), *rows)}
        write_rows(table, SEARCH_COLUMNS, [row for _, row in sorted(stored.items())])
    return list(tables)


def _identity(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("recipe", "variant", "seed", "holdout"))


def _search_row(state: State) -> dict[str, Any]:
    last = {row["split"]: row for row in state.history[-2:]}
    return {
        "recipe": state.run.recipe.name,
        "variant": state.run.variant,
        "seed": state.run.seed,
        "epochs": state.epoch,
        "holdout": state.run.holdout,
        "train_accuracy": round(last["train"]["accuracy"], 6),
        "holdout_loss": round(last["val"]["loss"], 6),
        "holdout_accuracy": round(last["val"]["accuracy"], 6),
        "seconds": round(sum(session["seconds"] for session in state.sessions), 1),
    }
