"""Formulas: every known kind of norm, and every known mistake, as settings; in plain tensor operations."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normzoo.nn.registry import describe_norm

#: Letter -> the dimension of a map laid out as (N, G, C/G, H, W).
_DIMENSIONS = {letter: place for place, letter in enumerate("NGKHW")}
#: Name -> function that may follow a norm.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda y: y,
    "ReLU": F.relu,
    "leaky ReLU (0.01)": F.leaky_relu,
    "leaky ReLU (0.1)": lambda y: F.leaky_relu(y, 0.1),
    "leaky ReLU (0.2)": lambda y: F.leaky_relu(y, 0.2),
    "ELU": F.elu,
    "SiLU": F.silu,
    "GELU": F.gelu,
    "ReLU6": F.relu6,
    "Hardswish": F.hardswish,
    "Mish": F.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


#: Name -> what may be subtracted in place of the mean, over the last dimension.
LOCATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "median": lambda x: x.median(-1, keepdim=True).values,
    "median (between the middle two)": lambda x: x.quantile(0.5, -1, keepdim=True),
    "maximum": lambda x: x.amax(-1, keepdim=True),
    "minimum": lambda x: x.amin(-1, keepdim=True),
    "middle of minimum and maximum": lambda x: (x.amin(-1, keepdim=True) + x.amax(-1, keepdim=True)) / 2,
}
#: Part of (N, G, C/G, H, W) -> how it is cut out.
PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "the first image": lambda x: x[:1],
    "the first group": lambda x: x[:, :1],
    "the first half of the images": lambda x: x[: len(x) // 2],
    "the upper half of the rows": lambda x: x[..., : x.shape[3] // 2, :],
    "the lower half of the rows": lambda x: x[..., x.shape[3] // 2 :, :],
    "the left half of the columns": lambda x: x[..., : x.shape[4] // 2],
    "the right half of the columns": lambda x: x[..., x.shape[4] // 2 :],
    "every second pixel": lambda x: x[..., ::2, ::2],
    "all but the border": lambda x: x[..., 1:-1, 1:-1],
    "all but the last channel of each group": lambda x: x[:, :, : max(1, x.shape[2] - 1)],
    "all but the first channel of each group": lambda x: x[:, :, min(1, x.shape[2] - 1) :],
}


@dataclass(frozen=True)
class Formula:
    """One way to normalize; the defaults are correct batch normalization.

    Args:
        axes: letters of the dimensions that the statistics are taken over: N, G (groups), K (channels of a group), H, W.
        variance_axes: those of the variance, where they are others than the mean's.
        about: what such a variance is around: own (its own mean) or mean (the mean that is subtracted).
        location: what is subtracted, a key of `LOCATIONS`.
        grouping: how channels form groups: neighbouring, interleaved, scrambled (rows of a reshape to (C, N·H·W) that mixes
            images), columns (a reshape to (N, H, W, C) that mixes channels), or rows (to (G, −1), which mixes images).
        groups: how many.
        left_out: what is not normalized: nothing, or the last or first group's channels (last, first), or they are zero
            (last_zero), or the last image (image).
        variance: biased, unbiased, of_parts (the mean of each map's variance), of_means (the variance of their means), raw
            (E[x²]), absolute (E|x − μ|), mean_absolute (its square), range or largest (squares of max − min and max|x − μ|),
            at_least_one (the larger of 1 and it), or a sum that is not divided by the number of values: sum, by_images (divided
            by N), by_pixels (by H·W).
        swapped: whether mean and variance are taken for each other.
        epsilon: inside (√(var + ε)), deviation (√var + ε), result (added at the end), none, larger (the larger of √var and ε),
            squared (√(var + ε²)), at_least_one (√max(1, var + ε)), variance (divides by var + ε, without the root), root (by
            √(√var + ε)), times (multiplies by √(var + ε)), parentheses (x − μ / √(var + ε)) or added ((x + μ) / √(var + ε)).
        affine: right, plus_one (x̂ · (1 + weight) + bias), none, no_weight, no_bias, swapped, weight_as_bias (x̂ · weight +
            weight), bias_as_weight, weight_squared, bias_first ((x̂ + bias) · weight), twice, of_input (x · weight + bias),
            before (x · weight + bias is normalized), columns (one for each column of that grouping), batch (of the gate's batch
            part alone), or of_mean (for parentheses that are missing: x − μ / √(var + ε) · weight + bias).
        detached: what no gradient flows through: nothing, mean, variance or both.
        center: whether the mean is subtracted; without, the root mean square divides (RMS norm).
        parts: into how many the batch is cut, each with its own statistics in training (ghost batch norm).
        part_order: chunks (neighbouring images) or strided.
        taken_from: what the statistics are taken from: all, rows of a reshape to (C, N·H·W), or one of `PARTS`.
        activation: what follows the norm, a key of `ACTIVATIONS`.
        remembers: whether running statistics are kept.
        remembers_mean: whether each image's statistics are averaged over the batch before they are remembered.
        remembered: variance that is remembered: unbiased, biased, images (n/(n − 1) with the number of images), deviation,
            unbiased_deviation or deviation_with_eps (their roots), about_running (around the running mean), normalized (of the
            output), or everything (one mean and variance of all values).
        memory: average (a moving one), copy (of the first batch, then average), twice (updated twice a batch), cumulative,
            population (of all values so far), debiased (average without a start, as in Adam), mean or variance (only that one
            moves), exchanged (each in the other's place), sum (nothing is taken off), or never.
        start: running variance before the first batch.
        momentum: torch (the share of the new batch) or reversed (the share that is kept).
        training: statistics that normalize in training: batch, running_before or running_after its update, mean_before or
            mean_after (the running mean with the batch's variance), or frozen (the running ones, which never move).
        evaluation: statistics that normalize in evaluation: running, batch, batch_mean or batch_variance (the other one is
            running), or corrected (running, with the factor n/(n − 1) of the evaluation batch); or what is left out or other
            there: without_eps, without_affine, without_variance, without_mean, without_root, eps_beside.
        evaluation_updates: whether evaluation moves the running statistics too.
        gate: none, learned, reversed, both (of both parts), first or second (of that part alone, the other is whole), or a
            number for a gate that does not learn.
        gate_values: how the gate is used: raw, clamped, clamped_in_place, sigmoid or sigmoid_twice.
        blend: what the gate blends: outputs, statistics, chained (the instance part is taken from the batch part's output),
            chained_reversed (the batch part from the instance part's), or
            instance_deviation (the batch part is divided by the instance's deviation).
    """

    axes: str = "NHW"
    variance_axes: str = ""
    about: str = "own"
    location: str = "mean"
    grouping: str = "neighbouring"
    groups: int = 1
    left_out: str = "nothing"
    variance: str = "biased"
    swapped: bool = False
    epsilon: str = "inside"
    affine: str = "right"
    detached: str = "nothing"
    center: bool = True
    parts: int = 1
    part_order: str = "chunks"
    taken_from: str = "all"
    activation: str = "none"
    remembers: bool = False
    remembers_mean: bool = False
    remembered: str = "unbiased"
    memory: str = "average"
    start: float = 1.0
    momentum: str = "torch"
    training: str = "batch"
    evaluation: str = "running"
    evaluation_updates: bool = False
    gate: str | float = "none"
    gate_values: str = "raw"
    blend: str = "outputs"


class FormulaNorm(nn.Module):
    """Layer that computes a formula, in float64.

    Args:
        formula: which.
        num_channels: channels C of the input.
        eps: what is added to the variance.
        momentum: share of the new batch in the running statistics.

    Shape: (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, formula: Formula, num_channels: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.formula, self.num_channels, self.eps, self.momentum = formula, num_channels, eps, momentum
        for name in ("weight", "bias", "gate"):
            self.register_parameter(name, nn.Parameter(torch.ones(num_channels, dtype=torch.float64)))
        self.running_mean = torch.zeros((), dtype=torch.float64)
        self.running_var = torch.full((), formula.start, dtype=torch.float64)
        self.seen, self.all_seen = 0, torch.empty(num_channels, 0, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self.formula.activation]
        count = self.formula.parts if self.training else 1
        if count == 1:
            return activation(self._whole(x))
        if self.formula.part_order == "strided":
            y = torch.empty_like(x)
            for start in range(count):
                y[start::count] = self._whole(x[start::count])
            return activation(y)
        return activation(torch.cat([self._whole(part) for part in x.chunk(count)]))

    def _whole(self, x: Tensor) -> Tensor:
        formula = self.formula
        weight, bias = (getattr(self, name).view(1, -1, 1, 1) for name in ("weight", "bias"))
        laid_out = self._lay_out(x * weight + bias if formula.affine == "before" else x)
        dims = [_DIMENSIONS[letter] for letter in formula.axes]
        standardized = laid_out
        if formula.blend == "chained_reversed":
            laid_out = self._normalize(laid_out, *self._moments(laid_out, [3, 4]))
        if formula.blend not in ("statistics", "instance_deviation"):
            standardized = self._normalize(laid_out, *self._statistics(laid_out, dims))
        if formula.affine == "columns":
            standardized = standardized * weight.reshape(1, *laid_out.shape[1:3], 1, 1) + bias.reshape(
                1, *laid_out.shape[1:3], 1, 1
            )
        normalized = self._fold_back(standardized, x)
        if formula.gate != "none":
            gate, other = self._gates()
            if formula.blend == "statistics":
                parts = zip(self._statistics(laid_out, dims), self._moments(laid_out, [3, 4]), strict=True)
                mean, variance = (gate.unsqueeze(2) * first + other.unsqueeze(2) * second for first, second in parts)
                return self._fold_back(self._normalize(laid_out, mean, variance), x) * weight + bias
            if formula.blend == "instance_deviation":
                (mean, _), (_, deviation) = self._statistics(laid_out, dims), self._moments(laid_out, [3, 4])
                normalized = self._fold_back(self._normalize(laid_out, mean, deviation), x)
            source = standardized if formula.blend == "chained" else laid_out
            instance = self._normalize(source, *self._moments(source, [3, 4]))
            instance = laid_out if formula.blend == "chained_reversed" else instance
            if formula.affine == "batch":
                normalized = normalized * weight + bias
            normalized = gate * normalized + other * self._fold_back(instance, x)
        if formula.epsilon == "result":
            normalized = normalized + self.eps
        if formula.left_out != "nothing":
            normalized = self._leave_out(normalized, x)
        if formula.evaluation == "without_affine" and not self.training:
            return normalized
        made: Tensor = {
            "right": lambda: normalized * weight + bias,
            "plus_one": lambda: normalized * (1 + weight) + bias,
            "none": lambda: normalized,
            "before": lambda: normalized,
            "columns": lambda: normalized,
            "batch": lambda: normalized,
            "of_mean": lambda: x - (x - normalized) * weight + bias,
            "no_weight": lambda: normalized + bias,
            "no_bias": lambda: normalized * weight,
            "swapped": lambda: normalized * bias + weight,
            "bias_first": lambda: (normalized + bias) * weight,
            "twice": lambda: (normalized * weight + bias) * weight + bias,
            "weight_squared": lambda: normalized * weight * weight + bias,
            "of_input": lambda: x * weight + bias,
            "weight_as_bias": lambda: normalized * weight + weight,
            "bias_as_weight": lambda: normalized * bias + bias,
        }[formula.affine]()
        return made

    def _leave_out(self, normalized: Tensor, x: Tensor) -> Tensor:
        """Insert the input, or zeros, where a loop that ends too early leaves them."""
        if self.formula.left_out == "image":
            return torch.cat([normalized[:-1], x[-1:]])
        size = x.shape[1] // self.formula.groups
        if self.formula.left_out == "first":
            return torch.cat([x[:, :size], normalized[:, size:]], 1)
        rest = x[:, -size:]
        return torch.cat([normalized[:, :-size], rest if self.formula.left_out == "last" else torch.zeros_like(rest)], 1)

    def _lay_out(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, G, C/G, H, W)."""
        n, c, h, w = x.shape
        groups = self.formula.groups
        if self.formula.grouping == "columns":
            x = x.reshape(n, h, w, c).permute(0, 3, 1, 2)
        if self.formula.grouping == "channels_last_rows":
            return x.permute(0, 2, 3, 1).reshape(n, c, 1, h, w)
        if self.formula.grouping == "scrambled" and self.training:
            return x.reshape(1, 1, c, 1, n * h * w)
        if self.formula.grouping == "rows":
            return x.reshape(1, groups, 1, 1, n * c * h * w // groups)
        if self.formula.grouping == "interleaved":
            return x.reshape(n, c // groups, groups, h, w).transpose(1, 2)
        return x.reshape(n, groups, c // groups, h, w)

    def _fold_back(self, laid_out: Tensor, like: Tensor) -> Tensor:
        if self.formula.grouping == "interleaved":
            laid_out = laid_out.transpose(1, 2)
        if self.formula.grouping == "channels_last_rows":
            n, c, h, w = like.shape
            return laid_out.reshape(n, h, w, c).permute(0, 3, 1, 2)
        if self.formula.grouping == "columns":
            laid_out = laid_out.flatten(1, 2).permute(0, 2, 3, 1)
        return laid_out.reshape(like.shape)

    def _moments(self, x: Tensor, dims: list[int]) -> tuple[Tensor, Tensor]:
        if self.formula.taken_from == "rows":
            x, dims = x.reshape(1, x.shape[1] * x.shape[2], 1, 1, -1), [4]
        x = PARTS.get(self.formula.taken_from, lambda x: x)(x)
        mean = x.mean(dims, keepdim=True) if self.formula.center else torch.zeros_like(x.mean(dims, keepdim=True))
        centre = mean
        if self.formula.location != "mean":
            others = [dim for dim in range(x.dim()) if dim not in dims]
            flat = x.permute(*others, *dims).flatten(len(others))
            mean = LOCATIONS[self.formula.location](flat).reshape(mean.shape)
            centre = mean if self.formula.about == "mean" else centre
        if self.formula.variance_axes:
            dims = [_DIMENSIONS[letter] for letter in self.formula.variance_axes]
            centre = mean if self.formula.about == "mean" else x.mean(dims, keepdim=True)
        count = math.prod(x.shape[dim] for dim in dims)
        distance = {"raw": x.square, "absolute": (x - centre).abs}.get(self.formula.variance, (x - centre).square)
        variance = distance().mean(dims, keepdim=True)
        per_value = {"sum": 1, "by_images": len(x), "by_pixels": x.shape[3] * x.shape[4]}.get(self.formula.variance, count)
        variance = variance * (count / max(per_value, 1))
        if self.formula.variance == "unbiased":
            variance = variance * (count / (count - 1))
        if self.formula.variance == "mean_absolute":
            variance = (x - centre).abs().mean(dims, keepdim=True).square()
        if self.formula.variance == "range":
            variance = (x.amax(dims, keepdim=True) - x.amin(dims, keepdim=True)).square()
        if self.formula.variance == "largest":
            variance = (x - centre).abs().amax(dims, keepdim=True).square()
        if self.formula.variance == "at_least_one":
            variance = variance.clamp_min(1.0)
        if self.formula.variance == "of_parts":
            variance = x.var([3, 4], correction=0, keepdim=True).mean([dim for dim in dims if dim < 3], keepdim=True)
        if self.formula.variance == "of_means":
            variance = x.mean([3, 4], keepdim=True).var([dim for dim in dims if dim < 3], correction=0, keepdim=True)
        if self.formula.detached in ("mean", "both"):
            mean = mean.detach()
        if self.formula.detached in ("variance", "both"):
            variance = variance.detach()
        return (variance, mean) if self.formula.swapped else (mean, variance)

    def _statistics(self, x: Tensor, dims: list[int]) -> tuple[Tensor, Tensor]:
        """Return mean and variance that normalize; update the running ones."""
        formula = self.formula
        mean, variance = self._moments(x, dims)
        if not formula.remembers:
            return mean, variance
        before = self.running_mean, self.running_var
        count = math.prod(x.shape[dim] for dim in dims)
        if formula.training != "frozen" if self.training else formula.evaluation_updates:
            self._remember(mean.detach(), variance.detach(), count, x)
        running = self.running_mean, self.running_var
        if self.training:
            ways = {"batch": (mean, variance), "running_before": before, "running_after": running, "frozen": running}
            halves = {"mean_before": (before[0], variance), "mean_after": (running[0], variance)}
            return {**ways, **halves}[formula.training]
        corrected = running[0], running[1] * (count / max(count - 1, 1))
        halves = {"batch_mean": (mean, running[1]), "batch_variance": (running[0], variance)}
        return {"batch": (mean, variance), "corrected": corrected, **halves}.get(formula.evaluation, running)

    def _remember(self, mean: Tensor, variance: Tensor, count: int, x: Tensor) -> None:
        """Move the running statistics."""
        formula = self.formula
        if formula.memory == "never":
            return
        biased = variance * ((count - 1) / count) if formula.variance == "unbiased" else variance
        if formula.remembers_mean:
            mean = mean.mean(0, keepdim=True)
        unbiased = biased * (count / max(count - 1, 1))
        new = {
            "biased": biased,
            "unbiased": unbiased,
            "images": biased * (len(x) / max(len(x) - 1, 1)),
            "deviation": biased.sqrt(),
            "unbiased_deviation": unbiased.sqrt(),
            "deviation_with_eps": (biased + self.eps).sqrt(),
            "normalized": unbiased / (biased + self.eps),
            "everything": x.var(),
            "about_running": biased + (mean - self.running_mean).square(),
        }[formula.remembered]
        if formula.remembers_mean:
            new = new.mean(0, keepdim=True)
        if formula.remembered == "everything":
            mean = x.mean()
        if formula.memory == "debiased":
            self.seen += 1
            share = self.momentum if formula.momentum == "torch" else 1 - self.momentum
            weight = share / (1 - (1 - share) ** self.seen)  # of the new batch, as without a start
            self.running_mean = (1 - weight) * self.running_mean + weight * mean
            self.running_var = (1 - weight) * self.running_var + weight * new
            return
        if formula.memory == "population":
            self.all_seen = torch.cat([self.all_seen, x.detach().transpose(0, 1).flatten(1)], 1)
            self.running_mean = self.all_seen.mean(1).reshape(mean.shape)
            self.running_var = self.all_seen.var(1, correction=0).reshape(mean.shape)
            return
        self.seen += 1
        share = self.momentum if formula.momentum == "torch" else 1 - self.momentum
        shares = {"copy": 1.0 if self.seen == 1 else share, "cumulative": 1 / self.seen}
        share = shares.get(formula.memory, share)
        for _ in range(2 if formula.memory == "twice" else 1):
            first, second = (new, mean) if formula.memory == "exchanged" else (mean, new)
            kept = 1.0 if formula.memory == "sum" else 1 - share
            if formula.memory != "variance":
                self.running_mean = kept * self.running_mean + share * first
            if formula.memory != "mean":
                self.running_var = kept * self.running_var + share * second

    def _normalize(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        centred, eps = x - mean, self.eps
        others = {"without_eps": "none", "without_root": "variance", "eps_beside": "deviation"}
        others |= {"without_variance": "centred", "without_mean": "scaled"}
        epsilon = self.formula.epsilon if self.training else others.get(self.formula.evaluation, self.formula.epsilon)
        ways: dict[str, Callable[[], Tensor]] = {
            "inside": lambda: centred / torch.sqrt(variance + eps),
            "variance": lambda: centred / (variance + eps),
            "squared": lambda: centred / torch.sqrt(variance + eps**2),
            "deviation": lambda: centred / (variance.sqrt() + eps),
            "at_least_one": lambda: centred / torch.sqrt((variance + eps).clamp_min(1.0)),
            "larger": lambda: centred / variance.sqrt().clamp_min(eps),
            "root": lambda: centred / torch.sqrt(variance.sqrt() + eps),
            "times": lambda: centred * torch.sqrt(variance + eps),
            "parentheses": lambda: x - mean / torch.sqrt(variance + eps),
            "added": lambda: (x + mean) / torch.sqrt(variance + eps),
            "centred": lambda: centred,
            "scaled": lambda: x / torch.sqrt(variance + eps),
        }
        return ways.get(epsilon, lambda: centred / variance.sqrt())()

    def _gates(self) -> tuple[Tensor, Tensor]:
        """Weights of the batch part and of the instance part."""
        gate = self.get_parameter("gate").view(1, -1, 1, 1)
        kind = self.formula.gate
        values = {
            "raw": gate,
            "clamped": gate.clamp(0, 1),
            "clamped_in_place": gate + (gate.clamp(0, 1) - gate).detach(),
            "sigmoid": gate.sigmoid(),
            "sigmoid_twice": gate.sigmoid().sigmoid(),
        }
        gate, whole = values[self.formula.gate_values], torch.ones_like(gate)
        if isinstance(kind, float):
            return whole * kind, whole * (1 - kind)
        ways = {"both": (gate, gate), "first": (gate, whole), "second": (whole, gate), "reversed": (1 - gate, gate)}
        return ways.get(kind, (gate, 1 - gate))


#: The built-in norms.
BATCH, EVERY = ("bn", "bin"), ("bn", "in", "bin", "gn", "ln")


@dataclass(frozen=True)
class Kind:
    """A kind of norm.

    Args:
        key: what `--as` takes.
        title: in words.
        axes: what its statistics are taken over, in words.
        settings: of the formula that computes it, but for the groups.
        groups: channels (each its own), one, or given.
        base: the norm of the zoo whose mistakes are possible in it.
    """

    key: str
    title: str
    axes: str
    settings: dict[str, Any] = field(default_factory=dict)
    groups: str = "one"
    base: str = "ln"

    def formula(self, groups: int, channels: int) -> dict[str, Any]:
        """Return the settings of its formula."""
        return {**self.settings, "groups": {"channels": channels, "one": 1, "given": groups}[self.groups]}


_BN: dict[str, Any] = {"axes": "NKHW", "remembers": True}
KINDS: dict[str, Kind] = {
    kind.key: kind
    for kind in (
        Kind("bn", describe_norm("bn").title, "N, H, W", _BN, "channels", "bn"),
        Kind("in", describe_norm("in").title, "H, W", {"axes": "HW"}, "channels", "in"),
        Kind(
            "bin",
            describe_norm("bin").title,
            "N, H, W (and H, W)",
            {**_BN, "gate": "learned"},
            "channels",
            "bin",
        ),
        Kind("ln", describe_norm("ln").title, "C, H, W", {"axes": "KHW"}),
        Kind("gn", describe_norm("gn").title, "C/G, H, W", {"axes": "KHW"}, "given", "gn"),
        Kind("ln-position", "layer normalization per position", "C", {"axes": "K"}),
        Kind("rms-position", "RMS normalization per position", "C", {"axes": "K", "center": False}),
        Kind("rms-image", "RMS normalization of each image", "C, H, W", {"axes": "KHW", "center": False}),
        Kind("rms-map", "RMS normalization of each map", "H, W", {"axes": "HW", "center": False}, "channels", "in"),
        Kind("rms-group", "RMS normalization of groups", "C/G, H, W", {"axes": "KHW", "center": False}, "given", "gn"),
        Kind("frozen-bn", "frozen batch normalization", "nothing", {**_BN, "training": "frozen"}, "channels", "bn"),
        Kind(
            "bn-no-running",
            "batch normalization without running statistics (torch: track_running_stats=False)",
            "N, H, W",
            {"axes": "NKHW"},
            "channels",
            "bn",
        ),
        Kind("batch-renorm", "batch renormalization (first steps)", "N, H, W", _BN, "channels", "bn"),
        Kind(
            "in-running",
            "instance normalization with running statistics",
            "H, W",
            {"axes": "HW", "remembers": True, "remembers_mean": True},
            "channels",
            "in",
        ),
        Kind("ghost-bn-2", "ghost batch normalization in two parts", "N/2, H, W", {**_BN, "parts": 2}, "channels", "bn"),
        Kind(
            "ghost-bn-strided",
            "ghost batch normalization in two parts",
            "N/2, H, W",
            {**_BN, "parts": 2, "part_order": "strided"},
            "channels",
            "bn",
        ),
        Kind("ghost-bn-3", "ghost batch normalization in three parts", "N/3, H, W", {**_BN, "parts": 3}, "channels", "bn"),
    )
}
