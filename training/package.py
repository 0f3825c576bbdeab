"""From raw runs to the packaged checkpoints: final figures measured anew, provenance, model card."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from normzoo.checkpoint import ModelConfig, count_parameters, default_arguments, save_checkpoint
from normzoo.errors import TrainingError
from normzoo.inference import compute_logits
from normzoo.resnet import ResNet
from training import metrics
from training.card import model_card
from training.data import HOLDOUT, SPLITS, ImageData
from training.data import load as load_data
from training.recipes import Recipe
from training.runs import State

#: Decimals kept of every stored figure: finer differences are those of processors, not of networks.
DECIMALS = 6


def package(runs: Path, checkpoints: Path, say: Callable[[str], None] = print) -> list[Path]:
    """Package every finished run under `runs`: one folder per data set, recipe and variant, with all of its seeds.

    Runs that are not finished are named and left out; a folder whose runs have not changed is written again.

    Raises:
        TrainingError: no run is finished.
        DataError: the images that the runs were trained on are not here.
    """
    remove_partial(checkpoints)
    written = []
    datasets: dict[tuple[str, int], ImageData] = {}
    for folder in sorted({path.parent.parent for path in runs.glob("*/*/*/seed-*/state.pt")}):
        if HOLDOUT in folder.relative_to(runs).parts[0]:
            say(f"left out: {folder} is for choosing a recipe: it was validated on training images")
            continue
        states = _finished_states(folder, say)
        if not states:
            continue
        recipe = Recipe(**states[0].run["recipe"])
        key = (states[0].run["data"], recipe.image_size)
        if key not in datasets:
            datasets[key] = load_data(*key)
        target = checkpoints / folder.relative_to(runs)
        _package_variant(folder.name, states, recipe, datasets[key], target)
        say(f"{target}  seeds {', '.join(str(state.run['seed']) for state in states)}")
        written.append(target)
    if not written:
        raise TrainingError(f"No finished run under {runs}. Train one with: python -m training study")
    return written


def _finished_states(folder: Path, say: Callable[[str], None]) -> list[State]:
    """The finished runs of one variant, one for each seed."""
    states = []
    for seed_folder in sorted(folder.glob("seed-*"), key=lambda path: int(path.name.removeprefix("seed-"))):
        state = State.load(seed_folder)
        if state is None:
            continue
        epochs = state.run["recipe"]["epochs"]
        if state.epoch < epochs:
            say(f"left out: {seed_folder} has {state.epoch} of {epochs} epochs")
        else:
            states.append(state)
    settings = [{key: value for key, value in state.run.items() if key != "seed"} for state in states]
    if any(other != settings[0] for other in settings) or any(state.data_digest != states[0].data_digest for state in states):
        raise TrainingError(f"The seeds under {folder} were trained with different settings or images. Keep those of one kind.")
    return states


def _package_variant(variant: str, states: list[State], recipe: Recipe, data: ImageData, target: Path) -> None:
    if states[0].data_digest != data.digest:
        raise TrainingError(f"{variant} was trained on other images than the {data.name} that is here.")
    norm = states[0].run["norm"]
    config = ModelConfig(recipe.depth, norm, default_arguments(norm), data.classes, data.image_size, data.mean, data.std)
    networks = {state.run["seed"]: _network(config, state) for state in states}
    first = networks[min(networks)]
    # Rounded to what is stored, so that every validation figure can be computed again from the stored logits.
    logits = {seed: {split: split_logits(network, data, split) for split in SPLITS} for seed, network in networks.items()}
    final = {split: final_figures([logits[seed][split] for seed in sorted(logits)], data.labels[split]) for split in SPLITS}
    val_labels = data.labels["val"]
    figures: dict[str, Any] = {
        "format_version": 1,
        "variant": variant,
        "norm": norm,
        "recipe": recipe.name,
        "data": data.name,
        "seeds": sorted(networks),
        "final": final,
        **class_figures({seed: logits[seed]["val"] for seed in sorted(logits)}, val_labels, data.classes),
        "parameters": count_parameters(first),
        "macs": count_macs(first, data.image_size),
        "provenance": {
            "recipe": recipe.to_dict(),
            "data": data.describe(),
            "precision": states[0].run["precision"],
            "runs": [{"seed": state.run["seed"], "sessions": state.sessions} for state in states],
        },
    }
    figures = rounded(figures)
    history = [_stored_row(row) for state in states for row in state.history]
    for position, seed in enumerate(figures["seeds"]):
        # The last epoch's validation row is measured again with the rest: the stored figure, to the digit.
        row = next(r for r in reversed(history) if r["seed"] == seed and r["split"] == "val")
        row.update({name: final["val"][name]["values"][position] for name in metrics.METRICS})
    val_logits = {seed: logits[seed]["val"] for seed in sorted(logits)}
    save_checkpoint(target, first, config, history, figures, val_logits, val_labels, model_card(config, figures))


def _network(config: ModelConfig, state: State) -> ResNet:
    network = config.build()
    network.load_state_dict(state.model, strict=True)
    return network.eval()


def split_logits(network: ResNet, data: ImageData, split: str) -> torch.Tensor:
    """Logits of every image of a split, float16 as they are stored; the figures are computed from these."""
    return compute_logits(network, data.pixels[split], torch.tensor(data.mean), torch.tensor(data.std)).half()


def final_figures(logits: Iterable[torch.Tensor], labels: torch.Tensor) -> dict[str, Any]:
    """The four figures over the seeds: mean, sample standard deviation and values."""
    per_seed = [metrics.from_logits(each, labels) for each in logits]
    return rounded({name: metrics.spread([figures[name] for figures in per_seed]) for name in metrics.METRICS})


def class_figures(val_logits: dict[int, torch.Tensor], labels: torch.Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    """Per seed: the figures of every class, and the confusion matrix."""
    return {
        "per_class": {str(seed): rounded(metrics.per_class(each, labels, classes)) for seed, each in val_logits.items()},
        "confusion_matrix": {str(seed): metrics.confusion(each, labels) for seed, each in val_logits.items()},
    }


def rounded(value: Any) -> Any:
    """Every float in a nest of dicts and lists, at `DECIMALS` decimals or, if smaller than 0.001, significant digits."""
    if isinstance(value, float):
        return round(value, DECIMALS) if abs(value) >= 1e-3 else float(f"{value:.{DECIMALS}g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _stored_row(row: dict[str, Any]) -> dict[str, Any]:
    return {**rounded(row), "seconds": round(row["seconds"], 3)}


def count_macs(network: ResNet, image_size: int) -> int:
    """Multiply-accumulates of the convolutions and the last layer for one image."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(torch.zeros(1, 3, image_size, image_size))
    counts = counter.get_flop_counts()["Global"]
    # Not those of the norms: group normalization has small matrix products, the others have none.
    return sum(counts[kind] for kind in (torch.ops.aten.convolution, torch.ops.aten.addmm)) // 2


def remove_partial(checkpoints: Path) -> None:
    """Delete what an interrupted packaging left behind."""
    for path in checkpoints.glob("*/*/.*-*"):
        shutil.rmtree(path, ignore_errors=True)
