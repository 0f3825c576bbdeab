"""A training run: resumed to the same result, refused where it would not be, stopped where it makes no sense."""

import csv
import math
import os

import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError, TrainingError
from normzoo.nn.norms import gates
from normzoo.nn.resnet import ResNet
from tests.support.small_disk import fill, small_disk
from tests.support.tiny import RECIPE, load_tiny, train_tiny
from training import runs
from training.config import Execution, Run
from training.data.dataset import ImageData, hold_out
from training.engine import speed, trainer
from training.engine.step import TrainStep
from training.engine.trainer import train
from training.runs import State, lock

RESUMED = RECIPE.changed(epochs=6, crop_padding=2, horizontal_flip=True)
COLUMNS = ["seed", "epoch", "split", "loss", "accuracy", "macro_f1", "micro_f1", "lr", "seconds"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_tiny(tmp_path_factory.mktemp("data"))


def folder_of(runs, norm="bn"):
    return Run("tiny", RECIPE, norm).folder(runs)


def assert_same_result(state, expected):
    """Everything but the time it took, and the processes."""
    assert (state.run, state.data_digest, state.epoch) == (expected.run, expected.data_digest, expected.epoch)
    torch.testing.assert_close(state.model, expected.model, rtol=0, atol=0)
    torch.testing.assert_close(state.optimizer["state"], expected.optimizer["state"], rtol=0, atol=0)
    assert state.optimizer["param_groups"] == expected.optimizer["param_groups"]
    rows = [[{**row, "seconds": 0} for row in each.history] for each in (state, expected)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("norm", ["bn", "bin"])
def test_three_and_three_epochs_equal_six_bit_for_bit(norm, data, tmp_path):
    run = Run("tiny", RESUMED, norm)
    train_tiny(data, tmp_path / "whole", norm, recipe=RESUMED)
    assert train_tiny(data, tmp_path / "parts", norm, recipe=RESUMED, stop_after=3).epoch == 3
    torch.rand(5)
    train_tiny(data, tmp_path / "parts", norm, recipe=RESUMED)
    whole, parts = State.load(run.folder(tmp_path / "whole")), State.load(run.folder(tmp_path / "parts"))
    assert_same_result(parts, whole)
    assert [session["first_epoch"] for session in parts.sessions] == [1, 4]


def test_another_seed_gives_another_result(data, tmp_path):
    first, second = (train_tiny(data, tmp_path, seed=seed, stop_after=1) for seed in (0, 1))
    assert not torch.equal(first.model["conv1.weight"], second.model["conv1.weight"])


def test_history_has_a_row_per_epoch_and_split(data, tmp_path):
    state = train_tiny(data, tmp_path)
    with open(folder_of(tmp_path) / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert [(row["seed"], row["epoch"], row["split"]) for row in rows] == [
        ("0", epoch, split) for epoch in "12" for split in ("train", "val")
    ]
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.01, 0.01, 0.005, 0.005])
    assert [{key: str(value) for key, value in row.items()} for row in state.history] == rows
    assert state.history[2]["loss"] < state.history[0]["loss"]


def test_gates_end_between_0_and_1_and_have_moved(data, tmp_path):
    model = ResNet(RECIPE.depth, "bin", 4)
    model.load_state_dict(train_tiny(data, tmp_path, "bin", recipe=RECIPE.changed(lr=0.05)).model)
    values = torch.cat([gate.detach() for gate in gates(model)])
    assert (values.min() >= 0, values.max() <= 1, values.min() < 1) == (True, True, True)


def test_mean_loss_weighs_the_smaller_last_batch_by_its_images(data, tmp_path, monkeypatch):
    def silent(*arguments):
        model = ResNet(8, "nn", 4)
        nn.init.zeros_(model.fc.weight)
        nn.init.zeros_(model.fc.bias)
        return model

    monkeypatch.setattr(trainer, "make_network", silent)
    state = train_tiny(data, tmp_path, "nn", recipe=RECIPE.changed(lr=1e-30))  # 96 images: 40, 40, 16
    assert [row["loss"] for row in state.history] == pytest.approx([math.log(4)] * 4, rel=1e-6)


def break_loss(step, loss):
    return loss * math.nan


def break_weights(step, loss):
    with torch.no_grad():
        step.parameters[0].fill_(math.nan)
    return loss


@pytest.mark.parametrize(("breaking", "split"), [(break_loss, "training"), (break_weights, "validation")])
def test_loss_that_is_no_number_stops_and_keeps_the_last_state(breaking, split, data, tmp_path, monkeypatch):
    train_tiny(data, tmp_path, stop_after=1)
    before = (folder_of(tmp_path) / "state.pt").read_bytes()

    class Breaking(TrainStep):
        def __call__(self, pixels, labels, lr):
            loss, predicted = super().__call__(pixels, labels, lr)
            return (breaking(self, loss) if len(labels) == 16 else loss), predicted

    monkeypatch.setattr(trainer, "TrainStep", Breaking)
    message = rf"The {split} loss of bn became nan in epoch 2\. The state after epoch 1 is kept\. Use a lower --lr"
    with pytest.raises(TrainingError, match=message):
        train_tiny(data, tmp_path)
    assert (folder_of(tmp_path) / "state.pt").read_bytes() == before


def test_other_settings_and_images_are_refused_by_name_and_set_aside_to_train_anew(data, tmp_path):
    train_tiny(data, tmp_path, stop_after=1)
    other, changed = ImageData(**{**vars(data), "digest": "0" * 64}), RECIPE.changed(lr=0.02)
    with pytest.raises(TrainingError, match=r"holds a run with other settings \(lr 0.01, now 0.02\)"):
        train_tiny(data, tmp_path, recipe=changed)
    with pytest.raises(TrainingError, match=r"holds a run with other settings \(other images\)"):
        train_tiny(other, tmp_path)
    state = train(Run("tiny", RECIPE, "bn"), other, tmp_path, Execution(compile="off", retrain=True), say=lambda line: None)
    assert (state.epoch, state.data_digest) == (2, other.digest)
    assert State.load(folder_of(tmp_path).with_name("seed-0-before-1")).data_digest == data.digest


def test_hold_out_has_a_folder_of_its_own_and_it_and_the_image_size_must_be_as_the_run_says(data, tmp_path):
    with pytest.raises(ConfigError, match=r"The run needs a holdout of 0.25, tiny has 0.0\."):
        train(Run("tiny", RECIPE, "bn", holdout=0.25), data, tmp_path)
    with pytest.raises(ConfigError, match="images of 32 px, tiny has 16 px"):
        train_tiny(data, tmp_path, recipe=RECIPE.changed(image_size=32))
    train_tiny(hold_out(data, 0.25), tmp_path, stop_after=1)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny,holdout=0.25"]


def test_two_processes_on_one_run_are_refused(data, tmp_path):
    train_tiny(data, tmp_path, stop_after=1)
    refused = pytest.raises(TrainingError, match=r"Another process is training .*seed-0\. Wait for it, or stop it")
    with lock(folder_of(tmp_path)), refused:
        train_tiny(data, tmp_path)
    assert train_tiny(data, tmp_path).epoch == 2


class _Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save({"epoch": 3}, path),
        lambda path: torch.save({"epoch": _Evil()}, path),
    ],
    ids=["truncated", "empty", "lacking", "running code"],
)
def test_damaged_state_is_refused_with_what_to_do(damage, data, tmp_path):
    train_tiny(data, tmp_path, stop_after=1)
    damage(folder_of(tmp_path) / "state.pt")
    with pytest.raises(TrainingError, match=r"state.pt is damaged\. Delete .*seed-0 to train this run again\.$"):
        train_tiny(data, tmp_path)


def test_full_disk_keeps_the_last_state(data, tmp_path):
    with small_disk(tmp_path / "disk", 2048) as disk:
        train_tiny(data, disk, stop_after=1)
        before = (folder_of(disk) / "state.pt").read_bytes()
        fill(disk, leave_bytes=len(before) // 2)
        with pytest.raises(TrainingError, match=r"Epoch 2 could not be saved .*No space left.* is kept"):
            train_tiny(data, disk)
        assert (folder_of(disk) / "state.pt").read_bytes() == before
        assert not list(folder_of(disk).glob("*.part"))
        (disk / "filler").unlink()
        assert train_tiny(data, disk).epoch == 2


@pytest.mark.parametrize("file", ["history.csv", "state.pt"])
def test_killed_between_two_files_a_run_is_never_behind_its_history(file, data, tmp_path, monkeypatch):
    train_tiny(data, tmp_path, stop_after=1)

    def killed(path, content):
        if path.name == file:
            raise KeyboardInterrupt
        replace_file(path, content)

    replace_file = runs.replace_file
    with monkeypatch.context() as patch:
        patch.setattr(runs, "replace_file", killed)
        with pytest.raises(KeyboardInterrupt):
            train_tiny(data, tmp_path)
    epochs = [int(row["epoch"]) for row in runs.read_history(folder_of(tmp_path))]
    assert (State.load(folder_of(tmp_path)).epoch, max(epochs)) == (1, 1 if file == "history.csv" else 2)
    assert train_tiny(data, tmp_path).epoch == 2
    assert len(runs.read_history(folder_of(tmp_path))) == 4


def test_missing_compiler_is_said_in_one_line(data, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(speed, "missing_for_compile", lambda device: "no C++ compiler")
    train(Run("tiny", RECIPE, "bn"), data, tmp_path, Execution(stop_after=1), say=lines.append)
    assert lines[0] == "Training without torch.compile (no C++ compiler): same result, but slower."
    assert lines[1].startswith("bn seed 0 epoch 1/2  train loss ")
    assert len(lines) == 2
