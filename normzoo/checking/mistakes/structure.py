"""Mistakes that are seen directly, without computing the formula."""

from normzoo.checking.mistakes.mistake import BATCH, Mistake

STRUCTURE: tuple[Mistake, ...] = (
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
        "start-values",
        "structure",
        "{start} begins elsewhere",
        "weight 1, bias 0 and gate 1",
        "the first epochs differ from the right layer's: a gate that begins at 0 has no batch norm in it",
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
