"""Mistakes in the mean, the variance, ε, and the gradient through them."""

from itertools import combinations
from typing import Any

from normzoo.checking.mistakes.mistake import BATCH, Mistake


def _all_axes() -> tuple[dict[str, Any], ...]:
    letters = "NGKHW"
    return tuple({"axes": "".join(some)} for size in range(1, 6) for some in combinations(letters, size))


STATISTICS: tuple[Mistake, ...] = (
    Mistake(
        "interleaved-groups",
        "output",
        "channel c goes into group c mod G (a reshape to (N, C/G, G, H, W)): the groups are interleaved",
        "neighbouring channels make a group: reshape to (N, G, C/G, H, W)",
        ({"grouping": "interleaved"},),
        ("gn",),
    ),
    Mistake(
        "groups-swapped",
        "output",
        "there are C/G groups of G channels: number and size of the groups are mixed up",
        "G groups of C/G channels: reshape to (N, G, C/G, H, W)",
        ({"groups": -1},),
        ("gn",),
    ),
    Mistake(
        "scrambled-reshape",
        "output",
        "x.reshape(C, −1) cuts rows that mix channels and images",
        "x.transpose(0, 1).reshape(C, −1), or a mean over the dimensions 0, 2, 3",
        ({"grouping": "scrambled", "axes": "W", "groups": 1},),
        BATCH,
    ),
    Mistake(
        "wrong-axes",
        "output",
        "the mean and variance are taken over {axes}",
        "over {right}",
        _all_axes(),
    ),
    Mistake(
        "unbiased-normalization",
        "output",
        "the variance that normalizes is unbiased, Σ(x − μ)² / (n − 1), as x.var() gives it",
        "Σ(x − μ)² / n, x.var(correction=0)",
        ({"variance": "unbiased"},),
    ),
    Mistake(
        "mean-of-variances",
        "output",
        "σ² = the mean of each map's own variance",
        "the total variance: add the variance of the maps' means (law of total variance)",
        ({"variance": "of_parts"},),
        ("bn", "bin", "gn", "ln"),
    ),
    Mistake(
        "eps-on-deviation",
        "output",
        "x̂ = (x − μ) / (√σ² + ε): ε is added to the deviation",
        "(x − μ) / √(σ² + ε)",
        ({"epsilon": "deviation"},),
    ),
    Mistake(
        "eps-outside",
        "output",
        "x̂ = (x − μ) / √σ² + ε: ε stands outside the root",
        "(x − μ) / √(σ² + ε)",
        ({"epsilon": "result"},),
    ),
    Mistake(
        "eps-missing",
        "output",
        "x̂ = (x − μ) / √σ²: there is no ε that counts",
        "(x − μ) / √(σ² + ε)",
        ({"epsilon": "none"}, {"epsilon": "larger"}),
    ),
    Mistake(
        "eps-squared",
        "output",
        "x̂ = (x − μ) / √(σ² + ε²)",
        "(x − μ) / √(σ² + ε)",
        ({"epsilon": "squared"},),
    ),
    Mistake(
        "variance-for-deviation",
        "output",
        "x̂ = (x − μ) / (σ² + ε): divided by the variance",
        "divided by its root, √(σ² + ε)",
        ({"epsilon": "variance"},),
    ),
    Mistake(
        "detached-mean",
        "gradients",
        "no gradient flows through the mean",
        "compute μ from x without .detach(), .data, .item() or no_grad",
        ({"detached": "mean"},),
    ),
    Mistake(
        "detached-variance",
        "gradients",
        "no gradient flows through the variance",
        "compute σ² from x without .detach(), .data, .item() or no_grad",
        ({"detached": "variance"},),
    ),
    Mistake(
        "detached-statistics",
        "gradients",
        "no gradient flows through mean and variance",
        "compute both from x without .detach(), .data, .item() or no_grad",
        ({"detached": "both"},),
    ),
    Mistake(
        "first-image-only",
        "output",
        "the statistics are those of the first image of the batch",
        "of all images: over {right}",
        ({"taken_from": "first"},),
    ),
    Mistake(
        "mean-not-subtracted",
        "output",
        "the mean is not subtracted",
        "x̂ = (x − μ) / √(σ² + ε)",
        ({"center": False},),
    ),
    Mistake(
        "fixed-groups",
        "output",
        "the groups are {groups}, whatever the constructor is given",
        "self.num_groups groups of neighbouring channels",
        tuple({"groups": count} for count in (1, 2, 4, 8, 16)),
        ("gn",),
    ),
)
