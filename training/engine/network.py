"""The network of a run, as it trains."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from normzoo.nn.resnet import ResNet
from training.config import Run


def make_network(run: Run, num_classes: int) -> ResNet:
    """The network of a run, with new weights; its norms may see a part of each batch at a time (`statistics_batch`)."""
    recipe = run.recipe
    network = ResNet(recipe.depth, run.norm, num_classes, recipe.last_norm or None)
    if recipe.statistics_batch:
        for block in network.modules():
            for name, module in block.named_children():
                if name.startswith("norm"):
                    see_parts(module, recipe.statistics_batch)
    return network


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
