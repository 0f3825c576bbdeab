"""Known mistakes in norm layers: what is wrong, what would be right, and what people see of it in training."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from normzoo.checking.formula import Formula

BATCH, EVERY = ("bn", "bin"), ("bn", "in", "bin", "gn", "ln")
#: The settings of a formula that is right, by kind.
RIGHT: dict[str, dict[str, Any]] = {
    "bn": {"axes": "NKHW", "remembers": True},
    "in": {"axes": "HW"},
    "bin": {"axes": "NKHW", "remembers": True, "gate": "learned"},
    "gn": {"axes": "KHW"},
    "ln": {"axes": "KHW"},
}
AXES_IN_WORDS = {"bn": "N, H, W", "in": "H, W", "bin": "N, H, W (and H, W)", "gn": "C/G, H, W", "ln": "C, H, W"}


@dataclass(frozen=True)
class Mistake:
    """One way to get a norm wrong.

    Args:
        key: its name.
        stage: where it shows first, of `trace.STAGES`; "structure" where it is seen without computing.
        wrong: the line of the formula that is off.
        right: what that line would be.
        symptom: what people see of it.
        changes: settings of the formula that reproduce it, one of several ways a line; none where it is seen directly.
        kinds: norms that it is possible in.
    """

    key: str
    stage: str
    wrong: str
    right: str
    symptom: str
    changes: tuple[dict[str, Any], ...] = ()
    kinds: tuple[str, ...] = EVERY

    @property
    def sentence(self) -> str:
        """The mistake in a sentence."""
        return f"{self.wrong}; right: {self.right}."


@dataclass(frozen=True)
class Guess:
    """One or more mistakes as the settings of a formula."""

    mistakes: tuple[Mistake, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    def with_mistake(self, mistake: Mistake, changes: dict[str, Any], kind: str, groups: int) -> "Guess":
        """Return the guess with one more mistake."""
        sentence = mistake.sentence.replace("{axes}", axes_in_words(changes.get("axes", ""), groups))
        sentence = sentence.replace("{right}", AXES_IN_WORDS[kind]).replace("{gate}", str(changes.get("gate")))
        return Guess((*self.mistakes, mistake), {**self.changes, **changes}, (*self.sentences, sentence))


def right_formula(kind: str, groups: int, channels: int) -> dict[str, Any]:
    """Return the settings of the right formula of a kind."""
    return {**RIGHT[kind], "groups": groups if kind == "gn" else channels if kind in BATCH or kind == "in" else 1}


def axes_in_words(axes: str, groups: int) -> str:
    """Return the letters of dimensions as people write them: "NKHW" -> "N, C, H, W" where there are no groups."""
    if groups == 1 or ("G" in axes and "K" in axes):
        axes = axes.replace("G", "").replace("K", "C")
    return ", ".join({"K": "C/G"}.get(letter, letter) for letter in axes) or "nothing"


def _all_axes() -> tuple[dict[str, Any], ...]:
    letters = "NGKHW"
    return tuple({"axes": "".join(some)} for size in range(1, 6) for some in combinations(letters, size))


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "running-in-training",
        "output",
        "x̂ = (x − running_mean) / √(running_var + ε) in training too: the running statistics normalize the training batch",
        "in training the batch's own mean and variance normalize",
        "the loss hardly falls at first, or grows without bound, since nothing holds the activations",
        ({"training": "running_after"}, {"training": "running_before"}),
        BATCH,
    ),
    Mistake(
        "interleaved-groups",
        "output",
        "channel c goes into group c mod G (a reshape to (N, C/G, G, H, W)): the groups are interleaved",
        "neighbouring channels make a group: reshape to (N, G, C/G, H, W)",
        "trains as well as the right one, but a checkpoint from elsewhere gives nonsense",
        ({"grouping": "interleaved"},),
        ("gn",),
    ),
    Mistake(
        "groups-swapped",
        "output",
        "there are C/G groups of G channels: number and size of the groups are mixed up",
        "G groups of C/G channels: reshape to (N, G, C/G, H, W)",
        "trains, but as another norm than its arguments say; checkpoints from elsewhere do not fit",
        ({"groups": -1},),
        ("gn",),
    ),
    Mistake(
        "scrambled-reshape",
        "output",
        "x.reshape(C, −1) cuts rows that mix channels and images",
        "x.transpose(0, 1).reshape(C, −1), or a mean over the dimensions 0, 2, 3",
        "accuracy depends on the order within the batch and is lower than without a norm",
        ({"grouping": "scrambled", "axes": "W", "groups": 1},),
        BATCH,
    ),
    Mistake(
        "wrong-axes",
        "output",
        "the mean and variance are taken over {axes}",
        "over {right}",
        "it trains, as another norm than the one it is called",
        _all_axes(),
    ),
    Mistake(
        "unbiased-normalization",
        "output",
        "the variance that normalizes is unbiased, Σ(x − μ)² / (n − 1), as x.var() gives it",
        "Σ(x − μ)² / n, x.var(correction=0)",
        "outputs too small by the factor √((n − 1)/n); a map of one value gives NaN",
        ({"variance": "unbiased"},),
    ),
    Mistake(
        "mean-of-variances",
        "output",
        "σ² = the mean of each map's own variance",
        "the total variance: add the variance of the maps' means (law of total variance)",
        "outputs too large wherever images or channels differ in their means, and evaluation drifts",
        ({"variance": "of_parts"},),
        ("bn", "bin", "gn", "ln"),
    ),
    Mistake(
        "eps-on-deviation",
        "output",
        "x̂ = (x − μ) / (√σ² + ε): ε is added to the deviation",
        "(x − μ) / √(σ² + ε)",
        "faint channels are blown up: at ε = 1e-5 the gain is up to 100,000, not 316",
        ({"epsilon": "deviation"},),
    ),
    Mistake(
        "eps-outside",
        "output",
        "x̂ = (x − μ) / √σ² + ε: ε stands outside the root",
        "(x − μ) / √(σ² + ε)",
        "NaN at the first constant channel, such as after a dead ReLU",
        ({"epsilon": "result"},),
    ),
    Mistake(
        "eps-missing",
        "output",
        "x̂ = (x − μ) / √σ²: there is no ε that counts",
        "(x − μ) / √(σ² + ε)",
        "NaN at the first constant channel, such as after a dead ReLU",
        ({"epsilon": "none"}, {"epsilon": "larger"}),
    ),
    Mistake(
        "eps-squared",
        "output",
        "x̂ = (x − μ) / √(σ² + ε²)",
        "(x − μ) / √(σ² + ε)",
        "as without ε: 1e-5 becomes 1e-10, and faint channels are blown up",
        ({"epsilon": "squared"},),
    ),
    Mistake(
        "variance-for-deviation",
        "output",
        "x̂ = (x − μ) / (σ² + ε): divided by the variance",
        "divided by its root, √(σ² + ε)",
        "the scale of the input stays, turned around: learning rates that work elsewhere diverge",
        ({"epsilon": "variance"},),
    ),
    Mistake(
        "affine-missing",
        "output",
        "y = x̂ has no weight and bias",
        "y = x̂ · weight + bias, one of each per channel",
        "a point or so of accuracy is missing, and no checkpoint fits",
        ({"affine": "none"},),
    ),
    Mistake(
        "weight-missing",
        "output",
        "y = x̂ + bias lacks the weight",
        "y = x̂ · weight + bias",
        "no channel can be made fainter than another; no checkpoint fits",
        ({"affine": "no_weight"},),
    ),
    Mistake(
        "bias-missing",
        "output",
        "y = x̂ · weight lacks the bias",
        "y = x̂ · weight + bias",
        "every channel is cut by the ReLU at its mean; no checkpoint fits",
        ({"affine": "no_bias"},),
    ),
    Mistake(
        "affine-swapped",
        "output",
        "y = x̂ · bias + weight: the two are swapped",
        "y = x̂ · weight + bias",
        "every channel begins as a constant; the first epochs are lost",
        ({"affine": "swapped"},),
    ),
    Mistake(
        "bias-before-weight",
        "output",
        "y = (x̂ + bias) · weight",
        "y = x̂ · weight + bias",
        "trains alike, but checkpoints from elsewhere give nonsense",
        ({"affine": "bias_first"},),
    ),
    Mistake(
        "gate-reversed",
        "output",
        "y = (1 − gate) · BN(x) + gate · IN(x): the gate's sense is turned around",
        "gate · BN(x) + (1 − gate) · IN(x)",
        "begins as instance norm, and what is read off the gates is the opposite of what is so",
        ({"gate": "reversed"},),
        ("bin",),
    ),
    Mistake(
        "gate-clamped",
        "output",
        "clamp(gate, 0, 1) stands inside the forward pass",
        "clamp the gate after each step of the optimizer",
        "a gate that has left [0, 1] gets no gradient and never comes back",
        ({"gate": "clamped"},),
        ("bin",),
    ),
    Mistake(
        "gate-sigmoid",
        "output",
        "sigmoid(gate) mixes",
        "the gate itself, clamped to [0, 1] after each step of the optimizer",
        "gates hardly move and never reach 0 or 1",
        ({"gate": "sigmoid"},),
        ("bin",),
    ),
    Mistake(
        "gate-frozen",
        "output",
        "the gate is the constant {gate} and does not learn",
        "a parameter per channel, self.gate = nn.Parameter(torch.ones(C)), made once in the constructor",
        "every gate is still at its start after training: the layer is a fixed mixture, or plain batch norm",
        ({"gate": 0.5}, {"gate": 1.0}, {"gate": 0.0}),
        ("bin",),
    ),
    Mistake(
        "detached-mean",
        "gradients",
        "no gradient flows through the mean",
        "compute μ from x without .detach(), .data, .item() or no_grad",
        "the loss falls at first, then activations drift and grow",
        ({"detached": "mean"},),
    ),
    Mistake(
        "detached-variance",
        "gradients",
        "no gradient flows through the variance",
        "compute σ² from x without .detach(), .data, .item() or no_grad",
        "needs a smaller learning rate: the step's part along x̂ is not taken out",
        ({"detached": "variance"},),
    ),
    Mistake(
        "detached-statistics",
        "gradients",
        "no gradient flows through mean and variance",
        "compute both from x without .detach(), .data, .item() or no_grad",
        "diverges at learning rates that work with the right layer",
        ({"detached": "both"},),
    ),
    Mistake(
        "momentum-reversed",
        "memory",
        "running = momentum · running + (1 − momentum) · batch: momentum is turned around",
        "running = (1 − momentum) · running + momentum · batch, torch's sense",
        "with momentum 0.1 evaluation follows the last batch alone and jumps from epoch to epoch",
        ({"momentum": "reversed"},),
        BATCH,
    ),
    Mistake(
        "biased-memory",
        "memory",
        "running_var remembers the biased variance, Σ(x − μ)² / n",
        "the unbiased one, Σ(x − μ)² / (n − 1)",
        "invisible at large batches; at 2 images of 2×2 pixels evaluation is off by 7%",
        ({"remembered": "biased"},),
        BATCH,
    ),
    Mistake(
        "variance-starts-at-zero",
        "memory",
        "running_var begins at 0",
        "at 1, torch.ones(C)",
        "evaluation in the first epochs is far off, as everything is blown up",
        ({"start": 0.0},),
        BATCH,
    ),
    Mistake(
        "batch-in-evaluation",
        "evaluation",
        "in evaluation the statistics of the batch at hand normalize",
        "in evaluation running_mean and running_var normalize",
        "the answer to an image depends on the others beside it, and a single one gives nonsense",
        ({"evaluation": "batch"}, {"remembers": False}),
        BATCH,
    ),
    Mistake(
        "corrected-in-evaluation",
        "evaluation",
        "running_var is multiplied by n/(n − 1) of the evaluation batch",
        "correct once, when it is remembered",
        "figures change with the batch size of the evaluation",
        ({"evaluation": "corrected"},),
        BATCH,
    ),
    Mistake(
        "memory-moves-in-evaluation",
        "evaluation",
        "running statistics are moved in evaluation as well",
        "move them only where self.training is true",
        "validating changes the network: the same images twice give two results",
        ({"evaluation_updates": True},),
        BATCH,
    ),
    Mistake(
        "moving-average-of-instances",
        "evaluation",
        "moving averages normalize in evaluation",
        "each image's own statistics, in evaluation as in training",
        "evaluation is far below training, or fails at another batch size, as the averages have a row per image of the batch",
        ({"remembers": True, "remembered": "biased"}, {"remembers": True}, {"remembers": True, "momentum": "reversed"}),
        ("in", "gn", "ln"),
    ),
    # Seen directly.
    Mistake(
        "parameters-not-registered",
        "structure",
        "weight, bias or gate is a plain tensor",
        "self.weight = nn.Parameter(torch.ones(C))",
        "the optimizer never sees them: they stay at their start, and state_dict() lacks them",
    ),
    Mistake(
        "parameter-shape",
        "structure",
        "what the layer holds is {shapes}, not one value per channel, (C,)",
        "nn.Parameter(torch.ones(C)), and weight.view(1, −1, 1, 1) in forward",
        "checkpoints from elsewhere do not load; with (C, H, W) the network takes one image size alone",
    ),
    Mistake(
        "buffers-not-registered",
        "structure",
        "the running statistics are plain attributes",
        'self.register_buffer("running_mean", torch.zeros(C))',
        "a loaded checkpoint evaluates with mean 0 and variance 1, and .to(device) leaves them behind",
        kinds=BATCH,
    ),
    Mistake(
        "input-changed",
        "structure",
        "forward writes into x (x -= …, x.sub_(…))",
        "compute a new tensor",
        "a shortcut around the layer carries normalized values, or autograd refuses",
    ),
    Mistake(
        "cancellation",
        "structure",
        "σ² = E[x²] − E[x]² cancels in float32",
        "centre first: E[(x − μ)²]",
        "NaN or noise where the mean is large beside the spread",
    ),
    Mistake(
        "mode-from-grad",
        "structure",
        "training and evaluation are told apart by whether gradients are on",
        "by self.training",
        "validation with gradients, or training under no_grad, uses the wrong statistics",
    ),
    Mistake(
        "call-overridden",
        "structure",
        "the class defines __call__, so hooks never run",
        "define forward",
        "feature maps cannot be recorded, and torch's tools skip the layer silently",
    ),
    Mistake(
        "eps-other",
        "structure",
        "ε is {eps}, whatever the constructor is given",
        "self.eps = eps, and √(σ² + self.eps)",
        "faint channels come out of another size than in networks from elsewhere",
    ),
    Mistake(
        "extra-parameters",
        "structure",
        "the layer learns something that is no part of this norm",
        "a plain float for ε and momentum, nothing but weight and bias (and the gate)",
        "ε drifts during training, even below zero",
    ),
)
BY_KEY = {mistake.key: mistake for mistake in MISTAKES}


def ways(stage: str, kind: str, groups: int, channels: int) -> Iterator[tuple[Mistake, dict[str, Any]]]:
    """Yield every way to make a mistake that shows first at that stage, in a norm of that kind."""
    right = Formula(**right_formula(kind, groups, channels))
    for mistake in MISTAKES:
        for changes in mistake.changes if mistake.stage == stage and kind in mistake.kinds else ():
            made = {**changes, "groups": channels // groups} if changes.get("groups") == -1 else changes
            if mistake.key == "wrong-axes" and kind != "gn":
                made = {**made, "groups": 1}
                if "G" in changes["axes"]:
                    continue
            if Formula(**{**right_formula(kind, groups, channels), **made}) != right:
                yield mistake, made
