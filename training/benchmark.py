"""A custom norm compared with all others: measurements and tables of `python -m training benchmark`."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from normzoo.analysis.calibration import calibrations
from normzoo.analysis.robustness import robustness, summarize
from normzoo.errors import ConfigError, TrainingError
from normzoo.findings.finding import Evidence, ResultTable
from normzoo.findings.learning_rate import Rated, best_rates, best_table, rated, rated_sets, without_rate
from normzoo.formatting import to_csv
from normzoo.inference.predict import compute_logits, has_running_statistics, with_statistics
from normzoo.nn.resnet import NormLayer, ResNet
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.variants import Variant
from training.bench import compare_steps
from training.config import Run, get_recipe
from training.data.dataset import data_root, load_once
from training.launch.local import duration, makespan
from training.runs import read_history

#: Learning rates to try; for other recipes, from a quarter to four times their own.
RATES = {"paper": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "strong": (0.05, 0.1, 0.2, 0.4)}
#: Epochs and held-out share of the trials that choose a learning rate.
TRIAL_EPOCHS, TRIAL_HOLDOUT = 15, 0.1
TIMED_STEPS = 20


def rates_of(recipe: str) -> tuple[float, ...]:
    """Learning rates to try with this recipe."""
    return RATES.get(recipe) or tuple(get_recipe(recipe).lr * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0))


def best_rate(trials: Iterable[Run], root: Path) -> float:
    """Learning rate of the trial with the highest accuracy on the held-out images."""
    accuracies, missing = dict[float, float](), list[str]()
    for run in trials:
        rows = [row for row in read_history(run.folder(root)) if row["split"] == "val"]
        if len(rows) < run.recipe.epochs:
            missing.append(f"{run.recipe.lr:g}")
        else:
            accuracies[run.recipe.lr] = float(rows[-1]["accuracy"])
    if missing:
        raise TrainingError(f"No finished trial at learning rate {', '.join(missing)} yet. Run this again when all have ended.")
    return max(accuracies, key=lambda rate: accuracies[rate])


def within_budget(
    seconds: float, trial: float, final: float, rates: Sequence[float], seeds: Sequence[int], workers: int = 1
) -> tuple[list[float], list[int]]:
    """Learning rates and seeds that can be trained in the given time: the outermost rates go first, then seeds.

    Args:
        seconds: the budget.
        trial, final: seconds of a trial of a rate, and of a run at the best one.
        workers: runs at a time.

    Raises:
        ConfigError: the time is too short for one rate and one seed.
    """
    chosen, kept = list(rates), list(seeds)
    while makespan([trial] * len(chosen), workers) + makespan([final] * len(kept), workers) > seconds:
        if len(chosen) > 3 or (len(kept) == 1 < len(chosen)):
            chosen.pop(-1 if len(chosen) % 2 else 0)
        elif len(kept) > 1:
            kept.pop()
        else:
            raise ConfigError(f"One rate and one seed take {duration(trial + final)}. Give a larger --budget.")
    return chosen, kept


def benchmark_table(checkpoints: Path, data: str, recipe: str, device: torch.device) -> ResultTable:
    """Every packaged norm at its best learning rate, with its other measurements.

    Args:
        recipe: its name without a learning rate.
    """
    sets = [each for each in list_model_sets(checkpoints) if each.data == data and each.checkpoints]
    shown = next((each for each in sets if without_rate(each.recipe) == recipe), None)
    if shown is None:
        raise TrainingError(f"No network of {data} and {recipe} is packaged in {checkpoints}. Run: python -m training package")
    evidence = Evidence(shown, sets)
    found, between_runs = rated(
        evidence, recipe, lambda each: [key for key in each.checkpoints if Variant.parse(key).batch_size is None]
    )
    best, by_rate = best_rates(found), rated_sets(evidence, recipe)
    table = best_table(best, between_runs)
    rows = [_measured(by_rate[each.rate], each, device) for each in best.values()]
    for title, pattern, higher_is_better in _COLUMNS:
        table.add(title, [row.get(title) for row in rows], pattern, higher_is_better)
    return table


#: Title, format, is a higher figure better?
_COLUMNS = (
    ("Corrupted images (%)", ".1f", True),
    ("Calibration error (%)", ".1f", False),
    ("Changed by the batch (%)", ".1f", False),
    ("Step relative to torch's BN", ".2f", False),
    ("Memory relative to torch's BN", ".2f", False),
)
CAPTION = (
    "Accuracy: mean ± standard deviation over n runs. Corrupted images: mean accuracy over all corruptions, first seed. "
    "Calibration error: expected, 15 bins, mean over runs. Changed by the batch: predictions that change when batch statistics "
    "of 32 images replace the running ones, first seed; 0 for norms of single images. Step: time of a training step; memory: "
    "what it keeps for the backward pass; both relative to torch's batch normalization, on {device}."
)


def _measured(model_set: ModelSet, each: Rated, device: torch.device) -> dict[str, float]:
    checkpoint = model_set.checkpoints[each.variant]
    corrupted = summarize(robustness(model_set, [each.variant]).frame)["mean"]
    errors = [found.ece for found in calibrations(model_set, [each.variant])[0][each.variant]]
    changed = _changed_by_the_batch(checkpoint)
    layers: list[NormLayer] = [checkpoint.config.layer, torch.nn.BatchNorm2d]
    ours, torchs = compare_steps(layers, device, False, TIMED_STEPS)
    kept, torchs_kept = (kept_for_backward(layer) for layer in layers)
    values = [100 * float(corrupted.iloc[0]), 100 * statistics.mean(errors), changed, ours / torchs, kept / torchs_kept]
    return {title: value for (title, *_), value in zip(_COLUMNS, values, strict=True)}


def kept_for_backward(layer: NormLayer) -> int:
    """Bytes that a network of these norms keeps for the backward pass of a batch of 32 images; each tensor counts once."""
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model = ResNet(norm=layer, num_classes=25).train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(torch.zeros(32, 3, 32, 32))
    assert logits.requires_grad
    return sum(found.values())


def _changed_by_the_batch(checkpoint: Checkpoint) -> float:
    """Percentage of predictions that batch statistics of 32 images change."""
    network, config = checkpoint.load_model(), checkpoint.config
    if not has_running_statistics(network):
        return 0.0
    data = load_once(checkpoint.metrics["data"], config.image_size, data_root())
    order = torch.randperm(len(data.labels["val"]), generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    twin = with_statistics(network, "batch")
    batches = data.pixels["val"][order].split(32)
    pairs = [[compute_logits(each, batch, mean, std).argmax(1) for each in (network, twin)] for batch in batches]
    return 100 * float(torch.cat([running != own for running, own in pairs]).double().mean())


def write_benchmark(table: ResultTable, folder: Path, device: str, say: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbers, texts = table.frames
    cells: dict[str, Any] = {"headers": list(texts), "disable_numparse": True}
    rows = texts.to_numpy().tolist()
    caption = CAPTION.format(device=device)
    markdown = tabulate(rows, tablefmt="github", **cells)
    (folder / "table.md").write_text(f"{markdown}\n\n{caption}\n", encoding="utf-8")
    (folder / "table.tex").write_text(f"{tabulate(rows, tablefmt='latex_booktabs', **cells)}\n% {caption}\n", encoding="utf-8")
    (folder / "table.csv").write_text(to_csv(numbers), encoding="utf-8")
    say(f"{markdown}\n\n{caption}\n\nAlso in {folder}: table.md, table.tex, table.csv.")
