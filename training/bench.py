"""Speed of training: each norm against torch's layer, our loop against a plain one."""

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS, NormLayer, ResNet
from training.config import RECIPES, Recipe
from training.data.dataset import made_up_data
from training.engine.augment import Augmentation, epoch_order
from training.engine.speed import choose_precision, has_bf16
from training.engine.step import TrainStep, missing_for_compile, wait
from training.runs import provenance

RECIPE = RECIPES["paper"]
LOOP_RECIPE = RECIPE.changed(crop_padding=4, horizontal_flip=True)
NUM_CLASSES = 25
WARM_UP = 3


class OfficialBatchInstanceNorm(nn.BatchNorm2d):
    """Batch-instance normalization in its authors' formulation (two calls of F.batch_norm), as the reference."""

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


#: Norm -> torch's layer, or its authors' formulation.
REFERENCES: dict[str, NormLayer] = {key.removeprefix("torch-"): layer for key, layer in TORCH_NORM_LAYERS.items()}
REFERENCES["bin"] = OfficialBatchInstanceNorm


def bench(
    device: torch.device,
    steps: int = 60,
    norms: list[str] | None = None,
    compiled: bool = True,
    out: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Print all figures; takes some minutes on an idle machine.

    Args:
        steps: timed steps per measurement.
        norms: keys; None: all built-in norms.
        compiled: also measure compiled steps, if possible.
        out: a JSON file, written after every row.
    """
    torch.set_num_threads(1)
    about = provenance("python -m training bench")
    reason = missing_for_compile(device.type) if compiled else "it was not asked for"
    say(f"{about['device']}, 1 thread, torch {torch.__version__}, batch {RECIPE.batch_size}, float32, medians of {steps} steps")
    say("Whole training step, ours against torch's own layer (bin: its authors' formulation); above 1 ours is faster.")
    say(f"{'norm':5s} {'mode':9s} {'ours ms':>8s} {'theirs ms':>9s} {'ratio':>6s} {'images/s':>9s}")
    rows: list[dict[str, Any]] = []
    for mode in ("eager", "compiled") if reason is None else ("eager",):
        for norm in norms or NORM_LAYERS:
            layers = [layer for layer in (NORM_LAYERS[norm], REFERENCES.get(norm)) if layer]
            ours, theirs, *_ = [*compare_steps(layers, device, mode == "compiled", steps), math.nan]
            rows.append({"norm": norm, "mode": mode, "ours_ms": ours, "theirs_ms": None if math.isnan(theirs) else theirs})
            rate = 1000 * RECIPE.batch_size / ours
            say(f"{norm:5s} {mode:9s} {ours:8.1f} {theirs:9.1f} {theirs / ours:6.2f} {rate:9.0f}")
            if out:
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps({**about, "batch_size": RECIPE.batch_size, "rows": rows}, indent=1))
    if reason:
        say(f"Nothing compiled: {reason}.")
    usual = images_per_second(usual_loop(*pictures(steps), LOOP_RECIPE, device))
    say(f"Training loop, bn, crop and flip: a plain DataLoader loop (float32, eager) {usual:.0f} images/s")
    chosen = choose_precision("auto", LOOP_RECIPE, device, say)
    for precision in dict.fromkeys(("fp32", chosen, *(("bf16",) if has_bf16(device) else ()))):
        ours = images_per_second(_our_loop(*pictures(steps), LOOP_RECIPE, device, precision, reason is None))
        default = ", the default here" if precision == chosen else ""
        say(f"  ours, {precision}{default}: {ours:.0f} images/s, ratio {ours / usual:.2f}")
    return rows


def compare_steps(layers: Sequence[NormLayer], device: torch.device, compiled: bool, steps: int) -> list[float]:
    """Median milliseconds of a step with each layer, measured alternately."""
    sides = [_stepper(layer, device, compiled) for layer in layers]
    times: list[list[float]] = [[] for _ in sides]
    for number in range(WARM_UP + steps):
        for step, taken in zip(sides, times, strict=True):
            wait(device)
            start = time.perf_counter()
            step()
            wait(device)
            if number >= WARM_UP:
                taken.append((time.perf_counter() - start) * 1000)
    return [statistics.median(taken) for taken in times]


def _stepper(layer: NormLayer, device: torch.device, compiled: bool) -> Callable[[], Any]:
    torch.manual_seed(0)
    data = made_up_data(RECIPE.batch_size, RECIPE.image_size)
    step = _train_step(layer, RECIPE, device, "fp32", compiled)
    pixels, labels = data.pixels["train"].to(device), data.labels["train"].to(device)
    return lambda: step(pixels, labels, RECIPE.lr)


def _train_step(norm: NormLayer | str, recipe: Recipe, device: torch.device, precision: str, compiled: bool) -> TrainStep:
    model = ResNet(norm=norm, num_classes=NUM_CLASSES).to(device).train()
    mean, std = torch.full((3,), 0.5, device=device), torch.full((3,), 0.25, device=device)
    return TrainStep(model, recipe, mean, std, precision, recipe.batch_size if compiled else None)


def pictures(steps: int) -> tuple[Tensor, Tensor]:
    data = made_up_data(LOOP_RECIPE.batch_size * (WARM_UP + steps), LOOP_RECIPE.image_size)
    return data.pixels["train"], data.labels["train"]


def images_per_second(loop: Iterator[None]) -> float:
    for _ in range(WARM_UP):
        next(loop)
    times = []
    start = time.perf_counter()
    for _ in loop:
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return LOOP_RECIPE.batch_size / statistics.median(times)


def _our_loop(
    pixels: Tensor, labels: Tensor, recipe: Recipe, device: torch.device, precision: str, compiled: bool
) -> Iterator[None]:
    step = _train_step("bn", recipe, device, precision, compiled)
    augment = Augmentation(recipe, len(labels), 0, 1)
    for positions in epoch_order(len(labels), 0, 1).split(recipe.batch_size):
        step(augment(pixels[positions], positions).to(device), labels[positions].to(device), recipe.lr)
        wait(device)
        yield


def usual_loop(pixels: Tensor, labels: Tensor, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """The loop of a tutorial: the same network with torch's batch norm, eager, Adam, loss and accuracy read at each step."""
    change = transforms.Compose(
        [
            transforms.RandomCrop(pixels.shape[1], padding=recipe.crop_padding),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )

    def collate(batch: list[tuple[Image.Image, int]]) -> tuple[Tensor, Tensor]:
        return torch.stack([change(picture) for picture, _ in batch]), torch.tensor([label for _, label in batch])

    pictures: Any = list(zip(map(Image.fromarray, pixels.numpy()), labels.tolist(), strict=True))
    model = ResNet(norm="torch-bn", num_classes=NUM_CLASSES).train().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr)
    total_loss, correct = 0.0, 0
    for batch in DataLoader(pictures, recipe.batch_size, shuffle=True, collate_fn=collate):
        images, targets = (each.to(device) for each in batch)
        optimizer.zero_grad()
        logits = model(images)
        loss = F.cross_entropy(logits, targets)
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(targets)
        correct += (logits.argmax(1) == targets).sum().item()
        yield
