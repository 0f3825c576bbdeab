"""Mistakes in the running statistics: what is remembered, and when it normalizes."""

from normzoo.checking.mistakes.mistake import BATCH, Mistake

MEMORY: tuple[Mistake, ...] = (
    Mistake(
        "running-in-training",
        "output",
        "x̂ = (x − running_mean) / √(running_var + ε) in training too: the running statistics normalize the training batch",
        "in training the batch's own mean and variance normalize",
        ({"training": "running_after"}, {"training": "running_before"}),
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
        "running_var remembers the biased variance, Σ(x − μ)² / n",
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
        "corrected-in-evaluation",
        "evaluation",
        "running_var is multiplied by n/(n − 1) of the evaluation batch",
        "correct once, when it is remembered",
        ({"evaluation": "corrected"},),
        BATCH,
    ),
    Mistake(
        "memory-moves-in-evaluation",
        "evaluation",
        "running statistics are moved in evaluation as well",
        "move them only where self.training is true",
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
)
