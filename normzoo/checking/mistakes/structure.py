"""Mistakes that are seen directly, without computing the formula."""

from normzoo.checking.mistakes.mistake import BATCH, Mistake

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
