"""Mistakes in norm layers that are known: what is wrong, what would be right, and the settings that reproduce it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

from normzoo.check.formulas import ACTIVATIONS, BATCH, EVERY, KINDS, Formula

__all__ = ["BATCH", "EVERY", "Guess", "Mistake", "axes_in_words"]


@dataclass(frozen=True)
class Mistake:
    """One way to get a norm wrong.

    Args:
        key: its name.
        stage: where it shows first, of `trace.STAGES`; "structure" where it is seen without computing.
        wrong: the line of the formula that is off.
        right: what that line would be.
        changes: settings of the formula that reproduce it, one of several ways a line; none where it is seen directly.
        kinds: norms that it is possible in.
        alone: whether it is looked for without a second one at the same stage, as there are too many ways to make it.
    """

    key: str
    stage: str
    wrong: str
    right: str
    changes: tuple[dict[str, Any], ...] = ()
    kinds: tuple[str, ...] = EVERY
    alone: bool = False

    @property
    def sentence(self) -> str:
        """The mistake in a sentence."""
        return f"{self.wrong}; right: {self.right}."


#: Settings of a formula, as they stand in a sentence.
_IN_WORDS = {
    "sum": "by nothing",
    "by_images": "by the number of images N",
    "by_pixels": "by the number of pixels H·W",
    "without_variance": "x − running_mean, divided by nothing",
    "without_mean": "x / √(running_var + ε), without the mean",
    "without_root": "(x − running_mean) / (running_var + ε), without the root",
    "eps_beside": "(x − running_mean) / (√running_var + ε)",
}


@dataclass(frozen=True)
class Guess:
    """One or more mistakes as the settings of a formula."""

    mistakes: tuple[Mistake, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    def with_mistake(self, mistake: Mistake, changes: dict[str, Any], kind: str, groups: int) -> "Guess":
        """Return the guess with one more mistake."""
        sentence = mistake.sentence.replace("{right}", KINDS[kind].axes)
        for place in ("axes", "variance_axes"):
            words = axes_in_words(changes.get(place, ""), changes.get("groups", groups))
            sentence = sentence.replace(f"{{{place}}}", words)
        for place in ("gate", "activation", "groups", "variance", "evaluation"):
            value = str(changes.get(place))
            sentence = sentence.replace(f"{{{place}}}", _IN_WORDS.get(value, value))
        return Guess((*self.mistakes, mistake), {**self.changes, **changes}, (*self.sentences, sentence))


def axes_in_words(axes: str, groups: int) -> str:
    """Return the letters of dimensions as people write them: "NKHW" -> "N, C, H, W" where there are no groups."""
    if groups == 1 or ("G" in axes and "K" in axes):
        axes = axes.replace("G", "").replace("K", "C")
    return ", ".join({"K": "C/G"}.get(letter, letter) for letter in axes) or "nothing"


MEMORY: tuple[Mistake, ...] = (
    Mistake(
        "modes-exchanged",
        "output",
        "training and evaluation are exchanged: in training the running statistics normalize, in evaluation the batch's",
        "F.batch_norm(…, training=self.training), the batch's where self.training is true",
        ({"training": "frozen", "evaluation": "batch", "evaluation_updates": True},),
        BATCH,
    ),
    Mistake(
        "always-evaluation",
        "output",
        "the running statistics, which never move, normalize in training too, as F.batch_norm does if training is not given",
        "F.batch_norm(…, training=self.training); where it is meant so, make weight and bias buffers",
        ({"training": "frozen"},),
        BATCH,
    ),
    Mistake(
        "running-in-training",
        "output",
        "x̂ = (x − running_mean) / √(running_var + ε) in training too: the running statistics normalize the training batch",
        "in training the batch's own mean and variance normalize",
        ({"training": "running_after"}, {"training": "running_before"}),
        BATCH,
    ),
    Mistake(
        "running-mean-in-training",
        "output",
        "in training the running mean is subtracted, and the batch's deviation divides",
        "in training the batch's own mean and variance normalize",
        ({"training": "mean_after"}, {"training": "mean_before"}),
        BATCH,
    ),
    Mistake(
        "momentum-reversed",
        "memory",
        "running = momentum · running + (1 − momentum) · batch: momentum is turned around",
        "running = (1 − momentum) · running + momentum · batch, torch's sense",
        ({"momentum": "reversed"},),
        BATCH,
    ),
    Mistake(
        "biased-memory",
        "memory",
        "running_var stores the biased variance, Σ(x − μ)² / n",
        "the unbiased one, Σ(x − μ)² / (n − 1)",
        ({"remembered": "biased"},),
        BATCH,
    ),
    Mistake(
        "variance-starts-at-zero",
        "memory",
        "running_var begins at 0",
        "at 1, torch.ones(C)",
        ({"start": 0.0},),
        BATCH,
    ),
    Mistake(
        "batch-in-evaluation",
        "evaluation",
        "in evaluation the statistics of the batch at hand normalize",
        "in evaluation running_mean and running_var normalize",
        ({"evaluation": "batch"}, {"remembers": False}),
        BATCH,
    ),
    Mistake(
        "half-batch-in-evaluation",
        "evaluation",
        "in evaluation one of mean and variance is still that of the batch at hand",
        "in evaluation both running_mean and running_var normalize",
        ({"evaluation": "batch_variance"}, {"evaluation": "batch_mean"}),
        BATCH,
    ),
    Mistake(
        "corrected-in-evaluation",
        "evaluation",
        "running_var is multiplied by n/(n − 1) of the evaluation batch",
        "correct once, when it is stored",
        ({"evaluation": "corrected"},),
        BATCH,
    ),
    Mistake(
        "memory-moves-in-evaluation",
        "evaluation",
        "running statistics are also updated in evaluation",
        "update them only where self.training is true",
        ({"evaluation_updates": True},),
        BATCH,
    ),
    Mistake(
        "moving-average-of-instances",
        "memory",
        "moving averages normalize in evaluation",
        "each image's own statistics, in evaluation as in training",
        ({"remembers": True, "remembered": "biased"}, {"remembers": True}, {"remembers": True, "momentum": "reversed"}),
        ("in", "gn", "ln"),
    ),
    Mistake(
        "memory-of-images",
        "memory",
        "running_var is corrected by N/(N − 1), with the number of images N",
        "by n/(n − 1), with the number n = N·H·W of values",
        ({"remembered": "images"},),
        BATCH,
    ),
    Mistake(
        "deviation-remembered",
        "memory",
        "running_var stores the deviation √σ²",
        "the variance σ²",
        ({"remembered": "deviation"}, {"remembered": "unbiased_deviation"}),
        BATCH,
    ),
    Mistake(
        "variance-about-running-mean",
        "memory",
        "running_var stores the variance about the running mean",
        "about the mean of the batch",
        ({"remembered": "about_running"},),
        BATCH,
    ),
    Mistake(
        "first-batch-copied",
        "memory",
        "the first batch's statistics are copied into the running ones",
        "running = (1 − momentum) · running + momentum · batch from the first batch on",
        ({"memory": "copy"}, {"memory": "copy", "remembered": "biased"}),
        BATCH,
    ),
    Mistake(
        "updated-twice",
        "memory",
        "the running statistics are updated twice for each batch",
        "once",
        ({"memory": "twice"}, {"memory": "twice", "remembered": "biased"}),
        BATCH,
    ),
    Mistake(
        "memory-never-moves",
        "memory",
        "the running statistics are never updated",
        "update them in every training step",
        ({"memory": "never"},),
        BATCH,
    ),
    Mistake(
        "half-remembered",
        "memory",
        "only one of running_mean and running_var is updated",
        "update both in every training step",
        ({"memory": "mean"}, {"memory": "variance"}, {"memory": "mean", "remembered": "biased"}),
        BATCH,
    ),
    Mistake(
        "memory-adds-up",
        "memory",
        "running = running + momentum · batch: nothing is taken off, so that both grow without end",
        "running = (1 − momentum) · running + momentum · batch",
        ({"memory": "sum"}, {"memory": "sum", "remembered": "biased"}),
        BATCH,
    ),
    Mistake(
        "memory-exchanged",
        "memory",
        "running_mean is updated with the variance, and running_var with the mean",
        "each with its own",
        ({"memory": "exchanged"}, {"memory": "exchanged", "remembered": "biased"}),
        BATCH,
    ),
    Mistake(
        "other-formula-in-evaluation",
        "evaluation",
        "evaluation has another formula than training: {evaluation}",
        "(x − running_mean) / √(running_var + ε)",
        tuple({"evaluation": way} for way in ("without_variance", "without_mean", "without_root", "eps_beside")),
        BATCH,
    ),
    Mistake(
        "eps-missing-in-evaluation",
        "evaluation",
        "there is no ε in evaluation",
        "√(running_var + ε), as in training",
        ({"evaluation": "without_eps"},),
        BATCH,
    ),
    Mistake(
        "affine-missing-in-evaluation",
        "evaluation",
        "weight and bias are left out in evaluation",
        "y = x̂ · weight + bias, as in training",
        ({"evaluation": "without_affine"},),
        BATCH,
    ),
)


def _all_axes() -> tuple[dict[str, Any], ...]:
    letters = "NGKHW"
    return tuple({"axes": "".join(some)} for size in range(1, 6) for some in combinations(letters, size))


def _pairs_of_axes() -> tuple[dict[str, Any], ...]:
    pairs = permutations(("NHW", "HW", "KHW", "K", "NKHW"), 2)
    return tuple({"axes": first, "variance_axes": second, "groups": 1} for first, second in pairs)


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
        "images-in-a-group",
        "output",
        "x.reshape(G, −1) makes groups that run over images",
        "x.reshape(N, G, −1)",
        ({"grouping": "rows", "axes": "W"},),
        ("gn",),
    ),
    Mistake(
        "first-group-only",
        "output",
        "the statistics of the first group normalize all of them",
        "each group's own",
        ({"taken_from": "group"},),
        ("gn",),
    ),
    Mistake(
        "reshape-for-permute",
        "output",
        "x.reshape(−1, C) or x.view(N, H, W, C) cuts (N, C, H, W) into columns that mix channels and pixels",
        "x.permute(0, 2, 3, 1), and .permute(0, 3, 1, 2) back",
        ({"grouping": "columns"}, {"grouping": "columns", "affine": "columns"}),
        alone=True,
    ),
    Mistake(
        "wrong-axes",
        "output",
        "the mean and variance are taken over {axes}",
        "over {right}",
        _all_axes(),
        alone=True,
    ),
    Mistake(
        "mixed-axes",
        "output",
        "the mean is taken over {axes}, and the variance over {variance_axes}",
        "both over {right}",
        _pairs_of_axes(),
        ("bn", "in", "ln", "bin"),
        alone=True,
    ),
    Mistake(
        "left-out",
        "output",
        "some of the input is not normalized: the last or first channels, or the last image",
        "a loop over all of it, range(num_groups) or range(len(x)); or no loop",
        tuple({"left_out": part} for part in ("last", "last_zero", "first", "image")),
        alone=True,
    ),
    Mistake(
        "unbiased-normalization",
        "output",
        "the variance that normalizes is unbiased, Σ(x − μ)² / (n − 1), as x.var() gives it",
        "Σ(x − μ)² / n, x.var(correction=0)",
        ({"variance": "unbiased"},),
    ),
    Mistake(
        "variance-not-centred",
        "output",
        "σ² = E[x²]: the mean is subtracted from x, but not in the variance",
        "σ² = E[(x − μ)²]",
        ({"variance": "raw"},),
    ),
    Mistake(
        "absolute-deviation",
        "output",
        "σ² = E|x − μ|: absolute values stand where squares should",
        "σ² = E[(x − μ)²]",
        ({"variance": "absolute"},),
    ),
    Mistake(
        "variance-by-other-count",
        "output",
        "Σ(x − μ)² is divided {variance}",
        "divided by the number n of values that it sums",
        ({"variance": "sum"}, {"variance": "by_images"}, {"variance": "by_pixels"}),
        alone=True,
    ),
    Mistake(
        "root-of-deviation",
        "output",
        "x̂ = (x − μ) / √(σ + ε): the root is taken twice",
        "(x − μ) / √(σ² + ε)",
        ({"epsilon": "root"},),
    ),
    Mistake(
        "deviation-multiplied",
        "output",
        "x̂ = (x − μ) · √(σ² + ε): multiplied by the deviation",
        "divided by it",
        ({"epsilon": "times"},),
    ),
    Mistake(
        "parentheses-missing",
        "output",
        "x̂ = x − μ / √(σ² + ε): only the mean is divided",
        "(x − μ) / √(σ² + ε)",
        ({"epsilon": "parentheses"}, {"epsilon": "parentheses", "affine": "of_mean"}),
    ),
    Mistake(
        "mean-added",
        "output",
        "x̂ = (x + μ) / √(σ² + ε): the mean is added",
        "(x − μ) / √(σ² + ε)",
        ({"epsilon": "added"},),
    ),
    Mistake(
        "mean-and-variance-swapped",
        "output",
        "mean and variance are taken for each other: torch.var_mean gives (variance, mean)",
        "var, mean = torch.var_mean(x, dim, correction=0)",
        ({"swapped": True}, {"swapped": True, "variance": "unbiased"}),
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
        "variance-of-means",
        "output",
        "σ² = the variance of the maps' means",
        "the total variance: add the mean of each map's own variance (law of total variance)",
        ({"variance": "of_means"},),
        ("bn", "bin"),
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


AFFINE: tuple[Mistake, ...] = (
    Mistake(
        "affine-missing",
        "output",
        "y = x̂ has no weight and bias",
        "y = x̂ · weight + bias, one of each per channel",
        ({"affine": "none"},),
    ),
    Mistake(
        "weight-missing",
        "output",
        "y = x̂ + bias lacks the weight",
        "y = x̂ · weight + bias",
        ({"affine": "no_weight"},),
    ),
    Mistake(
        "bias-missing",
        "output",
        "y = x̂ · weight lacks the bias",
        "y = x̂ · weight + bias",
        ({"affine": "no_bias"},),
    ),
    Mistake(
        "affine-swapped",
        "output",
        "y = x̂ · bias + weight: the two are swapped",
        "y = x̂ · weight + bias",
        ({"affine": "swapped"},),
    ),
    Mistake(
        "bias-before-weight",
        "output",
        "y = (x̂ + bias) · weight",
        "y = x̂ · weight + bias",
        ({"affine": "bias_first"},),
    ),
    Mistake(
        "affine-before",
        "output",
        "x · weight + bias is normalized, so that neither has an effect",
        "y = x̂ · weight + bias, after the normalization",
        ({"affine": "before"},),
    ),
    Mistake(
        "gate-reversed",
        "output",
        "y = (1 − gate) · BN(x) + gate · IN(x): the gate's sense is turned around",
        "gate · BN(x) + (1 − gate) · IN(x)",
        ({"gate": "reversed"},),
        ("bin",),
    ),
    Mistake(
        "affine-of-each-part",
        "output",
        "batch norm and instance norm each have a weight and a bias of their own",
        "gate · BN(x) + (1 − gate) · IN(x) without, and one weight and bias behind",
        ({"affine": "batch"},),
        ("bin",),
    ),
    Mistake(
        "gate-of-both",
        "output",
        "the shares of BN and IN do not add up to one: gate · BN(x) + gate · IN(x), or BN(x) + gate · IN(x)",
        "gate · BN(x) + (1 − gate) · IN(x)",
        ({"gate": "both"}, {"gate": "second"}),
        ("bin",),
    ),
    Mistake(
        "gate-clamped",
        "output",
        "clamp(gate, 0, 1) stands inside the forward pass",
        "clamp the gate after each step of the optimizer",
        ({"gate": "clamped"},),
        ("bin",),
    ),
    Mistake(
        "gate-sigmoid",
        "output",
        "sigmoid(gate) mixes",
        "the gate itself, clamped to [0, 1] after each step of the optimizer",
        ({"gate": "sigmoid"},),
        ("bin",),
    ),
    Mistake(
        "gate-frozen",
        "output",
        "the gate stays at {gate} and does not learn",
        "a parameter per channel, self.gate = nn.Parameter(torch.ones(C)), made once in the constructor",
        ({"gate": 0.5}, {"gate": 1.0}, {"gate": 0.0}),
        ("bin",),
    ),
    Mistake(
        "affine-twice",
        "output",
        "weight and bias are applied twice",
        "y = x̂ · weight + bias, once",
        ({"affine": "twice"},),
    ),
    Mistake(
        "input-not-normalized",
        "output",
        "y = x · weight + bias: the input is multiplied, and not x̂",
        "y = x̂ · weight + bias",
        ({"affine": "of_input"},),
    ),
    Mistake(
        "activation-inside",
        "output",
        "an activation ({activation}) follows the norm",
        "y = x̂ · weight + bias; an activation is a layer of its own",
        tuple({"activation": name} for name in ACTIVATIONS if name != "none"),
        alone=True,
    ),
)


STRUCTURE: tuple[Mistake, ...] = (
    Mistake(
        "parameters-not-registered",
        "structure",
        "weight, bias or gate is a plain tensor",
        "self.weight = nn.Parameter(torch.ones(C))",
    ),
    Mistake(
        "parameter-shape",
        "structure",
        "what the layer holds is {shapes}, not one value per channel, (C,)",
        "nn.Parameter(torch.ones(C)), and weight.view(1, −1, 1, 1) in forward",
    ),
    Mistake(
        "buffers-not-registered",
        "structure",
        "the running statistics are plain attributes",
        'self.register_buffer("running_mean", torch.zeros(C))',
        kinds=BATCH,
    ),
    Mistake(
        "parameter-made-in-forward",
        "structure",
        "forward makes a new nn.Parameter each time, which no optimizer holds",
        "make it once, in __init__",
    ),
    Mistake(
        "no-gradient",
        "structure",
        "no gradient passes: forward runs under torch.no_grad(), or by .data, .detach() or NumPy",
        "compute with tensors, and keep only the update of running statistics under no_grad",
    ),
    Mistake(
        "parameter-without-gradient",
        "structure",
        "no gradient reaches {start}: forward does not use it, or takes .data or .detach() of it",
        "use the parameter itself",
    ),
    Mistake(
        "one-image-refused",
        "structure",
        "a batch of one image fails ({start})",
        "the statistics of an image need no other: no squeeze() that takes away the dimension N",
        kinds=("in", "gn", "ln"),
    ),
    Mistake(
        "affine-shared",
        "structure",
        "several channels share a value: {shapes}",
        "one for each channel, nn.Parameter(torch.ones(C))",
    ),
    Mistake(
        "running-learned",
        "structure",
        "{start} is an nn.Parameter: the optimizer takes it for something to learn, and weight decay shrinks it",
        'self.register_buffer("running_mean", torch.zeros(C))',
        kinds=BATCH,
    ),
    Mistake(
        "buffers-not-saved",
        "structure",
        "{start} is not in state_dict(): it is registered with persistent=False",
        'self.register_buffer("running_mean", torch.zeros(C)), which is saved with the weights',
        kinds=BATCH,
    ),
    Mistake(
        "random-output",
        "structure",
        "in evaluation the same images give different results each time",
        "random parts (F.dropout) only in training, F.dropout(x, p, self.training), and in a layer of their own",
    ),
    Mistake(
        "start-values",
        "structure",
        "{start} begins elsewhere",
        "weight 1, bias 0 and gate 1",
    ),
    Mistake(
        "input-changed",
        "structure",
        "forward writes into x (x -= …, x.sub_(…))",
        "compute a new tensor",
    ),
    Mistake(
        "cancellation",
        "structure",
        "σ² = E[x²] − E[x]² cancels in float32",
        "centre first: E[(x − μ)²]",
    ),
    Mistake(
        "mode-from-grad",
        "structure",
        "training and evaluation are told apart by whether gradients are on",
        "by self.training",
    ),
    Mistake(
        "call-overridden",
        "structure",
        "the class defines __call__, so hooks never run",
        "define forward",
    ),
    Mistake(
        "eps-other",
        "structure",
        "ε is {eps}, whatever the constructor is given",
        "self.eps = eps, and √(σ² + self.eps)",
    ),
    Mistake(
        "momentum-other",
        "structure",
        "the share of the new batch is {eps}, whatever the constructor is given",
        "self.momentum = momentum, and running = (1 − momentum) · running + momentum · batch",
        kinds=BATCH,
    ),
    Mistake(
        "extra-parameters",
        "structure",
        "the layer learns something that is no part of this norm",
        "a plain float for ε and momentum, nothing but weight and bias (and the gate)",
    ),
    Mistake(
        "graph-kept",
        "structure",
        "{start} keeps the graph of the batch: memory grows with every step, and the second backward fails",
        "update it under torch.no_grad(), or from batch_mean.detach()",
    ),
    Mistake(
        "shared-between-layers",
        "structure",
        "two layers of the class share {start}",
        "make it in __init__, on self, and not on the class, in a default argument or in the module",
    ),
    Mistake(
        "float64-from-the-start",
        "structure",
        "{start} is float64, as NumPy makes it",
        "torch.zeros(C) and torch.ones(C)",
    ),
)


#: In the order in which they are tried: of two that cannot be told apart, the first is named.
MISTAKES = (*MEMORY, *STATISTICS, *AFFINE, *STRUCTURE)
BY_KEY = {mistake.key: mistake for mistake in MISTAKES}


def ways(stage: str, kind: str, groups: int, channels: int) -> Iterator[tuple[Mistake, dict[str, Any]]]:
    """Yield every way to make a mistake that shows first at that stage, in a norm of that kind.

    Where the running statistics are hidden, what is wrong with them shows in evaluation.
    """
    stages = (stage, "memory") if stage == "evaluation" else (stage,)
    right, base = KINDS[kind].formula(groups, channels), KINDS[kind].base
    for mistake in MISTAKES:
        for changes in mistake.changes if mistake.stage in stages and base in mistake.kinds else ():
            made = {**changes, "groups": channels // groups} if changes.get("groups") == -1 else changes
            if mistake.key == "wrong-axes" and KINDS[kind].groups != "given":
                made = {**made, "groups": 1}
                if "G" in changes["axes"]:
                    continue
            if right["groups"] == 1 and changes.get("left_out", "image") != "image":
                continue
            if Formula(**{**right, **made}) != Formula(**right):
                yield mistake, made


def catalogue() -> str:
    """Return a Markdown table of all mistakes: what is wrong, and what would be right."""
    words = {"axes": "other axes", "variance_axes": "others", "right": "those of the norm", "groups": "a fixed number"}
    words |= {"activation": "such as ReLU", "variance": "by another number", "evaluation": "without the root, for example"}
    words |= {"gate": "one value", "eps": "another number", "start": "a tensor", "shapes": "of another shape"}
    rows = []
    for mistake in MISTAKES:
        row = f"| `{mistake.key}` | {mistake.wrong} | {mistake.right} |"
        for name, word in words.items():
            row = row.replace(f"{{{name}}}", word)
        rows.append(row)
    return "\n".join(["| mistake | what the layer does | what is right |", "|---|---|---|", *rows])
