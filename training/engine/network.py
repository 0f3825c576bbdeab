"""The network of a run, as it trains."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import get_model_set
from training.config import Run


def make_network(run: Run, num_classes: int) -> ResNet:
    """The network of a run before its first step: with new weights, or those of `start_from` and a new last layer.

    Its norms may see a part of each batch at a time (`statistics_batch`).
    """
    recipe = run.recipe
    network = ResNet(recipe.depth, run.norm, num_classes, recipe.last_norm or None)
    if start := start_of(run):
        weights = {key: value for key, value in start.load_model().state_dict().items() if not key.startswith("fc.")}
        missing, others = network.load_state_dict(weights, strict=False)
        if others or any(not key.startswith("fc.") for key in missing):
            raise ConfigError(f"{recipe.start_from} has other layers than this recipe: a depth of {start.config.depth}.")
    if recipe.statistics_batch:
        for block in network.modules():
            for name, module in block.named_children():
                if name.startswith("norm"):
                    see_parts(module, recipe.statistics_batch)
    return network


def start_of(run: Run) -> Checkpoint | None:
    """The packaged network of the same norm that a run starts from, if it does."""
    if not run.recipe.start_from:
        return None
    found = get_model_set(run.recipe.start_from).checkpoints
    if run.norm not in found:
        raise ConfigError(f"{run.recipe.start_from} has no {run.norm} to start from. It has: {', '.join(found)}.")
    return found[run.norm]


def see_parts(norm: nn.Module, size: int) -> None:
    """In training, let a norm see about `size` images of a batch at a time, in equal parts ("ghost batches").

    Its running statistics move once for each part.

    Reference:
        Hoffer, Hubara, Soudry. Train longer, generalize better. NeurIPS 2017. arXiv:1705.08741
    """
    norm.forward = functools.partial(_in_parts, norm, norm.forward, size)


def _in_parts(norm: nn.Module, forward: Callable[[Tensor], Tensor], size: int, x: Tensor) -> Tensor:
    if not norm.training or len(x) <= size:
        return forward(x)
    parts = max(1, round(len(x) / size))
    return torch.cat([forward(part) for part in x.tensor_split(parts)])
