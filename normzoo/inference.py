"""Running networks: logits of many images, predictions for one."""

import torch
from torch import Tensor, nn

from normzoo.images import to_input

BATCH_SIZE = 250


@torch.inference_mode()
def compute_logits(model: nn.Module, pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Logits of a network in evaluation mode, in float32; the network is left in the mode it was in.

    Args:
        pixels: uint8, (N, H, W, 3).
        mean, std: of the training images per colour, (3,).

    Returns:
        (N, classes), on the CPU.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    mean, std = mean.to(device), std.to(device)
    logits = [model(to_input(chunk.to(device), mean, std)).cpu() for chunk in pixels.split(BATCH_SIZE)]
    model.train(training)
    return torch.cat(logits)
