"""A training run: resumed to the same result, refused where it would not be, stopped when asked; its log and speed."""

import csv
import json
import math
import os
import signal
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError, TrainingError
from normzoo.nn.resnet import ResNet
from tests.support.small_disk import fill, small_disk
from tests.support.tiny import OPTIONS, RECIPE, load_tiny, train_tiny
from training import cli, runs
from training import cli as command_line
from training.config import Execution, Run
from training.data.dataset import ImageData, hold_out
from training.engine import speed, trainer
from training.engine.speed import StepTiming, choose_compile, choose_precision
from training.engine.step import TrainStep
from training.engine.trainer import LOGS, open_log, train
from training.runs import DOING, State, iter_runs, read_doing

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


def test_other_settings_and_images_are_refused_by_name(data, tmp_path):
    train_tiny(data, tmp_path, stop_after=1)
    other, changed = ImageData(**{**vars(data), "digest": "0" * 64}), RECIPE.changed(lr=0.02)
    with pytest.raises(TrainingError, match=r"holds a run with other settings \(lr 0.01, now 0.02\)"):
        train_tiny(data, tmp_path, recipe=changed)
    with pytest.raises(TrainingError, match=r"holds a run with other settings \(other images\)"):
        train_tiny(other, tmp_path)


def test_hold_out_has_a_folder_of_its_own_and_it_and_the_image_size_must_be_as_the_run_says(data, tmp_path):
    with pytest.raises(ConfigError, match=r"The run needs a holdout of 0.25, tiny has 0.0\."):
        train(Run("tiny", RECIPE, "bn", holdout=0.25), data, tmp_path)
    with pytest.raises(ConfigError, match="images of 32 px, tiny has 16 px"):
        train_tiny(data, tmp_path, recipe=RECIPE.changed(image_size=32))
    train_tiny(hold_out(data, 0.25), tmp_path, stop_after=1)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny,holdout=0.25"]


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


@pytest.fixture
def press_ctrl_c(monkeypatch):
    """Presses Ctrl-C in the middle of steps, counted from 1, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    made = []

    def arrange(*steps):
        class Interrupting(TrainStep):
            def __call__(self, *batch):
                made.append(len(made) + 1)
                if made[-1] in steps:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().__call__(*batch)

        monkeypatch.setattr(trainer, "TrainStep", Interrupting)
        return made

    yield arrange
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.mark.parametrize(
    ("steps", "options", "code", "epochs", "said"),
    [
        ((5,), [], 130, 2, "Ctrl-C again to stop at once.\nStopped after epoch 2 of 3."),
        ((4, 5), [], 130, 1, "Saved results are kept; the same command resumes."),
        ((3,), ["--stop-after=1"], 0, 1, ""),
    ],
    ids=["once", "twice", "in the last epoch"],
)
def test_ctrl_c_finishes_the_epoch_and_a_second_one_stops_at_once(
    steps, options, code, epochs, said, press_ctrl_c, tmp_path, monkeypatch, capsys
):
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    made = press_ctrl_c(*steps)
    words = ["train", "--norm=bin", *OPTIONS, "--epochs=3", f"--runs={tmp_path / 'runs'}", *options]
    assert command_line.main(words) == code
    ((_, state),) = iter_runs(tmp_path / "runs")
    assert state.epoch == epochs
    assert made[-1] == (steps[-1] if len(steps) > 1 else 3 * epochs)
    assert said in capsys.readouterr().err


NAMES = {f"{split}/{name}" for split in ("train", "val") for name in ("loss", "accuracy", "macro_f1", "micro_f1")} | {"lr"}


@pytest.mark.parametrize("kind", LOGS)
def test_the_figures_of_every_epoch_are_logged(kind, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    told, logged = [], {1: {}, 2: {}}
    api = SimpleNamespace(
        init=lambda **about: told.append((about["project"], about["name"], about["config"]["norm"])),
        log=lambda figures, step: logged[step].update(figures),
        finish=lambda: told.append("closed"),
    )
    writer = SimpleNamespace(
        add_scalar=lambda name, value, epoch: logged[epoch].update({name: value}),
        add_hparams=lambda settings, final, run_name: told.append((settings["norm"], final["final/val/loss"])),
        close=lambda: told.append("closed"),
    )
    fake = SimpleNamespace(SummaryWriter=lambda folder: writer) if kind == "tensorboard" else api
    monkeypatch.setitem(sys.modules, LOGS[kind], fake)
    run, execution = Run("tiny", RECIPE, "nn"), Execution(compile="off", log_to=kind)
    state = train(run, load_tiny(tmp_path / "data"), tmp_path / "runs", execution, say=lambda line: None)
    assert os.environ.pop("WANDB_MODE", "") == ("offline" if kind == "wandb" else "")
    final = ("nn", state.history[-1]["loss"])
    assert told == ([final] if kind == "tensorboard" else [("normzoo-tiny", "quick/nn/seed-0", "nn")]) + ["closed"]
    for row in state.history:
        figures = logged[row["epoch"]]
        assert set(figures) == NAMES
        assert figures[f"{row['split']}/loss"] == row["loss"]


@pytest.mark.parametrize("kind", LOGS)
def test_missing_package_is_named(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, LOGS[kind], None)
    with (
        pytest.raises(ConfigError, match=f"--log-to {kind} needs a package that is not installed: pip install {kind}"),
        open_log(kind, Run("tiny", RECIPE, "nn"), tmp_path),
    ):
        pass


CPU = torch.device("cpu")


@pytest.fixture
def _speeds(tmp_path, monkeypatch):
    """No speed is stored yet, of a processor with bf16."""
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    load_tiny(tmp_path / "data")


@pytest.mark.usefixtures("_speeds")
@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(1.0, 2.0, "fp32"), (2.0, 1.0, "bf16")])
def test_precision_is_the_faster_one_timed_once_for_each_shape(fp32, bf16, chosen, monkeypatch):
    timed = []
    seconds = {"fp32": fp32, "bf16": bf16}

    def time_steps(run, data, device, precision):
        timed.append((precision, run.recipe.batch_size))
        return StepTiming(seconds[precision], 0, 0)

    monkeypatch.setattr(speed, "time_steps", time_steps)
    told = []
    assert {choose_precision("auto", RECIPE, CPU, told.append) for _ in range(2)} == {chosen}
    assert timed == [("fp32", 40), ("bf16", 40)]
    assert all(line.startswith(f"--amp auto uses {chosen}: {40 / fp32:.0f} images/s in fp32") for line in told)
    choose_precision("auto", RECIPE.changed(batch_size=8), CPU, told.append)
    assert timed[2:] == [("fp32", 8), ("bf16", 8)]
    assert choose_precision("bf16", RECIPE, CPU) == "bf16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    assert choose_precision("auto", RECIPE, CPU) == "fp32"  # no hardware for the other


@pytest.mark.usefixtures("_speeds")
@pytest.mark.parametrize(("epochs", "repays"), [(0, False), (3, False), (30, True)])
def test_compiling_is_chosen_where_the_steps_to_come_repay_it(epochs, repays, data, monkeypatch):
    run = Run("tiny", RECIPE, "bn")
    monkeypatch.setattr(speed, "missing_for_compile", lambda device: None)
    monkeypatch.setattr(speed, "time_steps", lambda *_: StepTiming(1.0, 0, 0))  # 3 steps an epoch
    (speed.data_root() / speed.FILE).write_text("[1]")  # what cannot be read is measured again
    assert choose_compile("auto", run, data, CPU, epochs, print) is repays
    assert (choose_compile("on", run, data, CPU, 0, print), choose_compile("off", run, data, CPU, 99, print)) == (True, False)
    if epochs:
        assert list(json.loads((speed.data_root() / speed.FILE).read_text()).values()) == [1.0]


def test_a_run_says_that_it_compiles(data, tmp_path, monkeypatch):
    run, said = Run("tiny", RECIPE.changed(epochs=2), "nn"), []
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)

    class Looking(trainer.TrainStep):
        def __call__(self, *batch):
            said.append(read_doing(run.folder(tmp_path)))
            return super().__call__(*batch)

    monkeypatch.setattr(trainer, "TrainStep", Looking)
    trainer.train(run, data, tmp_path, Execution(compile="on"), say=lambda line: None)
    assert said[0] == "compiling"
    assert said[1] == "epoch 1/2, 33%"
    assert not (run.folder(tmp_path) / DOING).exists()


@pytest.mark.usefixtures("_speeds")
def test_auto_keeps_the_precision_that_a_run_was_begun_with(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "choose_precision", lambda choice, *_: "fp32" if choice == "auto" else choice)
    words = [word for word in OPTIONS if "amp" not in word]
    command = ["train", "--norm=nn", *words, "--epochs=2", f"--runs={tmp_path / 'runs'}"]
    assert cli.main([*command, "--amp=bf16", "--stop-after=1"]) == 0
    assert cli.main(command) == 0
    ((_, state),) = iter_runs(tmp_path / "runs")
    assert (state.run.precision, state.epoch) == ("bf16", 2)
