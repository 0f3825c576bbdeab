"""Packaged checkpoints of small untrained networks with made-up figures, and ways to change what is in their files."""

import json

import torch

from normzoo.images.corruptions import CORRUPTIONS, SEVERITIES
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS
from normzoo.pretrained.checkpoint import Contents, ModelConfig, count_parameters, default_arguments, save_checkpoint
from normzoo.pretrained.serialization import file_sha256, read_tensors, write_tensors

CLASSES = ("ant", "bee <b>", "cat & dog", "dune")
#: Of the validation images; the stored logits are all zero.
LABELS = torch.arange(4)
METRICS = ("loss", "accuracy", "macro_f1", "micro_f1")


def config_for(variant, image_size=32):
    norm = _norm_of(variant)
    return ModelConfig(8, norm, default_arguments(norm), CLASSES, image_size, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


def network_for(variant):
    """The network that `save_variant` saves; none of its tensors is what a new one begins with."""
    torch.manual_seed(len(variant))
    network = config_for(variant).build()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.dim() == 1:  # the others are random already
                tensor.add_(torch.rand_like(tensor))
    return network


def history_for(seeds=(0,), epochs=3):
    """Curves that go one way: a loss that falls, an accuracy that rises."""
    return [
        {"seed": seed, "epoch": epoch, "split": split, "loss": 1.5 / epoch + seed, "accuracy": 0.2 * epoch}
        | {"macro_f1": 0.19 * epoch, "micro_f1": 0.2 * epoch, "lr": 1e-4, "seconds": 1.5}
        for seed in seeds
        for epoch in range(1, epochs + 1)
        for split in ("train", "val")
    ]


def robustness_for(seeds=(0,)):
    """The worse the photos, the less is right."""
    return [
        {"seed": seed, "corruption": corruption, "severity": severity, "loss": 1.0 + severity, "accuracy": 0.5 - severity / 20}
        for seed in seeds
        for corruption in CORRUPTIONS
        for severity in SEVERITIES
    ]


def save_variant(root, variant, model_set="toy/paper", seeds=(0,), epochs=3, image_size=32, **changes):
    """Write one checkpoint under `root`; its validation accuracy is 0.5 + its place in the zoo / 100.

    Args:
        changes: what `metrics.json` holds instead.
    """
    norm, network = _norm_of(variant), network_for(variant)
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
        "parameters": count_parameters(network),
        "macs": 12_345_678,
        "provenance": {"commit": None},
    }
    folder = root / model_set / variant
    save_checkpoint(
        folder,
        Contents(
            network,
            config_for(variant, image_size),
            history_for(seeds, epochs),
            {**metrics, **changes},
            {seed: torch.zeros(len(LABELS), len(CLASSES)) for seed in seeds},
            LABELS,
            robustness_for(seeds[:1]),
            "A toy.",
        ),
    )
    return folder


def save_zoo(root, model_set="toy/paper"):
    """All six norms of a set under `root`; gives `root`."""
    for variant in NORM_LAYERS:
        save_variant(root, variant, model_set)
    return root


def write_answers(folder, labels, *answers):
    """Have the stored logits of seeds 0, 1, … say these classes of the photos."""
    tensors = {
        f"seed_{seed}": torch.nn.functional.one_hot(torch.tensor(said), len(CLASSES)).half()
        for seed, said in enumerate(answers)
    }
    write_tensors(folder / "val_logits.safetensors", {**tensors, "labels": torch.tensor(labels)})


def change_json(path, **changes):
    """Set fields; None takes them away."""
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))


def rehash(folder):
    """Have the description agree with changed weights."""
    sha = file_sha256(folder / "model.safetensors")
    change_json(folder / "metrics.json", provenance={"weights_sha256": sha})


def change_weights(folder, change):
    tensors, metadata = read_tensors(folder / "model.safetensors")
    change(tensors)
    write_tensors(folder / "model.safetensors", tensors, metadata)


def _norm_of(variant):
    return variant.partition("-bs")[0]


def _spread(values):
    tensor = torch.tensor(values, dtype=torch.float64)
    sd = float(tensor.std()) if len(values) > 1 else None
    return {"mean": float(tensor.mean()), "sd": sd, "values": values}
