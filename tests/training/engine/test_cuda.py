"""On a GPU: compiled, eager and resumed runs agree, and agree with the CPU. `pytest -m cuda`."""

import pytest
import torch

from normzoo.nn.registry import NORM_LAYERS
from tests.support.tiny import RECIPE
from training.bench import bench
from training.config import Execution, Run
from training.data.dataset import made_up_data
from training.engine.trainer import train

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.filterwarnings("default"),  # a GPU machine has a torch of its own, which warns of other things
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU here"),
]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
NORMS = (*NORM_LAYERS, "torch-bn")
#: Plain SGD, and a last batch that is smaller: Adam makes much of the last bits of small gradients.
SGD = RECIPE.changed(name="sgd", optimizer="sgd", lr=0.005, momentum=0.9, batch_size=32, image_size=32, epochs=3, clip_norm=1.0)


@pytest.fixture(autouse=True)
def _exact():
    """The same kernels every time, and no TF32: what is left is the difference in question."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def trained(norm, folder, device, compiled=False, stop_after=None):
    run = Run("made-up", SGD, norm)
    data = made_up_data(4 * 32 + 20)
    execution = Execution(device.type, "on" if compiled else "off", stop_after=stop_after)
    return train(run, data, folder, execution, say=lambda line: None)


def assert_close(one, other, tolerance):
    torch.testing.assert_close(one.model, other.model, rtol=tolerance, atol=tolerance)
    for found, expected in zip(one.history, other.history, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=10 * tolerance)


@pytest.mark.parametrize("norm", NORMS)
def test_a_gpu_trains_the_network_that_a_cpu_does(norm, tmp_path):
    assert_close(trained(norm, tmp_path / "gpu", GPU), trained(norm, tmp_path / "cpu", CPU), 1e-3)


@pytest.mark.parametrize("norm", NORMS)
def test_compiled_steps_equal_eager_ones(norm, tmp_path):
    assert_close(trained(norm, tmp_path / "compiled", GPU, compiled=True), trained(norm, tmp_path / "eager", GPU), 1e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_resumed_run_is_the_uninterrupted_one(compiled, tmp_path):
    whole = trained("bin", tmp_path / "whole", GPU, compiled)
    trained("bin", tmp_path / "parts", GPU, compiled, stop_after=1)
    assert_close(trained("bin", tmp_path / "parts", GPU, compiled), whole, 1e-5)


def test_what_a_gpu_saved_goes_on_on_a_cpu(tmp_path):
    trained("bn", tmp_path, GPU, stop_after=1)
    state = trained("bn", tmp_path, CPU)
    assert state.is_finished
    assert {tensor.device.type for tensor in state.model.values()} == {"cpu"}


def test_the_benchmark_measures_every_mode(tmp_path):
    rows = bench(GPU, 5, ["bn"], out=tmp_path / "gpu.json", say=lambda line: None)
    assert [(row["mode"], row["ours_ms"] > 0, row["theirs_ms"] > 0) for row in rows] == [
        ("eager", True, True),
        ("compiled", True, True),
    ]
