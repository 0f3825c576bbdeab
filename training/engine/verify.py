"""Do steps that are replayed as a graph, or compiled, or both, train to the same weights as plain ones?"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from normzoo.nn.norms import NORM_LAYERS
from normzoo.nn.resnet import ResNet
from training.data.synthetic import made_up_data
from training.engine.augment import Augmentation, epoch_order
from training.engine.replay import make_replay
from training.engine.static_step import ResidentData, StaticStep
from training.engine.step import TrainStep, learning_rates, missing_for_compile
from training.experiment.provenance import device_name
from training.experiment.recipes import Recipe

STEPS = 50
TOLERANCE = 1e-4
#: Five steps an epoch, the last one smaller.
BATCH_SIZE, NUM_IMAGES = 32, 4 * 32 + 20
# Learning rates that float32 holds exactly, as the tables on the device are float32.
ADAM = Recipe(name="adam", epochs=STEPS // 5, batch_size=BATCH_SIZE, lr=2**-13, schedule="step", step_epochs=5, step_factor=0.5)
SGD = ADAM.changed(
    name="sgd",
    optimizer="sgd",
    lr=2**-7,
    momentum=0.9,
    weight_decay=5e-4,
    clip_norm=1.0,
    label_smoothing=0.1,
    crop_padding=4,
    horizontal_flip=True,
)


@dataclass(frozen=True)
class Difference:
    """How far two trained networks are apart: the largest difference between two weights."""

    norm: str
    recipe: str
    dtype: str
    mode: str
    largest: float

    @property
    def within(self) -> bool:
        return self.largest <= TOLERANCE


def verify(device: torch.device, norms: list[str] | None = None, say: Callable[[str], None] = print) -> list[Difference]:
    """Train each norm for 50 steps in every way there is, from equal weights on equal batches, without TF32.

    Compiled code rounds differently, and Adam makes much of a rounding: its first steps have the size of the learning rate
    whatever the gradient's. So compiled Adam is held against plain Adam in float64.

    Prints a table of the differences from plain steps, and gives them.
    """
    reason = missing_for_compile()
    say(f"{device_name()}, torch {torch.__version__}: {STEPS} steps from equal weights, largest difference from plain steps")
    say(f"{'norm':9s} {'optimizer':9s} {'numbers':8s} {'mode':15s} {'difference':>10s}")
    differences = []
    with _exact(device):
        for recipe, dtype, modes in (
            (ADAM, torch.float32, MODES[:2]),
            (SGD, torch.float32, MODES),
            (ADAM, torch.float64, MODES),
        ):
            data = ResidentData(made_up_data(NUM_IMAGES, recipe.image_size), device, dtype)
            for norm in norms or [*NORM_LAYERS, "torch-bn"]:
                plain = _plain(norm, recipe, data)
                for graph, compiled in modes:
                    if compiled and reason:
                        continue
                    static = _static(norm, recipe, data, graph, compiled)
                    words = (norm, recipe.name, str(dtype).removeprefix("torch."), mode_name(graph, compiled))
                    found = Difference(*words, _largest(static, plain))
                    differences.append(found)
                    verdict = "" if found.within else f"  more than {TOLERANCE:g}"
                    say("{:9s} {:9s} {:8s} {:15s}".format(*words) + f" {found.largest:10.2e}{verdict}")
    if reason:
        say(f"Nothing compiled: {reason}.")
    return differences


#: (graph, compiled)
MODES = ((False, False), (True, False), (False, True), (True, True))


def mode_name(graph: bool, compiled: bool) -> str:
    """How a step is done, in words."""
    return {(False, False): "eager", (True, False): "graph", (False, True): "compiled", (True, True): "compiled graph"}[
        graph, compiled
    ]


def _exact(device: torch.device) -> AbstractContextManager[None]:
    """The same kernels every time, and no TF32: what is left is the difference in question."""
    if device.type == "cpu":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _fresh(norm: str, recipe: Recipe, data: ResidentData) -> ResNet:
    torch.manual_seed(0)
    return ResNet(recipe.depth, norm, data.num_classes)


def _plain(norm: str, recipe: Recipe, data: ResidentData) -> dict[str, Tensor]:
    """As the training loop on a CPU does it: one step after another, nothing in fixed memory."""
    memory_format = torch.channels_last if data.device.type == "cuda" else torch.contiguous_format
    model = _fresh(norm, recipe, data).to(data.device, data.dtype).to(memory_format=memory_format).train()
    step = TrainStep(model, recipe, data.mean, data.std, memory_format=memory_format)
    pixels, labels = data.pixels["train"], data.labels["train"]
    rates = iter(learning_rates(recipe, -(-NUM_IMAGES // BATCH_SIZE)))
    for epoch in range(1, recipe.epochs + 1):
        augment = Augmentation(recipe, NUM_IMAGES, 0, epoch).to(data.device)
        for positions in epoch_order(NUM_IMAGES, 0, epoch).to(data.device).split(BATCH_SIZE):
            step(augment(pixels[positions], positions), labels[positions], next(rates))
    return {name: tensor.detach().cpu() for name, tensor in model.named_parameters()}


def _static(norm: str, recipe: Recipe, data: ResidentData, graph: bool, compiled: bool) -> dict[str, Tensor]:
    step = StaticStep(norm, recipe, data, make_replay(data.device, graph), compiled=compiled)
    step.load(_fresh(norm, recipe, data).state_dict())
    for epoch in range(1, recipe.epochs + 1):
        step.begin_epoch(0, epoch)
        step.train(0, step.steps_per_epoch)
    return step.model_state()


def _largest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """NaN where a weight is no number, which is within no tolerance."""
    return float(torch.stack([(one[name].double() - other[name].double()).abs().max() for name in other]).max())
