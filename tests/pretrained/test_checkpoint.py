"""The checkpoint folder: comes back as it was saved, saved whole or not; each damaged file is refused with the reason."""

import dataclasses
import os
import shutil

import pytest
import torch
from torch import nn

from normzoo.errors import CheckpointError
from normzoo.nn.norms import NoNorm
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS
from normzoo.pretrained import checkpoint as checkpoint_module
from normzoo.pretrained.checkpoint import MAX_WEIGHT_BYTES, ModelConfig, open_checkpoint
from normzoo.pretrained.serialization import new_folder, read_tensors, text_sha256, write_tensors
from tests.support.checkpoints import (
    CLASSES,
    LABELS,
    change_json,
    change_weights,
    config_for,
    history_for,
    network_for,
    rehash,
    robustness_for,
    save_variant,
)
from tests.support.small_disk import small_disk


@pytest.fixture
def folder(tmp_path):
    """A saved checkpoint, to be changed."""
    return save_variant(tmp_path, "bin")


@pytest.mark.parametrize("norm", [*NORM_LAYERS, *TORCH_NORM_LAYERS])
def test_network_comes_back_as_it_was_saved(norm, tmp_path):
    network = network_for(norm)
    checkpoint = open_checkpoint(save_variant(tmp_path, norm))
    assert checkpoint.config == config_for(norm)
    again = checkpoint.load_model()
    assert not again.training
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again(x), network.eval()(x), rtol=0, atol=0)


def test_network_with_another_last_norm_comes_back(tmp_path):
    config = dataclasses.replace(config_for("in"), last_norm="nn")
    assert ModelConfig.from_json(config.to_json()) == config
    assert type(config.build().stages.stage3[-1].norm2) is NoNorm
    assert "last_norm" not in config_for("in").to_json()


def test_tables_come_back_as_they_were_saved(folder):
    checkpoint = open_checkpoint(folder)
    assert checkpoint.history() == history_for()
    assert checkpoint.robustness() == robustness_for()
    val_logits, labels = checkpoint.val_logits()
    assert list(val_logits) == [0]
    assert (val_logits[0].dtype, val_logits[0].shape) == (torch.float16, (len(LABELS), len(CLASSES)))
    assert labels.tolist() == LABELS.tolist()


def test_logits_are_in_the_order_of_the_seeds(folder):
    seeds = list(range(12))
    path = folder / "val_logits.safetensors"
    logits = {f"seed_{seed}": torch.zeros(len(LABELS), len(CLASSES)).half() for seed in seeds}
    write_tensors(path, {**logits, "labels": LABELS})
    assert list(open_checkpoint(folder).val_logits()[0]) == seeds


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("moment", ["write_tensors", "to_json", "file_sha256"])
def test_failure_while_saving_leaves_the_old_folder(moment, folder, monkeypatch):
    before = contents(folder.parent)

    def fail(*_):
        raise OSError("the disk is gone")

    monkeypatch.setattr(checkpoint_module, moment, fail)
    with pytest.raises(CheckpointError, match=r"Could not write .*the disk is gone.*The previous version is kept"):
        save_variant(folder.parents[2], "bin")
    assert contents(folder.parent) == before
    assert list(folder.parent.iterdir()) == [folder]


def test_full_disk_leaves_the_old_folder(tmp_path):
    with small_disk(tmp_path / "disk", 400) as disk:  # one checkpoint takes 300 kB
        save_variant(disk, "bin")
        before = contents(disk)
        with pytest.raises(CheckpointError, match=r"Could not write .*No space left on device"):
            save_variant(disk, "bin")
        assert contents(disk) == before


TENSORS = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor([1, 2]), "é": torch.zeros(0)}
METADATA = {"format_version": "1", "config_sha256": "0" * 64, "note": "naïve"}


@pytest.mark.parametrize("metadata", [METADATA, None])
def test_same_tensors_make_the_same_file(metadata, tmp_path):
    files = set()
    for _ in range(20):  # the library's own order of the metadata is one of several
        write_tensors(tmp_path / "x", TENSORS, metadata)
        files.add((tmp_path / "x").read_bytes())
    assert len(files) == 1


def test_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kept").touch()
    real = os.replace

    def fail_for_new(source, target):
        if source != tmp_path / "old" and target == tmp_path / "old" and not (source / "kept").exists():
            raise OSError("no")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_for_new)
    with pytest.raises(OSError, match="no"), new_folder(tmp_path / "old"):
        pass
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["old", "old/kept"]


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [({key: None}, f"lacks {key}") for key in ("variant", "seeds", "final", "parameters", "macs", "provenance")]
    + [(changes, "has invalid content") for changes in ({"provenance": {}}, {"provenance": []}, {"variant": 3})],
)
def test_metrics_that_cannot_be_used_are_refused(changes, message, folder):
    change_json(folder / "metrics.json", **changes)
    with pytest.raises(CheckpointError, match=f"metrics.json {message}"):
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
    ("norm", "arguments", "depth"), [("bin", {"groups": 4}, 8), ("gn", {"num_groups": 7}, 8), ("bin", {}, 9), ("grup", {}, 8)]
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
