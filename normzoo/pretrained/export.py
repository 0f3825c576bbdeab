"""Networks as ONNX files."""

import importlib
import importlib.util
import json
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from normzoo.errors import CheckpointError, ConfigError
from normzoo.pretrained.checkpoint import ModelConfig

#: Largest difference of a logit between ONNX Runtime and PyTorch, relative to the largest logit.
TOLERANCE = 1e-3


class _FromPixels(nn.Module):
    """Network with the preparation of its input: RGB from 0 to 1, (N, 3, S, S) -> logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, config: ModelConfig) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def export_onnx(network: nn.Module, config: ModelConfig, path: Path, pixels: Tensor) -> float:
    """Write a network with the preparation of its input as an ONNX file, if ONNX Runtime gives PyTorch's logits.

    The model takes `images`, float32 RGB from 0 to 1 of shape (N, 3, S, S), and returns `logits` (N, classes); its metadata
    name the classes. It is written atomically.

    Args:
        network: in evaluation mode.
        config: of its checkpoint.
        path: of the file.
        pixels: images to compare the logits on, uint8 (N, S, S, 3).

    Returns:
        The largest difference of a logit, relative to the largest logit.

    Raises:
        ConfigError: a package is missing.
        CheckpointError: the logits differ, or the file cannot be written.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"An ONNX file needs {', '.join(missing)}: pip install {' '.join(missing)}")
    onnx, onnxruntime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    whole, images = _FromPixels(network, config).eval(), pixels.permute(0, 3, 1, 2).float() / 255
    if not path.absolute().parent.is_dir():
        raise CheckpointError(f"{path} cannot be written: {path.parent} does not exist. Create it first.")
    with tempfile.TemporaryDirectory(dir=path.absolute().parent) as folder:
        temporary = Path(folder) / "network.onnx"
        options: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"], "external_data": False}
        options |= {"dynamo": True, "verbose": False, "dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own
            logging.disable(logging.WARNING)
            try:
                torch.onnx.export(whole, (images[:2],), temporary, **options)
            finally:
                logging.disable(logging.NOTSET)
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, {"classes": json.dumps(config.classes), "resize": config.resize})
        onnx.save(model, temporary)
        (found,) = onnxruntime.InferenceSession(temporary).run(None, {"images": images.numpy()})
        with torch.no_grad():
            right = whole(images)
        difference = float((torch.from_numpy(found) - right).abs().max() / right.abs().max())
        if not difference <= TOLERANCE:
            raise CheckpointError(f"ONNX Runtime's logits differ from PyTorch's by {difference:.1%}, so {path} is not written.")
        os.replace(temporary, path)
    return difference
