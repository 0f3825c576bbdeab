"""One run in two processes, over gloo on the CPU: the same result as in one."""

import pytest
import torch
from torch import nn

from normzoo.errors import ConfigError, TrainingError
from tests.support.tiny import RECIPE, load_tiny
from tests.support.warm import two_processes
from training.config import Execution, Run
from training.engine.distributed import on_cpu, synchronize_norms
from training.engine.trainer import train
from training.runs import State

pytestmark = pytest.mark.process

#: 96 images: five batches of 19, and one of a single image, of which the second process has none. Plain SGD: Adam divides
#: by the size of the gradients, and so makes much of the last bits of small ones.
SGD = RECIPE.changed(name="sgd", optimizer="sgd", lr=0.005, momentum=0.9, batch_size=19, clip_norm=1.0)
TRAINED = ("bn", "bin", "gn")


def run_training(rank, folder):
    data = load_tiny(folder / "data")

    def go(norm, runs, stop_after=None, sync=True):
        train(
            Run("tiny", SGD, norm),
            data,
            folder / runs,
            Execution(stop_after=stop_after, sync_norms=sync),
            say=lambda line: None,
        )

    for norm in TRAINED:
        go(norm, "two")
    go("bin", "parts", stop_after=1)
    go("bin", "parts")
    go("bn", "apart", sync=False)
    if rank == 1:
        with pytest.raises(ConfigError, match="--no-sync-norms"):
            synchronize_norms(nn.Sequential(nn.BatchNorm2d(3)), torch.device("cpu"))
    folders = [folder / "two", folder / "elsewhere"]
    with pytest.raises(TrainingError, match="the same --runs folder"):
        train(Run("tiny", SGD, "bn"), data, folders[rank], say=lambda line: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    data = load_tiny(folder / "data")
    for norm in TRAINED:
        train(Run("tiny", SGD, norm), data, folder / "one", Execution(compile="off"), say=lambda line: None)
    two_processes(run_training, folder)
    return folder


def state_of(folder, runs, norm):
    return State.load(Run("tiny", SGD, norm).folder(folder / runs))


@pytest.mark.parametrize("norm", TRAINED)
def test_two_processes_train_the_network_that_one_does(norm, trained):
    one, two = (state_of(trained, runs, norm) for runs in ("one", "two"))
    torch.testing.assert_close(two.model, one.model, rtol=1e-4, atol=1e-4)
    for found, expected in zip(two.history, one.history, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)
        for name in ("accuracy", "macro_f1", "micro_f1"):
            assert found[name] == pytest.approx(expected[name], abs=0.05)
    assert (two.sessions[0]["replicas"], two.sessions[0]["compiled"]) == (2, False)


def test_resumed_in_two_processes_it_is_the_same_bit_for_bit(trained):
    whole, parts = (state_of(trained, runs, "bin") for runs in ("two", "parts"))
    torch.testing.assert_close(parts.model, whole.model, rtol=0, atol=0)
    assert [session["first_epoch"] for session in parts.sessions] == [1, 2]
    assert [{**row, "seconds": 0} for row in parts.history] == [{**row, "seconds": 0} for row in whole.history]


def test_without_sync_the_result_is_another(trained):
    together, apart = (state_of(trained, runs, "bn") for runs in ("two", "apart"))
    assert not torch.allclose(together.model["norm1.running_var"], apart.model["norm1.running_var"], rtol=1e-3)
    assert apart.sessions[0]["sync_norms"] is False


def test_one_process_writes(trained):
    assert not (trained / "elsewhere").exists()


def test_everything_that_is_saved_comes_to_the_cpu():
    nest = {"state": {0: {"step": torch.ones(2)}}, "groups": [{"lr": 0.1, "params": [0, 1]}]}
    torch.testing.assert_close(on_cpu(nest), nest)
