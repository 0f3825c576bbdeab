"""Small packaged checkpoints with random weights and made-up figures: what the page and the tables are tested on."""

from pathlib import Path

import torch

from normzoo.checkpoint import ModelConfig, count_parameters, default_arguments, save_checkpoint
from normzoo.norms import NORM_LAYERS
from normzoo.resnet import TORCH_NORM_LAYERS

CLASSES = ("ant", "bee <b>", "cat & dog", "dune")
METRICS = ("loss", "accuracy", "macro_f1", "micro_f1")


def save_variant(
    root: Path, variant: str, model_set: str = "toy/paper", seeds: tuple[int, ...] = (0,), epochs: int = 3
) -> Path:
    """Write one checkpoint under `root`; its validation accuracy is 0.5 + its place in the zoo / 100."""
    norm = variant.partition("-bs")[0]
    config = ModelConfig(8, norm, default_arguments(norm), CLASSES, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    torch.manual_seed(len(variant))
    model = config.build()
    place = [*NORM_LAYERS, *TORCH_NORM_LAYERS].index(norm)
    figures = {"loss": 1.2345678, "accuracy": 0.5 + place / 100, "macro_f1": 0.49, "micro_f1": 0.5 + place / 100}
    final = {
        split: {name: _spread([value + seed / 1000 for seed in seeds]) for name, value in figures.items()}
        for split in ("train", "val")
    }
    metrics = {
        "format_version": 1,
        "variant": variant,
        "norm": norm,
        "seeds": list(seeds),
        "final": final,
        "parameters": count_parameters(model),
        "macs": 12_345_678,
        "provenance": {},
    }
    history = [
        {
            "seed": seed,
            "epoch": epoch,
            "split": split,
            "loss": 1.5 / epoch + seed,
            "accuracy": 0.2 * epoch,
            "macro_f1": 0.19 * epoch,
        }
        | {"micro_f1": 0.2 * epoch, "lr": 1e-4, "seconds": 1.5}
        for seed in seeds
        for epoch in range(1, epochs + 1)
        for split in ("train", "val")
    ]
    logits = {seed: torch.zeros(4, len(CLASSES)) for seed in seeds}
    folder = root / model_set / variant
    save_checkpoint(folder, model, config, history, metrics, logits, torch.arange(4), "A toy.")
    return folder


def save_zoo(root: Path, model_set: str = "toy/paper") -> Path:
    """All six norms of a set under `root`; gives `root`."""
    for variant in NORM_LAYERS:
        save_variant(root, variant, model_set)
    return root


def _spread(values: list[float]) -> dict[str, object]:
    tensor = torch.tensor(values, dtype=torch.float64)
    sd = float(tensor.std()) if len(values) > 1 else None
    return {"mean": float(tensor.mean()), "sd": sd, "values": values}
