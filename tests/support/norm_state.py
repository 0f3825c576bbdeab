"""Norm layers in a state that hides nothing, for the tests of `normzoo.nn.norms`."""

import torch


def randomize(layer):
    """Give the layer weights, biases, gates and running statistics that are not ones and zeros."""
    with torch.no_grad():
        for name, tensor in layer.state_dict().items():
            if name == "running_var":
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.normal_()
    return layer


def remembers(layer):
    """Whether the layer keeps running statistics."""
    return getattr(layer, "running_mean", None) is not None


def buffers(layer):
    """A copy of the state that is not trained."""
    return {name: buffer.clone() for name, buffer in layer.named_buffers()}
