"""One run in two processes, over gloo on the CPU: the same result as in one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from normzoo.errors import ConfigError, TrainingError
from normzoo.nn.norms import BatchInstanceNorm, BatchNorm
from tests.support.tiny import FIELDS, RECIPE, ROOT, load_tiny, subprocess_environment
from training.engine.distributed import on_cpu, set_norm_sync
from training.engine.trainer import train
from training.experiment.runs import Run, State

#: 96 images: five batches of 19, and one of a single image, of which the second process has none. Plain SGD: Adam divides
#: by the size of the gradients, and so makes much of the last bits of small ones.
SGD = RECIPE.changed(name="sgd", optimizer="sgd", lr=0.005, momentum=0.9, batch_size=19, clip_norm=1.0)
NORMS = (BatchNorm, BatchInstanceNorm)
SHARES = ((3, 5), (8, 0))
TRAINED = ("bn", "bin", "gn")


def two_processes(function: object, folder: Path, *arguments: object) -> None:
    """Call `function(rank, folder, *arguments)` in two processes that know of each other."""
    torch.multiprocessing.spawn(_join, (function, folder, *arguments), nprocs=2)


def _join(rank: int, function: object, folder: Path, *arguments: object) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    assert callable(function)
    function(rank, folder, *arguments)
    dist.destroy_process_group()


def norm_case(kind: type[nn.Module]) -> tuple[nn.Module, Tensor, Tensor]:
    """A layer whose parameters are not those it begins with, activations and what the loss weighs its output by."""
    draw = torch.Generator().manual_seed(0)
    norm = kind(4, momentum=0.3, dtype=torch.float64)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=draw, dtype=torch.float64))
    x, weights = (torch.randn(8, 4, 5, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    return norm, 3 + x * torch.arange(1.0, 9.0).view(-1, 1, 1, 1), weights


def norm_results(norm: nn.Module, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * weights).sum().backward()
    assert x.grad is not None
    gradients = {name: parameter.grad.clone() for name, parameter in norm.named_parameters() if parameter.grad is not None}
    return {"y": y.detach(), "x gradient": x.grad, **gradients, **{name: each.clone() for name, each in norm.named_buffers()}}


def run_norms(rank: int, folder: Path) -> None:
    for kind in NORMS:
        for sizes in SHARES:
            norm, x, weights = norm_case(kind)
            found = norm_results(norm, x.split(sizes)[rank], weights.split(sizes)[rank])
            torch.save(found, folder / f"{kind.__name__} {sizes} {rank}.pt")
        norm, x, weights = norm_case(kind)
        norm.sync = False
        torch.save(norm_results(norm, x.split(4)[rank], weights.split(4)[rank]), folder / f"{kind.__name__} alone {rank}.pt")
        norm.sync = True
        norm.eval()
        torch.save({"y": norm(x).detach()}, folder / f"{kind.__name__} eval {rank}.pt")


@pytest.fixture(scope="module")
def norm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("norms")
    two_processes(run_norms, folder)
    return folder


def load_both(folder: Path, name: str) -> list[dict[str, Tensor]]:
    return [torch.load(folder / f"{name} {rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("sizes", SHARES, ids=str)
@pytest.mark.parametrize("kind", NORMS)
def test_statistics_are_those_of_the_whole_batch(kind: type[nn.Module], sizes: tuple[int, int], norm_folder: Path) -> None:
    expected = norm_results(*norm_case(kind))
    first, second = load_both(norm_folder, f"{kind.__name__} {sizes}")
    for name, value in expected.items():
        if name in ("y", "x gradient"):
            found = torch.cat([first[name], second[name]])
        elif name in ("weight", "bias", "gate"):  # each process has its part of the sum
            found = first[name] + second[name]
        else:
            torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
            found = first[name]
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", NORMS)
def test_without_sync_each_process_looks_at_its_own_share(kind: type[nn.Module], norm_folder: Path) -> None:
    for rank, found in enumerate(load_both(norm_folder, f"{kind.__name__} alone")):
        norm, x, weights = norm_case(kind)
        torch.testing.assert_close(found, norm_results(norm, x.split(4)[rank], weights.split(4)[rank]), rtol=0, atol=0)


@pytest.mark.parametrize("kind", NORMS)
def test_evaluation_asks_no_other_process(kind: type[nn.Module], norm_folder: Path) -> None:
    first, second = load_both(norm_folder, f"{kind.__name__} eval")
    assert not torch.equal(first["y"], second["y"])  # each by the running statistics of its own share


def run_training(rank: int, folder: Path) -> None:
    data = load_tiny(folder / "data")

    def go(norm: str, runs: str, stop_after: int | None = None, sync: bool = True) -> None:
        train(Run("tiny", SGD, norm), data, folder / runs, stop_after=stop_after, sync_norms=sync, say=lambda line: None)

    for norm in TRAINED:
        go(norm, "two")
    go("bin", "parts", stop_after=1)
    go("bin", "parts")
    go("bn", "apart", sync=False)
    if rank == 1:
        with pytest.raises(ConfigError, match="on GPUs only"):
            set_norm_sync(nn.Sequential(nn.BatchNorm2d(3)), True, torch.device("cpu"))
    folders = [folder / "two", folder / "elsewhere"]
    with pytest.raises(TrainingError, match=r"different epochs\. Give all of them the same --runs folder"):
        train(Run("tiny", SGD, "bn"), data, folders[rank], say=lambda line: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    data = load_tiny(folder / "data")
    for norm in TRAINED:
        train(Run("tiny", SGD, norm), data, folder / "one", compiled=False, say=lambda line: None)
    two_processes(run_training, folder)
    return folder


def state_of(folder: Path, runs: str, norm: str) -> State:
    state = State.load(Run("tiny", SGD, norm).folder(folder / runs))
    assert state is not None
    return state


@pytest.mark.parametrize("norm", TRAINED)
def test_two_processes_train_the_network_that_one_does(norm: str, trained: Path) -> None:
    one, two = (state_of(trained, runs, norm) for runs in ("one", "two"))
    torch.testing.assert_close(two.model, one.model, rtol=1e-4, atol=1e-4)
    for found, expected in zip(two.history, one.history, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)
        for name in ("accuracy", "macro_f1", "micro_f1"):
            assert found[name] == pytest.approx(expected[name], abs=0.05)
    assert (two.sessions[0]["replicas"], two.sessions[0]["compiled"]) == (2, False)


def test_resumed_in_two_processes_it_is_the_same_bit_for_bit(trained: Path) -> None:
    whole, parts = (state_of(trained, runs, "bin") for runs in ("two", "parts"))
    torch.testing.assert_close(parts.model, whole.model, rtol=0, atol=0)
    assert [session["first_epoch"] for session in parts.sessions] == [1, 2]
    assert [{**row, "seconds": 0} for row in parts.history] == [{**row, "seconds": 0} for row in whole.history]


def test_without_sync_the_result_is_another(trained: Path) -> None:
    together, apart = (state_of(trained, runs, "bn") for runs in ("two", "apart"))
    assert not torch.allclose(together.model["norm1.running_var"], apart.model["norm1.running_var"], rtol=1e-3)
    assert apart.sessions[0]["sync_norms"] is False


def test_one_process_writes(trained: Path) -> None:
    assert not (trained / "elsewhere").exists()


def test_everything_that_is_saved_comes_to_the_cpu() -> None:
    nest = {"state": {0: {"step": torch.ones(2)}}, "groups": [{"lr": 0.1, "params": [0, 1]}]}
    torch.testing.assert_close(on_cpu(nest), nest)


def test_torchrun_trains_one_run_in_two_processes(tmp_path: Path) -> None:
    load_tiny(tmp_path / "data")
    fields = [f"--{name.replace('_', '-')}={value}" for name, value in FIELDS.items()]
    command = ["-m", "training", "train", "--norm=bn", "--data=tiny", "--amp=fp32", "--epochs=1", *fields]
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *command]
    result = subprocess.run(
        [*launched, f"--runs={tmp_path / 'runs'}"],
        cwd=ROOT,
        env=subprocess_environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    first, epoch, last = result.stdout.splitlines()
    assert first == "2 processes, each with its share of a batch of 40."
    assert epoch.startswith("bn seed 0 epoch 1/1  train loss ")
    assert last.startswith("bn: 1 of 1 epochs are in ")
