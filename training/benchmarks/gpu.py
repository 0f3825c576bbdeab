"""Speed of training on a GPU: steps a second, eager and compiled, against the floor that memory sets."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS, ResNet
from training.benchmarks.cpu import LOOP_RECIPE, images_per_second, pictures, usual_loop
from training.data.synthetic import made_up_data
from training.engine.step import TrainStep, missing_for_compile, wait
from training.experiment.provenance import provenance
from training.experiment.recipes import RECIPES, Recipe

RECIPE = RECIPES["paper"]
#: Times that a well fused step reads or writes every activation, forward and backward: the floor counts these bytes alone.
PASSES = 15


def bench_gpu(
    device: torch.device,
    out: Path,
    norms: list[str] | None = None,
    compiled: bool = True,
    steps: int = 100,
    batch_sizes: tuple[int, ...] = (32, 128),
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure, print, and after every row write what there is.

    Args:
        out: a JSON file.
        compiled: measure compiled steps too; each takes half a minute to compile, so they come last.
        steps: timed at once.
    """
    bandwidth, activations = copy_bandwidth(device), count_activations(RECIPE.image_size)
    floor = bandwidth / (PASSES * activations * torch.float32.itemsize)
    usual = images_per_second(usual_loop(*pictures(steps), LOOP_RECIPE, str(device)))
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        **provenance(),
        "copy_bytes_per_second": bandwidth,
        "activations_per_image": activations,
        "floor_images_per_second": floor,
        "usual_loop_images_per_second": usual,
        "rows": rows,
    }
    say(f"{result['device']}, torch {torch.__version__}: copies {bandwidth / 1e12:.2f} TB/s, floor {floor:.0f} images/s")
    say(f"A plain DataLoader loop with crop and flip, torch's batch norm, batch {LOOP_RECIPE.batch_size}: {usual:.0f} images/s")
    say(f"{'norm':9s} {'batch':>5s} {'mode':9s} {'steps/s':>8s} {'images/s':>9s} {'of floor':>8s}")
    reason = missing_for_compile(device.type) if compiled else "it was not asked for"
    for mode in ("eager", "compiled") if reason is None else ("eager",):
        for size in batch_sizes:
            for norm in norms or [*NORM_LAYERS, *TORCH_NORM_LAYERS]:
                rate = steps_per_second(device, norm, RECIPE.changed(batch_size=size), mode == "compiled", steps)
                row = {"norm": norm, "batch_size": size, "mode": mode, "steps_per_second": rate}
                rows.append({**row, "images_per_second": rate * size, "share_of_floor": rate * size / floor})
                say(f"{norm:9s} {size:5d} {mode:9s} {rate:8.0f} {rate * size:9.0f} {rate * size / floor:8.1%}")
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(result, indent=1))
    if reason:
        say(f"Nothing compiled: {reason}.")
    return result


def steps_per_second(device: torch.device, norm: str, recipe: Recipe, compiled: bool, steps: int) -> float:
    """Return the median of five repeats, after one that is not counted."""
    data = made_up_data(recipe.batch_size, recipe.image_size)
    mean, std = torch.tensor(data.mean, device=device), torch.tensor(data.std, device=device)
    model = ResNet(recipe.depth, norm, len(data.classes)).to(device).train()
    step = TrainStep(model, recipe, mean, std, compiled_batch=recipe.batch_size if compiled else None)
    pixels, labels = data.pixels["train"].to(device), data.labels["train"].to(device)
    rates = []
    for _ in range(6):
        wait(device)
        start = time.perf_counter()
        for _ in range(steps):
            step(pixels, labels, recipe.lr)
        wait(device)
        rates.append(steps / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes a second, read and written, of a large copy within the device's memory."""
    size = 2**31 if device.type == "cuda" else 2**22
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(8):
        wait(device)
        start = time.perf_counter()
        target.copy_(source)
        wait(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size / statistics.median(seconds[3:])


def count_activations(image_size: int) -> int:
    """Return how many outputs all convolutions have for one image."""
    counts = []
    network = ResNet(RECIPE.depth, "nn")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: counts.append(output.numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 3, image_size, image_size))
    return sum(counts)
