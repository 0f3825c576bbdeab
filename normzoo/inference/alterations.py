"""Networks with one thing turned by hand: the gates, or the border of their convolutions. Always of a copy."""

import copy
import dataclasses

from torch import nn

from normzoo.errors import ConfigError
from normzoo.nn.batch_instance_norm import gates
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.registry import Model

#: What the convolutions pad with, in words.
BORDERS = {
    "zeros": "zeros, as trained",
    "first": "replicated pixels in the first convolution",
    "all": "replicated pixels in every convolution",
}


def altered(model: Model, gate_shift: float = 0.0, border: str = "zeros") -> Model:
    """Return a model that differs in its gates or its border; the one that was given is left alone, whoever uses it meanwhile.

    Args:
        gate_shift: from -1, all gates 0 (all instance), over 0, as learned, to 1, all gates 1 (all batch).
        border: a key of `BORDERS`.

    Raises:
        ConfigError: one of them is not such.
    """
    if isinstance(gate_shift, bool) or not isinstance(gate_shift, int | float) or not -1 <= gate_shift <= 1:
        raise ConfigError("The gates can be shifted by a number from -1 to 1.")
    if not isinstance(border, str) or border not in BORDERS:
        raise ConfigError(f"Unknown border. Choose one of: {', '.join(BORDERS)}.")
    is_turned = border != "zeros" or (gate_shift and gates(model.network))
    if not is_turned:
        return model
    network = with_border(model.network, border)
    target = 1.0 if gate_shift > 0 else 0.0
    for gate in gates(network):
        gate.data.lerp_(gate.new_tensor(target), abs(gate_shift))
    return dataclasses.replace(model, network=network)


def with_border(network: ResNet, border: str) -> ResNet:
    """Return a copy of a network whose convolutions pad as a key of `BORDERS` says."""
    network = copy.deepcopy(network)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in {"zeros": [], "first": [network.conv1], "all": convolutions}[border]:
        convolution.padding_mode = "replicate"
    return network
