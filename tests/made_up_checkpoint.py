"""A checkpoint of an untrained network with made-up figures, and ways to change what is in its files."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from normzoo.checkpoint import ModelConfig, count_parameters, default_arguments, save_checkpoint
from normzoo.storage import file_sha256, read_tensors, write_tensors

CLASSES = ("dawn", "noon", "dusk")
FIGURE = {"mean": 0.5, "sd": None, "values": [0.5]}
FIGURES = dict.fromkeys(("loss", "accuracy", "macro_f1", "micro_f1"), FIGURE)
ROW = {"seed": 0, "epoch": 1, "split": "val", **dict.fromkeys(FIGURES, 0.5), "lr": 1e-4, "seconds": 1.0}


def config_for(norm: str) -> ModelConfig:
    return ModelConfig(8, norm, default_arguments(norm), CLASSES, 16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


def save_made_up(folder: Path, norm: str = "bin", **changes: object) -> nn.Module:
    """Save an untrained network with made-up figures."""
    config = config_for(norm)
    torch.manual_seed(0)
    network = config.build()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))
    metrics: dict[str, object] = {
        "variant": norm,
        "seeds": [0],
        "final": {"train": FIGURES, "val": FIGURES},
        "parameters": count_parameters(network),
        "macs": 1,
        "provenance": {"commit": None},
    }
    logits = {0: torch.zeros(6, 3)}
    save_checkpoint(folder, network, config, [ROW], {**metrics, **changes}, logits, torch.arange(6) % 3, "# card\n")
    return network


def change_json(path: Path, **changes: object) -> None:
    """Set fields; None takes them away."""
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))


def rehash(folder: Path) -> None:
    """Have the description agree with changed weights."""
    sha = file_sha256(folder / "model.safetensors")
    change_json(folder / "metrics.json", provenance={"weights_sha256": sha})


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors, metadata = read_tensors(folder / "model.safetensors")
    change(tensors)
    write_tensors(folder / "model.safetensors", tensors, metadata)
