"""Speed of training: each norm against torch's own layer, our loop against a usual one; on a GPU against the memory's floor."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS, NormLayer, ResNet
from training.config import RECIPES, Recipe
from training.data.dataset import made_up_data
from training.engine.augment import Augmentation, epoch_order
from training.engine.speed import choose_precision
from training.engine.step import TrainStep, missing_for_compile, wait
from training.provenance import device_name, provenance

RECIPE = RECIPES["paper"]
LOOP_RECIPE = RECIPE.changed(crop_padding=4, horizontal_flip=True)
NUM_CLASSES = 25
WARM_UP = 3
#: Times that a well fused step reads or writes every activation, forward and backward: the floor counts these bytes alone.
PASSES = 15


class OfficialBatchInstanceNorm(nn.BatchNorm2d):
    """Batch-instance normalization as its authors wrote it (two calls of F.batch_norm): what ours is measured against."""

    def __init__(self, num_channels: int) -> None:
        super().__init__(num_channels)
        self.gate = nn.Parameter(torch.ones(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        momentum = self.momentum or 0.0
        out_b = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight * self.gate, self.bias, self.training, momentum, self.eps
        )
        weight = (self.weight * (1 - self.gate)).repeat(n)
        out_i = F.batch_norm(x.reshape(1, n * c, h, w), None, None, weight, None, True, momentum, self.eps)
        return out_b + out_i.view(n, c, h, w)


def reference_layer(norm: str) -> NormLayer | None:
    """Return what a norm of the zoo is measured against: torch's layer, or the authors' formulation; None where there is
    neither.
    """
    return OfficialBatchInstanceNorm if norm == "bin" else TORCH_NORM_LAYERS.get(f"torch-{norm}")


def bench(steps: int = 60, say: Callable[[str], None] = print) -> None:
    """Print all figures; takes some minutes. Nothing else should run meanwhile."""
    torch.set_num_threads(1)
    reason = missing_for_compile()
    say(f"{device_name()}, 1 thread, torch {torch.__version__}, batch {RECIPE.batch_size}, float32, medians of {steps} steps")
    say("Whole training step, ours against torch's own layer (bin: its authors' formulation); above 1 ours is faster.")
    say(f"{'norm':5s} {'mode':9s} {'ours ms':>8s} {'theirs ms':>9s} {'ratio':>6s}")
    for norm in NORM_LAYERS:
        reference = reference_layer(norm)
        if reference is None:
            continue
        for mode in ("eager", "compiled") if reason is None else ("eager",):
            ours, theirs = compare_steps(NORM_LAYERS[norm], reference, mode == "compiled", steps)
            say(f"{norm:5s} {mode:9s} {ours:8.1f} {theirs:9.1f} {theirs / ours:6.2f}")
    if reason:
        say(f"Nothing compiled: {reason}.")
    usual = images_per_second(usual_loop(*pictures(steps), LOOP_RECIPE))
    say(f"Training loop, bn, crop and flip: a plain DataLoader loop (float32, eager) {usual:.0f} images/s")
    chosen = choose_precision("auto", LOOP_RECIPE, torch.device("cpu"), say)
    for precision in ("fp32", "bf16") if torch.cpu.get_capabilities().get("avx512_bf16") else ("fp32",):
        ours = images_per_second(_our_loop(*pictures(steps), LOOP_RECIPE, precision))
        default = ", the default here" if precision == chosen else ""
        say(f"  ours, {precision}{default}: {ours:.0f} images/s, ratio {ours / usual:.2f}")


def compare_steps(ours: NormLayer, theirs: NormLayer, compiled: bool, steps: int) -> tuple[float, float]:
    """Median milliseconds of a step with either layer, taken in turns so that both see the same machine."""
    sides = [_stepper(layer, compiled) for layer in (ours, theirs)]
    times: tuple[list[float], list[float]] = ([], [])
    for step in sides:
        for _ in range(WARM_UP):
            step()
    for _ in range(steps):
        for step, taken in zip(sides, times, strict=True):
            start = time.perf_counter()
            step()
            taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[0]), statistics.median(times[1])


def _stepper(layer: NormLayer, compiled: bool) -> Callable[[], Any]:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (RECIPE.batch_size, RECIPE.image_size, RECIPE.image_size, 3), dtype=torch.uint8)
    labels = torch.randint(0, NUM_CLASSES, (RECIPE.batch_size,))
    model = ResNet(norm=layer, num_classes=NUM_CLASSES).train()
    step = TrainStep(
        model, RECIPE, torch.full((3,), 0.5), torch.full((3,), 0.25), "fp32", RECIPE.batch_size if compiled else None
    )
    return lambda: step(pixels, labels, RECIPE.lr)


def pictures(steps: int) -> tuple[Tensor, Tensor]:
    """Pixels and labels for a few warm-up steps and those that are timed."""
    generator = torch.Generator().manual_seed(0)
    count, size = LOOP_RECIPE.batch_size * (WARM_UP + steps), LOOP_RECIPE.image_size
    pixels = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(0, NUM_CLASSES, (count,), generator=generator)


def images_per_second(loop: Iterator[None]) -> float:
    """From the median time between two steps."""
    for _ in range(WARM_UP):
        next(loop)
    times = []
    start = time.perf_counter()
    for _ in loop:
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return LOOP_RECIPE.batch_size / statistics.median(times)


def _our_loop(pixels: Tensor, labels: Tensor, recipe: Recipe, precision: str) -> Iterator[None]:
    compiled = None if missing_for_compile() else recipe.batch_size
    model = ResNet(norm="bn", num_classes=NUM_CLASSES).train()
    step = TrainStep(model, recipe, torch.full((3,), 0.5), torch.full((3,), 0.25), precision, compiled)
    augment = Augmentation(recipe, len(labels), 0, 1)
    for positions in epoch_order(len(labels), 0, 1).split(recipe.batch_size):
        step(augment(pixels[positions], positions), labels[positions], recipe.lr)
        yield


class _PictureDataset(Dataset[tuple[Tensor, int]]):
    def __init__(self, pixels: Tensor, labels: Tensor, padding: int) -> None:
        self.pixels, self.labels = pixels.numpy(), labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(pixels.shape[1], padding=padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[i])), self.labels[i]


def usual_loop(pixels: Tensor, labels: Tensor, recipe: Recipe, device: str = "cpu") -> Iterator[None]:
    """The loop of a tutorial: same network with torch's own batch norm, eager, Adam, loss and accuracy read at each step."""
    model = ResNet(norm="torch-bn", num_classes=NUM_CLASSES).train().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr)
    total_loss, correct = 0.0, 0
    for batch in DataLoader(_PictureDataset(pixels, labels, recipe.crop_padding), recipe.batch_size, shuffle=True):
        images, targets = (each.to(device) for each in batch)
        optimizer.zero_grad()
        logits = model(images)
        loss = F.cross_entropy(logits, targets)
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(targets)
        correct += (logits.argmax(1) == targets).sum().item()
        yield


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
        **provenance("python -m training bench"),
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
