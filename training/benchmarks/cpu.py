"""Speed of training: each norm against torch's own layer, our loop against a usual one, medians of one process."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS, NormLayer, ResNet
from training.engine.augment import Augmentation, epoch_order
from training.engine.step import TrainStep, choose_precision, missing_for_compile
from training.experiment.provenance import device_name
from training.experiment.recipes import RECIPES, Recipe

RECIPE = RECIPES["paper"]
LOOP_RECIPE = RECIPE.changed(crop_padding=4, horizontal_flip=True)
NUM_CLASSES = 25
WARM_UP = 3


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
    for precision in dict.fromkeys(("fp32", choose_precision("auto"))):
        ours = images_per_second(_our_loop(*pictures(steps), LOOP_RECIPE, precision))
        default = ", the default here" if precision == choose_precision("auto") else ""
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
