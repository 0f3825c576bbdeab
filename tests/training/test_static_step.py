"""The step that a GPU replays, by its double on the CPU: same weights as the plain loop, and safe to capture."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from normzoo.nn.norms import NORM_LAYERS
from normzoo.nn.resnet import ResNet
from tests.support.tiny import RECIPE, load_tiny, train_tiny
from training.data.dataset import ImageData
from training.engine.replay import CpuReplay, capturable
from training.engine.static_step import ResidentData, StaticStep
from training.experiment.recipes import Recipe
from training.experiment.runs import State

CPU = torch.device("cpu")
# Learning rates that float32 holds exactly: with them the double is equal to the last bit.
ADAM = RECIPE.changed(epochs=4, lr=2**-7, schedule="step", step_epochs=1, step_factor=0.5)
SGD = ADAM.changed(
    optimizer="sgd",
    momentum=0.9,
    weight_decay=5e-4,
    clip_norm=1.0,
    label_smoothing=0.1,
    crop_padding=2,
    horizontal_flip=True,
)
PLAIN_SGD = ADAM.changed(optimizer="sgd")
KINDS = [
    *((norm, ADAM) for norm in [*NORM_LAYERS, "torch-bn"]),
    *((norm, SGD) for norm in NORM_LAYERS),
    ("bn", PLAIN_SGD),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    return load_tiny(tmp_path_factory.mktemp("data"))


def static_step(data: ImageData, norm: str, recipe: Recipe, state: State | None = None, **options: Any) -> StaticStep:
    step = StaticStep(norm, recipe, ResidentData(data, CPU), CpuReplay(), **options)
    torch.manual_seed(0)
    fresh = ResNet(recipe.depth, norm, len(data.classes)).state_dict()
    step.load(state.model if state else fresh, state.optimizer if state else None)
    return step


def train_epochs(step: StaticStep, epochs: range) -> StaticStep:
    for epoch in epochs:
        step.begin_epoch(0, epoch)
        step.train(0, step.steps_per_epoch)
        step.validate()
    return step


@pytest.mark.parametrize(("norm", "recipe"), KINDS, ids=[f"{norm} {recipe.optimizer}" for norm, recipe in KINDS])
def test_the_double_trains_as_the_plain_loop_bit_for_bit(norm: str, recipe: Recipe, data: ImageData, tmp_path: Path) -> None:
    expected = train_tiny(data, tmp_path, norm, recipe=recipe)
    step = train_epochs(static_step(data, norm, recipe), range(1, 5))
    torch.testing.assert_close(step.model_state(), dict(expected.model), rtol=0, atol=0)
    optimizer = step.optimizer_state(4)
    torch.testing.assert_close(optimizer["state"], expected.optimizer["state"], rtol=0, atol=0)
    assert optimizer["param_groups"] == expected.optimizer["param_groups"]
    assert step.training_results()[0] == expected.history[-2]["loss"]
    assert step.epoch_lr(4) == expected.history[-2]["lr"]


@pytest.mark.parametrize(("norm", "recipe"), [("bin", ADAM), ("bn", SGD)])
def test_the_double_goes_on_from_the_middle_of_a_plain_run(norm: str, recipe: Recipe, data: ImageData, tmp_path: Path) -> None:
    whole = train_tiny(data, tmp_path / "whole", norm, recipe=recipe)
    half = train_tiny(data, tmp_path / "half", norm, recipe=recipe, stop_after=2)
    step = train_epochs(static_step(data, norm, recipe, half), range(3, 5))
    torch.testing.assert_close(step.model_state(), dict(whole.model), rtol=0, atol=0)


def test_a_step_serves_one_seed_after_another(data: ImageData, tmp_path: Path) -> None:
    step = train_epochs(static_step(data, "bn", ADAM), range(1, 3))
    torch.manual_seed(1)
    step.load(ResNet(ADAM.depth, "bn", len(data.classes)).state_dict())
    for epoch in range(1, 5):
        step.begin_epoch(1, epoch)
        step.train(0, step.steps_per_epoch)
    expected = train_tiny(data, tmp_path, "bn", seed=1, recipe=ADAM)
    torch.testing.assert_close(step.model_state(), dict(expected.model), rtol=0, atol=0)


@pytest.mark.parametrize("recipe", [RECIPE, RECIPE.changed(rotation_degrees=20.0)], ids=["cosine", "rotated"])
def test_the_double_is_close_where_rounding_differs(recipe: Recipe, data: ImageData, tmp_path: Path) -> None:
    smooth = recipe.changed(optimizer="sgd")
    expected = train_tiny(data, tmp_path, recipe=smooth)
    step = train_epochs(static_step(data, "bn", smooth), range(1, 3))
    torch.testing.assert_close(step.model_state(), dict(expected.model), rtol=1e-4, atol=1e-4)


def test_channels_last_takes_and_gives_states_in_the_usual_layout(data: ImageData, tmp_path: Path) -> None:
    half = train_tiny(data, tmp_path / "half", recipe=SGD, stop_after=2)
    step = static_step(data, "bn", SGD, half, memory_format=torch.channels_last)
    assert step.step.parameters[0].is_contiguous(memory_format=torch.channels_last)
    given = [*step.model_state().values(), *tree_leaves(step.optimizer_state(2)["state"])]
    expected = [*half.model.values(), *tree_leaves(half.optimizer["state"])]
    torch.testing.assert_close(given, expected, rtol=0, atol=0)
    assert all(tensor.is_contiguous() for tensor in given)
    whole = train_tiny(data, tmp_path / "whole", recipe=SGD)
    torch.testing.assert_close(train_epochs(step, range(3, 5)).model_state(), dict(whole.model), rtol=1e-3, atol=1e-3)


def lasting(step: StaticStep) -> dict[str, Tensor]:
    """Everything that a captured step may find at the same place at the next replay; gradients are made within the step."""
    tensors = {f"model {name}": tensor for name, tensor in step.model.named_parameters()}
    tensors |= {f"model {name}": tensor for name, tensor in step.model.named_buffers()}
    for index, state in step.step.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer {index} {name}": tensor for name, tensor in state.items()}
    for owner in (step, step.data):
        tensors |= {f"{owner} {name}": value for name, value in vars(owner).items() if isinstance(value, Tensor)}
    for split in ("train", "val"):
        tensors |= {f"pixels {split}": step.data.pixels[split], f"labels {split}": step.data.labels[split]}
    return tensors


class CaptureRules(TorchDispatchMode):
    """What a CUDA graph cannot hold is an error: waiting for the device, and memory that nothing keeps in place."""

    #: Operations whose result the host reads, or whose input the host makes.
    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero", "lift_fresh", "item")

    def __init__(self, known: dict[str, Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known.values()}
        self.made: list[Tensor] = []  # kept, so that no address is given out twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name.startswith("index") and any(
            isinstance(each, Tensor) and each.dtype == torch.bool for each in tree_leaves(args[1:])
        )
        if name in self.WAITING or masks:
            raise AssertionError(f"a captured step may not wait for the device, but calls {name}")
        for tensor in tree_leaves((args, kwargs or {})):
            if isinstance(tensor, Tensor) and tensor.numel() and tensor.untyped_storage().data_ptr() not in self.known:
                raise AssertionError(f"{name} reads memory that is neither lasting nor made in this step: {tensor.shape}")
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.made.append(tensor)
                self.known.add(tensor.untyped_storage().data_ptr())
        return result


@pytest.mark.parametrize(("norm", "recipe"), KINDS, ids=[f"{norm} {recipe.optimizer}" for norm, recipe in KINDS])
def test_a_step_neither_waits_nor_moves(norm: str, recipe: Recipe, data: ImageData) -> None:
    step = static_step(data, norm, recipe)
    before = {name: tensor.data_ptr() for name, tensor in lasting(step).items()}
    for epoch in (1, 2):
        step.begin_epoch(0, epoch)
        for first in range(step.steps_per_epoch):  # the last one is smaller
            with CaptureRules(lasting(step)):
                step.train(first, first + 1)
        with CaptureRules(lasting(step)):
            step.validate()
    step.load(step.model_state(), step.optimizer_state(2))
    assert {name: tensor.data_ptr() for name, tensor in lasting(step).items()} == before


def test_the_capture_rules_catch_waiting_and_foreign_memory() -> None:
    x, foreign = torch.ones(3), torch.ones(3)
    known = {"x": x}
    with CaptureRules(known):
        (x * 2 + x).sum()
    with CaptureRules(known), pytest.raises(AssertionError, match="may not wait"):
        x.sum().item()
    with CaptureRules(known), pytest.raises(AssertionError, match="may not wait"):
        x[x > 0]
    with CaptureRules(known), pytest.raises(AssertionError, match="may not wait"):
        torch.tensor([1.0, 2.0])
    with CaptureRules(known), pytest.raises(AssertionError, match="neither lasting nor made"):
        x + foreign


def test_optimizers_are_capturable_only_while_they_are_captured() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True)
    with capturable(optimizer):
        assert optimizer.param_groups[0]["capturable"] is True
    assert optimizer.param_groups[0]["capturable"] is False
