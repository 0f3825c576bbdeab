"""What follows from how fast this machine is: precision and compiling, timed once and kept; a decision that is told."""

import json

import pytest
import torch

from tests.support.tiny import OPTIONS, RECIPE, load_tiny
from training import cli
from training.config import Execution, Run
from training.engine import speed, trainer
from training.engine.speed import StepTiming, choose_compile, choose_precision
from training.runs import DOING, iter_runs, read_doing

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    return load_tiny(tmp_path / "data")


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


def test_auto_keeps_the_precision_that_a_run_was_begun_with(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "choose_precision", lambda choice, *_: "fp32" if choice == "auto" else choice)
    command = [
        "train",
        "--norm=nn",
        *(word for word in OPTIONS if "amp" not in word),
        "--epochs=2",
        f"--runs={tmp_path / 'runs'}",
    ]
    assert cli.main([*command, "--amp=bf16", "--stop-after=1"]) == 0
    assert cli.main(command) == 0
    ((_, state),) = iter_runs(tmp_path / "runs")
    assert (state.run.precision, state.epoch) == ("bf16", 2)
