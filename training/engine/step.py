"""A network in training: its initial weights, and one step with loss, gradients, learning rate and optimizer."""

import functools
import math
import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._triton import has_triton

from normzoo.errors import ConfigError
from normzoo.images.preprocess import to_input
from normzoo.nn.norms import gates
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import get_model_set
from training.config import Recipe, Run


def make_network(run: Run, num_classes: int) -> ResNet:
    """Return the network of a run before its first step: with new weights, or those of `start_from` and a new last layer.

    With `statistics_batch` its norms use ghost batches.
    """
    recipe = run.recipe
    network = ResNet(recipe.depth, run.norm, num_classes, recipe.last_norm or None)
    if start := start_of(run):
        weights = {key: value for key, value in start.load_model().state_dict().items() if not key.startswith("fc.")}
        missing, others = network.load_state_dict(weights, strict=False)
        if others or any(not key.startswith("fc.") for key in missing):
            raise ConfigError(f"--start-from needs depth {recipe.depth}, got {start.config.depth} ({recipe.start_from}).")
    if recipe.statistics_batch:
        for block in network.modules():
            for name, module in block.named_children():
                if name.startswith("norm"):
                    see_parts(module, recipe.statistics_batch)
    return network


def start_of(run: Run) -> Checkpoint | None:
    """Return the packaged network that a run starts from, if any."""
    if not run.recipe.start_from:
        return None
    found = get_model_set(run.recipe.start_from).checkpoints
    if run.norm not in found:
        raise ConfigError(f"{run.recipe.start_from} has no {run.norm} to start from. Choose one of: {', '.join(found)}.")
    return found[run.norm]


def see_parts(norm: nn.Module, size: int) -> None:
    """In training, let a norm process about `size` images at a time, in equal parts ("ghost batches").

    Its running statistics are updated once per part.

    Reference:
        Hoffer, Hubara, Soudry. Train longer, generalize better. NeurIPS 2017. arXiv:1705.08741
    """
    norm.forward = functools.partial(_in_parts, norm, norm.forward, size)


def _in_parts(norm: nn.Module, forward: Callable[[Tensor], Tensor], size: int, x: Tensor) -> Tensor:
    if not norm.training or len(x) <= size:
        return forward(x)
    parts = max(1, round(len(x) / size))
    return torch.cat([forward(part) for part in x.tensor_split(parts)])


DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(choice: str) -> torch.device:
    """Return the device to train on; auto: a CUDA GPU if there is one, with TF32."""
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda needs a CUDA GPU, and torch finds none. Use --device cpu.")
    if choice == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("--device mps needs an Apple GPU, and torch finds none. Use --device cpu.")
        return torch.device("mps")
    if choice == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = True  # a batch has the same shape at every step
    torch.set_float32_matmul_precision("high")  # TF32, as convolutions have by default
    return torch.device("cuda")


def missing_for_compile(device: str = "cpu") -> str | None:
    """Return why torch.compile cannot work here, or None."""
    if device == "mps":
        return "not on Apple GPUs"
    if device == "cuda" and not has_triton():
        return "no Triton for this GPU"
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which(compiler) is None:
        return "no C++ compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "no Python.h"
    return None


def wait(device: torch.device) -> None:
    """Wait until a GPU has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


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


def class_weights(recipe: Recipe, labels: Tensor, num_classes: int) -> Tensor | None:
    """Weight of each class, (classes,), 1 on average over the images; None: no weights."""
    if not recipe.class_weights:
        return None
    counts = labels.bincount(minlength=num_classes).clamp(min=1)
    return len(labels) / (num_classes * counts.float())


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; gates in a second group without weight decay."""
    gated = gates(model)
    others = [p for p in model.parameters() if not any(p is gate for gate in gated)]
    groups = [{"params": others, "weight_decay": recipe.weight_decay, "lr_factor": 1.0}]
    if gated:
        groups.append({"params": gated, "weight_decay": 0.0, "lr_factor": recipe.gate_lr_factor})
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)


class TrainStep:
    """Train `model` on one batch per call.

    Args:
        mean, std: of the training images per colour, (3,).
        weights: of each class in the loss, (classes,), 1 on average over the images; None: all 1.
        compiled_batch: batches of this size are compiled, others (the last of an epoch) run eagerly; None: all eagerly.

    All tensors are on the device of `mean`. On a GPU a compiled step replays CUDA graphs if torch can.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        mean: Tensor,
        std: Tensor,
        precision: str = "fp32",
        compiled_batch: int | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.model = model
        self.weights = weights
        #: The model, or its wrapper.
        self.network = model
        self.recipe = recipe
        self.mean = mean
        self.std = std
        self.precision = precision
        self.compiled_batch = compiled_batch
        self.optimizer = make_optimizer(model, recipe)
        self.gates = gates(model)
        self.parameters = list(model.parameters())
        self._compiled_loss = self._loss
        if compiled_batch:  # only then: the compiler takes a second to import
            # Of one function it compiles eight versions: the ninth network would run eagerly.
            torch.compiler.reset()
            mode = "reduce-overhead" if mean.is_cuda else None
            self._compiled_loss = torch.compile(self._loss, dynamic=False, mode=mode)

    def __call__(self, pixels: Tensor, labels: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """Update the weights once, without waiting for a GPU.

        Args:
            pixels: (B, H, W, 3), 0…255.
            labels: (B,).

        Returns:
            the reported loss (mean cross entropy, nats, without label smoothing or weights), and the predicted classes, (B,);
                read them before the next call, which may overwrite them on a GPU.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        self.optimizer.zero_grad()  # first: the gradients of a replayed graph lie where the next replay writes
        loss_fn = self._loss
        if len(labels) == self.compiled_batch:
            torch.compiler.cudagraph_mark_step_begin()
            loss_fn = self._compiled_loss
        loss, logits = loss_fn(pixels, labels)
        loss.backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        with torch.no_grad():
            for gate in self.gates:
                gate.clamp_(0, 1)
            return self._shown(loss, logits, labels), logits.argmax(1)

    def share(self, positions: Tensor) -> Tensor:
        """This process's share of a batch: everything, unless there are replicas."""
        return positions

    def combine(self, total_loss: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of losses and predictions of an epoch over all processes, each zero outside its share."""
        return total_loss, predicted

    def check_start(self, epoch: int) -> None:
        """Require that all processes resume from the same epoch."""

    def agree(self, asked: bool) -> bool:
        """Was any process asked to stop?"""
        return asked

    def _shown(self, loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        is_other = self.recipe.label_smoothing or self.weights is not None
        return F.cross_entropy(logits, labels) if is_other else loss.detach()

    def _loss(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._logits(pixels)
        if self.weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing), logits
        return self._total(logits, labels) / len(labels), logits

    def _total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss summed over images, weighted by class."""
        return F.cross_entropy(logits, labels, self.weights, label_smoothing=self.recipe.label_smoothing, reduction="sum")

    def _logits(self, pixels: Tensor) -> Tensor:
        images = to_input(pixels, self.mean, self.std).contiguous()
        # No cache of casts: a replayed graph would keep using the cast of an old weight.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False):
            logits: Tensor = self.network(images)
        return logits.float()
