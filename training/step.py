"""One training step: forward, loss, backward, update; compiled where the machine can."""

import math
import os
import shutil
import sysconfig
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.images import to_input
from normzoo.norms import gates
from training.recipes import Recipe

PRECISIONS = ("fp32", "bf16")


def choose_precision(choice: str) -> str:
    """fp32 or bf16 (convolutions only; statistics, losses and weights stay float32); auto: what this CPU does fastest."""
    if choice == "auto":
        return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"
    if choice not in PRECISIONS:
        raise ConfigError(f"amp must be one of auto, {', '.join(PRECISIONS)}, got {choice!r}.")
    return choice


def missing_for_compile() -> str | None:
    """Why torch.compile cannot work here, or None."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which(compiler) is None:
        return "no C++ compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "no Python.h"
    return None


def learning_rates(recipe: Recipe, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step of a run."""
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "cosine":
        return [recipe.lr * _cosine(step // steps_per_epoch / recipe.epochs) for step in range(total)]
    if recipe.schedule == "step":
        return [recipe.lr * recipe.step_factor ** (step // steps_per_epoch // recipe.step_epochs) for step in range(total)]
    climb = max(1, round(recipe.warmup * total))
    return [
        recipe.lr * ((step + 1) / climb if step < climb else _cosine((step - climb) / max(1, total - climb)))
        for step in range(total)
    ]


def _cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; gates, if there are any, in a second group without weight decay."""
    gated = gates(model)
    others = [p for p in model.parameters() if not any(p is gate for gate in gated)]
    groups = [{"params": others, "weight_decay": recipe.weight_decay, "lr_factor": 1.0}]
    if gated:
        groups.append({"params": gated, "weight_decay": 0.0, "lr_factor": recipe.gate_lr_factor})
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)


class TrainStep:
    """Trains `model` on one batch at a call.

    Args:
        mean, std: of the training images per colour, (3,).
        compiled_batch: batches of this size run compiled, others (the last one of an epoch) eagerly; None: all eagerly.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        mean: Tensor,
        std: Tensor,
        precision: str = "fp32",
        compiled_batch: int | None = None,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.mean = mean
        self.std = std
        self.precision = precision
        self.compiled_batch = compiled_batch
        self.optimizer = make_optimizer(model, recipe)
        self.gates = gates(model)
        self.parameters = list(model.parameters())
        self._compiled_loss = torch.compile(self._loss, dynamic=False)

    def __call__(self, pixels: Tensor, labels: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """Update the weights once.

        Args:
            pixels: (B, H, W, 3), 0…255.
            labels: (B,).

        Returns:
            the loss shown (mean cross entropy, nats, without label smoothing), and the predicted classes, (B,).
        """
        loss_fn = self._compiled_loss if len(labels) == self.compiled_batch else self._loss
        loss, logits = loss_fn(pixels, labels)
        self.optimizer.zero_grad()
        loss.backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        self.optimizer.step()
        with torch.no_grad():
            for gate in self.gates:
                gate.clamp_(0, 1)
            shown = F.cross_entropy(logits, labels) if self.recipe.label_smoothing else loss.detach()
            return shown, logits.argmax(1)

    def _loss(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        images = to_input(pixels, self.mean, self.std)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.model(images)
        logits = logits.float()
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing), logits
