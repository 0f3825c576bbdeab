"""Figures that go to TensorBoard, trackio or W&B besides: what is sent, and what is said where the package is missing."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from normzoo.errors import ConfigError
from tests.support.tiny import RECIPE, load_tiny
from training.config import Execution, Run
from training.engine.trainer import LOGS, import_log, open_log, train

NAMES = {f"{split}/{name}" for split in ("train", "val") for name in ("loss", "accuracy", "macro_f1", "micro_f1")} | {"lr"}


def train_and_log(folder, kind):
    run = Run("tiny", RECIPE, "nn")
    state = train(
        run, load_tiny(folder / "data"), folder / "runs", Execution(compile="off", log_to=kind), say=lambda line: None
    )
    return [{row["split"]: row["loss"] for row in state.history[first : first + 2]} for first in (0, 2)]


@pytest.mark.parametrize("kind", ["trackio", "wandb"])
def test_trackio_and_wandb_get_the_figures_of_every_epoch(kind, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    told = []
    fake = SimpleNamespace(
        init=lambda **about: told.append(("init", about["project"], about["name"], about["config"]["norm"])),
        log=lambda figures, step: told.append((step, figures)),
        finish=lambda: told.append(("finish",)),
    )
    monkeypatch.setitem(sys.modules, kind, fake)
    losses = train_and_log(tmp_path, kind)
    assert os.environ.pop("WANDB_MODE", "") == ("offline" if kind == "wandb" else "")
    begin, *epochs, end = told
    assert (begin, end) == (("init", "normzoo-tiny", "quick/nn/seed-0", "nn"), ("finish",))
    assert [step for step, _ in epochs] == [1, 2]
    for (_, figures), loss in zip(epochs, losses, strict=True):
        assert isinstance(figures, dict)
        assert set(figures) == NAMES
        assert (figures["train/loss"], figures["val/loss"]) == (loss["train"], loss["val"])


def test_tensorboard_gets_the_figures_of_every_epoch(tmp_path, monkeypatch):
    told = []

    class Writer:
        def __init__(self, folder):
            told.append((Path(folder).name,))

        def add_scalar(self, name, value, epoch):
            told.append((name, value, epoch))

        def add_hparams(self, settings, final, run_name):
            told.append(("hparams", settings["norm"], final["final/val/loss"]))

        def close(self):
            told.append(("closed",))

    monkeypatch.setitem(sys.modules, LOGS["tensorboard"], SimpleNamespace(SummaryWriter=Writer))
    losses = train_and_log(tmp_path, "tensorboard")
    assert (told[0], told[-1]) == (("tensorboard",), ("closed",))
    assert told[-2] == ("hparams", "nn", losses[-1]["val"])
    assert {name for name, *_ in told[1:-2]} == NAMES
    assert [value for name, value, _ in told[1:-2] if name == "val/loss"] == [loss["val"] for loss in losses]


@pytest.mark.parametrize("kind", LOGS)
def test_missing_package_is_named(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, LOGS[kind], None)
    with (
        pytest.raises(ConfigError, match=f"--log-to {kind} needs a package that is not installed: pip install {kind}"),
        open_log(kind, Run("tiny", RECIPE, "nn"), tmp_path),
    ):
        pass


def test_unknown_log_is_refused():
    with pytest.raises(ConfigError, match="log-to must be one of tensorboard, trackio, wandb, got 'paper'"):
        import_log("paper")
