"""The checkpoint folder: comes back as it was saved, saved whole or not at all, the same for the same content."""

import dataclasses
import os

import pytest
import torch

from normzoo.errors import CheckpointError
from normzoo.nn.norms import NoNorm
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import TORCH_NORM_LAYERS
from normzoo.pretrained import checkpoint as checkpoint_module
from normzoo.pretrained.checkpoint import ModelConfig, open_checkpoint
from normzoo.pretrained.serialization import new_folder, write_tensors
from tests.support.checkpoints import CLASSES, LABELS, config_for, history_for, network_for, robustness_for, save_variant
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
