"""A damaged checkpoint folder: each file is refused with the reason, whatever is wrong with it."""

import dataclasses
import shutil

import pytest
import torch
from torch import nn

from normzoo.errors import CheckpointError
from normzoo.pretrained.checkpoint import MAX_WEIGHT_BYTES, open_checkpoint
from normzoo.pretrained.serialization import read_tensors, text_sha256, write_tensors
from tests.support.checkpoints import CLASSES, LABELS, change_json, change_weights, config_for, rehash, save_variant


@pytest.fixture
def folder(tmp_path):
    """A saved checkpoint, to be changed."""
    return save_variant(tmp_path, "bin")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "config.json has format version 2, this NormZoo reads 1: upgrade it"),
        ({"format_version": None}, "config.json has format version None"),
        ({"depth": None, "mean": 3}, "The field depth is missing"),
        ({"mean": 3}, "mean"),
        ({"norm_arguments": []}, "norm_arguments"),
        ({"dropout": 0.5}, "dropout"),
        ({"mean": [0.5]}, "mean"),
        ({"mean": ["red", 1, 2]}, "mean"),
        ({"std": [0.5, 0, 0.5]}, "std"),
        ({"std": [0.5, 1e999, 0.5]}, "Infinity is not JSON"),
        ({"classes": [1, 2, 3]}, "classes"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": 4_000}, "image_size must be .* 256, got 4000"),
        ({"image_size": 10**6}, "image_size"),
        ({"depth": 60_002}, "depth must be .* 1,000, got 60002"),
        ({"resize": "squash"}, "resize"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_config_that_cannot_be_followed_is_refused(changes, message, folder):
    change_json(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(folder)


@pytest.mark.parametrize("key", ["variant", "seeds", "final", "parameters", "macs", "provenance"])
def test_metrics_without_a_key_are_refused(key, folder):
    change_json(folder / "metrics.json", **{key: None})
    with pytest.raises(CheckpointError, match=f"metrics.json lacks {key}"):
        open_checkpoint(folder)


@pytest.mark.parametrize("changes", [{"provenance": {}}, {"provenance": []}, {"variant": 3}])
def test_metrics_of_the_wrong_kind_are_refused(changes, folder):
    change_json(folder / "metrics.json", **changes)
    with pytest.raises(CheckpointError, match=r"metrics.json has invalid content"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b'{"loss": NaN}'])
def test_missing_or_damaged_description_is_refused(name, content, folder):
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} is (missing or )?damaged"):
        open_checkpoint(folder)


def _truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _oversized(folder):
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate(MAX_WEIGHT_BYTES + 1)  # sparse: takes no room


def weights(change):
    return lambda folder: change_weights(folder, change)


#: What is done to a folder, whether its hash is put right, and what is said.
DAMAGES = [
    (lambda folder: (folder / "model.safetensors").unlink(), False, "is missing"),
    (_truncated, False, "is not the file that was packaged"),
    (_truncated, True, "is damaged"),
    (_oversized, False, "has 64 MB: no network of NormZoo is that large"),
    (weights(lambda t: t["fc.bias"].add_(1)), False, "is not the file that was packaged"),
    (lambda f: shutil.copy(save_variant(f.parent, "gn") / "model.safetensors", f), True, "was saved with another config.json"),
    (lambda f: change_json(f / "config.json", mean=[0.1, 0.2, 0.3]), False, "was saved with another config.json"),
    (weights(lambda t: t.pop("fc.bias")), True, "does not fit config.json: .*Missing key.*fc.bias"),
    (weights(lambda t: t.update(extra=torch.zeros(1))), True, "does not fit config.json: .*Unexpected key.*extra"),
    (weights(lambda t: t.update({"fc.bias": torch.zeros(25)})), True, "does not fit config.json: .*mismatch for fc.bias"),
    (weights(lambda t: t["fc.bias"].fill_(torch.nan)), True, r"contains NaN or infinity \(fc.bias\)"),
]


@pytest.mark.parametrize(("damage", "is_rehashed", "message"), DAMAGES)
def test_weights_that_are_not_the_packaged_ones_are_refused(damage, is_rehashed, message, folder):
    damage(folder)
    if is_rehashed:
        rehash(folder)
    with pytest.raises(CheckpointError, match=f"model.safetensors {message}"):
        open_checkpoint(folder).load_model()


@pytest.mark.parametrize(
    ("norm", "arguments", "depth"),
    [("bin", {"groups": 4}, 8), ("gn", {"num_groups": 7}, 8), ("bin", {}, 9), ("grup", {}, 8)],
)
def test_network_that_cannot_be_built_is_refused(norm, arguments, depth, folder):
    config = dataclasses.replace(config_for("bin"), norm=norm, norm_arguments=arguments, depth=depth)
    (folder / "config.json").write_text(config.to_json())
    tensors, _ = read_tensors(folder / "model.safetensors")
    write_tensors(folder / "model.safetensors", tensors, {"config_sha256": text_sha256(config.to_json())})
    rehash(folder)
    with pytest.raises(CheckpointError, match=r"does not fit config.json"):
        open_checkpoint(folder).load_model()


@pytest.mark.parametrize("content", [None, b"\xff", b"seed,epoch\n0,1\n", b"seed,epoch,split,loss\nx,1,val,0.5\n"])
def test_missing_or_damaged_history_is_refused(content, folder):
    (folder / "history.csv").unlink() if content is None else (folder / "history.csv").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"history.csv is missing or damaged"):
        open_checkpoint(folder).history()
    assert isinstance(open_checkpoint(folder).load_model(), nn.Module)


LOGITS = torch.zeros(len(LABELS), len(CLASSES)).half()


@pytest.mark.parametrize(
    "tensors",
    [
        {"labels": LABELS},
        {"seed_0": LOGITS},
        {"labels": LABELS, "run_0": LOGITS},
        {"labels": LABELS, "seed_x": LOGITS},
        {"labels": LABELS, "seed_0": LOGITS[:3]},
        {"labels": LABELS, "seed_0": LOGITS[:, :2]},
        {"labels": LABELS, "seed_0": LOGITS.float()},
        {"labels": LABELS + 1, "seed_0": LOGITS},
        {"labels": LABELS - 1, "seed_0": LOGITS},
        {"labels": LABELS.float(), "seed_0": LOGITS},
        {"labels": LABELS[:0], "seed_0": LOGITS[:0]},
    ],
)
def test_logits_that_do_not_fit_the_classes_are_refused(tensors, folder):
    write_tensors(folder / "val_logits.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"val_logits.safetensors has invalid content"):
        open_checkpoint(folder).val_logits()
