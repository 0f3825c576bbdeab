"""Speed of training on a GPU: steps a second in every way to do a step, against the floor that memory sets."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normzoo.nn.norms import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS, ResNet
from training.benchmarks.cpu import LOOP_RECIPE, images_per_second, pictures, usual_loop
from training.data.synthetic import made_up_data
from training.engine.budget import Budget
from training.engine.replay import make_replay
from training.engine.static_step import ResidentData, StaticStep
from training.engine.step import missing_for_compile
from training.engine.together import KEEP_COMPILED
from training.engine.verify import mode_name
from training.experiment.provenance import provenance
from training.experiment.recipes import RECIPES, Recipe

RECIPE = RECIPES["paper"]
STEPS_PER_PIECE = 25
#: Times that a well fused step reads or writes every activation, forward and backward: the floor counts these bytes alone.
PASSES = 15


def gpu_bench(
    device: torch.device,
    out: Path,
    *,
    norms: list[str] | None = None,
    batch_sizes: tuple[int, ...] = (32, 128),
    streams: tuple[int, ...] = (2, 4, 8),
    steps: int = 100,
    compiled: bool = True,
    budget: Budget | None = None,
    recipe: Recipe = RECIPE,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure, print, and after every row write what there is; ends where the budget does.

    Args:
        out: a JSON file.
        streams: how many networks at once, at the smallest batch size.
        steps: timed at once, per network.
        compiled: measure compiled steps too; each takes half a minute to compile, so they come last.
    """
    budget = budget or Budget()
    bandwidth = copy_bandwidth(device)
    activations = count_activations(recipe.image_size)
    floor = bandwidth / (PASSES * activations * torch.float32.itemsize)
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        **provenance(),
        "copy_bytes_per_second": bandwidth,
        "activations_per_image": activations,
        "floor_images_per_second": floor,
        "rows": rows,
    }
    say(f"{result['device']}, torch {torch.__version__}: copies {bandwidth / 1e12:.2f} TB/s, floor {floor:.0f} images/s")
    usual = images_per_second(usual_loop(*pictures(steps), LOOP_RECIPE, str(device)))
    result["usual_loop_images_per_second"] = usual
    say(f"A plain DataLoader loop with crop and flip, torch's batch norm, batch {LOOP_RECIPE.batch_size}: {usual:.0f} images/s")
    say(f"{'norm':9s} {'batch':>5s} {'mode':15s} {'streams':>7s} {'steps/s':>8s} {'images/s':>9s} {'of floor':>8s}")
    reason = missing_for_compile() if compiled else "it was not asked for"
    for norm, size, graph, with_compile, count in _plan(norms, batch_sizes, streams, reason is None):
        if not budget.allows_epoch():
            say("The time is used up: the rest is not measured.")
            break
        rate = steps_per_second(device, norm, recipe.changed(batch_size=size), graph, with_compile, count, steps)
        row = {"norm": norm, "batch_size": size, "mode": mode_name(graph, with_compile), "streams": count}
        row |= {"steps_per_second": rate, "images_per_second": rate * size, "share_of_floor": rate * size / floor}
        rows.append(row)
        say(f"{norm:9s} {size:5d} {row['mode']:15s} {count:7d} {rate:8.0f} {rate * size:9.0f} {rate * size / floor:8.1%}")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1))
    if reason:
        say(f"Nothing compiled: {reason}.")
    return result


def _plan(
    norms: list[str] | None, batch_sizes: tuple[int, ...], streams: tuple[int, ...], compiled: bool
) -> list[tuple[str, int, bool, bool, int]]:
    """(norm, batch size, graph, compiled, streams), what is measured fast first."""
    ours, all_norms = norms or list(NORM_LAYERS), norms or [*NORM_LAYERS, *TORCH_NORM_LAYERS]
    plan = []
    for with_compile in (False, True) if compiled else (False,):
        plan += [(n, size, graph, with_compile, 1) for size in batch_sizes for n in all_norms for graph in (True, False)]
        plan += [(n, min(batch_sizes), True, with_compile, count) for n in ours for count in streams]
    return plan


def steps_per_second(
    device: torch.device, norm: str, recipe: Recipe, graph: bool, compiled: bool, streams: int, steps: int, repeats: int = 5
) -> float:
    """All networks' steps together, the median of some repeats."""
    data = ResidentData(made_up_data(recipe.batch_size * steps, recipe.image_size), device)
    if compiled:
        torch._dynamo.config.recompile_limit = KEEP_COMPILED
    networks = [StaticStep(norm, recipe, data, make_replay(device, graph), compiled=compiled) for _ in range(streams)]
    rates = []
    for _ in range(repeats + 1):
        for network in networks:
            network.begin_epoch(0, 1)
        _wait(device)
        start = time.perf_counter()
        for first in range(0, steps, STEPS_PER_PIECE):
            for network in networks:
                network.train(first, min(first + STEPS_PER_PIECE, steps))
        _wait(device)
        rates.append(streams * steps / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a large copy within the device's memory."""
    size = 2**31 if device.type == "cuda" else 2**22
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(8):
        _wait(device)
        start = time.perf_counter()
        target.copy_(source)
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size / statistics.median(seconds[3:])


def count_activations(image_size: int) -> int:
    """Outputs of all convolutions for one image."""
    counts = []
    network = ResNet(RECIPE.depth, "nn")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: counts.append(output.numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 3, image_size, image_size))
    return sum(counts)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
