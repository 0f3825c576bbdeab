"""Running statistics or those of the batch at test time (prediction-time batch normalization), or a blend of both."""

import copy
import warnings
from typing import Any, Literal

from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.nn.base import moments, pool_batch

#: "running": the running averages, as in evaluation. "batch": those of the images that go through together, as in
#: training. A number N: a blend, in which the running ones weigh as much as N images.
Statistics = Literal["running", "batch"] | float
#: The weight that Schneider et al. found to serve well, in images.
PRIOR_IMAGES = 16.0


def check_statistics(statistics: object) -> Statistics:
    """Return which statistics to take, as it may come from anyone; "remembered", the name of before, warns."""
    if statistics == "remembered":
        warnings.warn('statistics="remembered" is now called "running".', DeprecationWarning, stacklevel=3)
        return "running"
    if statistics == "running" or statistics == "batch":
        return statistics
    if isinstance(statistics, bool) or not isinstance(statistics, int | float) or not 0 <= statistics < float("inf"):
        raise ConfigError(f'statistics must be "running", "batch" or a number of images from 0, got {statistics!r:.40}.')
    return float(statistics)


def has_running_statistics(network: nn.Module) -> bool:
    """Return whether an answer of this network depends on the other images, once they go through as a batch."""
    return any(_keeps_running(module) for module in network.modules())


def with_statistics(network: nn.Module, statistics: Statistics) -> nn.Module:
    """Return the network in evaluation mode, with these statistics in the place of the running ones.

    The network given stays as it is: what is returned shares its weights, and nothing that changes. So any number of threads
    may ask for it at once.

    In a blend, mean and variance are N/(N+n) of the running and n/(N+n) of the batch's, n images; "batch" is N = 0, and gives
    what the network computes in training mode. The batch's variance is the biased one, as in training.

    Args:
        network: with any norms; those without running statistics are left alone.
        statistics: as `Statistics` says.

    Reference:
        Schneider, Rusak, Eck, Bringmann, Brendel, Bethge. Improving robustness against common corruptions by covariate shift
            adaptation. NeurIPS 2020. arXiv:2006.16971
    """
    statistics = check_statistics(statistics)
    if statistics == "running" or not has_running_statistics(network):
        return network
    prior = 0.0 if statistics == "batch" else statistics
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)  # what is in the memo is not copied
    for module in twin.modules():
        if _keeps_running(module):
            module.register_forward_pre_hook(_Blend(module, prior))
    return twin


class _Blend:
    """Puts blended statistics into a norm before it sees its input."""

    def __init__(self, norm: Any, prior: float) -> None:
        self._prior = prior
        self._mean, self._var = norm.running_mean, norm.running_var

    def __call__(self, norm: Any, inputs: tuple[Tensor]) -> None:
        x = inputs[0].to(self._mean.dtype)  # wide enough, also where activations are narrow
        n, _, height, width = x.shape
        if n * height * width < 2:
            raise ConfigError(
                "Batch statistics need more than one value per channel, and this single image has only one pixel there. "
                "Use more images."
            )
        _, mean, var = moments(x, pool_batch)
        share = self._prior / (self._prior + n)
        norm.running_mean = mean.flatten().lerp(self._mean, share)
        norm.running_var = var.flatten().lerp(self._var, share)


def _keeps_running(module: nn.Module) -> bool:
    """By what it has, not by its class: torch's own layers and other people's count as well."""
    buffers = dict(module.named_buffers(recurse=False))
    return "running_mean" in buffers and "running_var" in buffers
