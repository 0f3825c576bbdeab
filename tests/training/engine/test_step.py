"""The network of a run and one training step: learning rates, optimizer, gates, clipping, the loss shown, the figures."""

import copy
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normzoo.errors import ConfigError
from normzoo.images.preprocess import to_input
from normzoo.nn.norms import BatchInstanceNorm, gates
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.registry import load_model
from training.config import Recipe, Run, changed_recipe
from training.engine import metrics
from training.engine.step import TrainStep, class_weights, learning_rates, make_network, make_optimizer, missing_for_compile

CLASSES = 4
HALF = torch.full((3,), 0.5)
RECIPE = Recipe(depth=8, optimizer="sgd", lr=0.1)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def batch(size=8):
    generator = torch.Generator().manual_seed(size)
    pixels = torch.randint(0, 256, (size, 8, 8, 3), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(0, CLASSES, (size,), generator=generator)


def make_step(norm="nn", recipe=RECIPE):
    return TrainStep(ResNet(recipe.depth, norm, CLASSES).train(), recipe, HALF, HALF)


def weights(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


@pytest.mark.parametrize(
    ("recipe", "scheduler"),
    [
        (Recipe(epochs=50), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=50)),
        (Recipe(epochs=50, schedule="step"), lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=10, gamma=0.1)),
        (
            Recipe(epochs=7, schedule="step", step_epochs=3, step_factor=0.5),
            lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=3, gamma=0.5),
        ),
    ],
    ids=["cosine", "step", "step of 3"],
)
def test_schedule_equals_torchs_stepped_once_an_epoch(recipe, scheduler):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    stepped, expected = scheduler(optimizer), []
    for _ in range(recipe.epochs):
        expected += [optimizer.param_groups[0]["lr"]] * 3
        optimizer.step()
        stepped.step()
    assert learning_rates(recipe, 3) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_one_cycle_climbs_from_0_to_the_peak_and_falls_to_0(warmup):
    recipe = Recipe(epochs=10, schedule="one-cycle", warmup=warmup, lr=0.4)
    rates = learning_rates(recipe, 20)
    climb = max(1, round(warmup * 200))
    assert len(rates) == 200
    assert rates[:climb] == pytest.approx([0.4 * (i + 1) / climb for i in range(climb)])
    assert max(rates) == rates[climb] == 0.4
    assert rates[climb:] == sorted(rates[climb:], reverse=True)
    assert 0 < rates[-1] < 0.4 / 1000


@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_gates_alone_are_in_a_group_of_their_own_without_weight_decay(norm):
    model = ResNet(8, norm, CLASSES)
    first, *second = make_optimizer(model, RECIPE.changed(weight_decay=0.1)).param_groups
    gated = gates(model)
    assert len(second) == bool(gated)
    assert len(first["params"]) == len(list(model.parameters())) - len(gated)
    assert first["weight_decay"] == 0.1
    for group in second:
        assert [id(p) for p in group["params"]] == [id(gate) for gate in gated]
        assert group["weight_decay"] == 0
    step = make_step(norm)
    step(*batch(), 0.02)
    assert [group["lr"] for group in step.optimizer.param_groups] == [0.02, 0.2][: 1 + bool(gated)]


def test_gates_that_a_step_itself_pushes_out_are_put_back():
    step = make_step("bin")
    for _ in range(3):
        step(*batch(), 10.0)
        assert all(gate.min() >= 0 and gate.max() <= 1 for gate in step.gates)
    assert any((gate == 0).any() for gate in step.gates)


def test_long_gradients_are_shortened_to_clip_norm():
    moved = {}
    for clip_norm in (0.0, 1e-3):
        step = make_step(recipe=RECIPE.changed(clip_norm=clip_norm))
        before = weights(step.model)
        step(*batch(), 0.1)
        moved[clip_norm] = (weights(step.model) - before).norm().item()
    assert moved[0.0] > 1e-3
    assert moved[1e-3] == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_label_smoothing_changes_the_step_and_not_the_loss_shown():
    pixels, labels = batch()
    after = {}
    for smoothing in (0.0, 0.3):
        torch.manual_seed(0)
        step = make_step(recipe=RECIPE.changed(label_smoothing=smoothing))
        expected = F.cross_entropy(step.model(to_input(pixels, HALF, HALF)), labels).detach()
        shown, _ = step(pixels, labels, 0.1)
        torch.testing.assert_close(shown, expected)
        after[smoothing] = weights(step.model)
    assert not torch.allclose(after[0.0], after[0.3], atol=1e-4)


def test_bf16_keeps_weights_loss_and_statistics_in_float32():
    step = TrainStep(ResNet(8, "bn", CLASSES).train(), RECIPE, HALF, HALF, "bf16")
    shown, _ = step(*batch(), 0.1)
    assert shown.dtype == torch.float32
    assert {tensor.dtype for tensor in step.model.state_dict().values()} == {torch.float32, torch.int64}
    assert shown.isfinite()


def test_missing_compiler_is_the_reason_against_compiling(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert missing_for_compile() == "no C++ compiler"
    monkeypatch.setenv("CXX", "/nowhere/g++")
    assert missing_for_compile() == "no C++ compiler"


class OneLayer(nn.Module):
    """The smallest network with everything a step treats specially."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = BatchInstanceNorm(4)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).square().mean((2, 3)))


@pytest.mark.process
@pytest.mark.skipif(missing_for_compile() is not None, reason=f"nothing can be compiled here: {missing_for_compile()}")
def test_compiled_steps_equal_eager_ones_also_for_a_smaller_last_batch():
    results = []
    for compiled_batch in (8, None):
        torch.manual_seed(0)
        step = TrainStep(OneLayer().train(), RECIPE.changed(momentum=0.9), HALF, HALF, "fp32", compiled_batch)
        with torch._inductor.config.patch(compile_threads=1):  # a pool of compilers would take longer to start
            losses = [step(*batch(size), 0.1)[0] for size in (8, 8, 3)]
        results.append([*losses, *step.model.state_dict().values()])
    for compiled, eager in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)


@pytest.mark.process
def test_more_networks_than_torch_compiles_of_one_function_are_all_compiled(monkeypatch):
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiler(function, backend="eager", dynamic=False))
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        for norm in ("nn", "bn"):
            step = TrainStep(ResNet(8, norm, CLASSES).train(), RECIPE, HALF, HALF, compiled_batch=8)
            step(*batch(), lr=0.1)


def test_an_eager_step_leaves_the_compiler_alone(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("imports the compiler, which takes a second"))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: pytest.fail("imports the compiler"))
    make_step()(*batch(), lr=0.1)


def test_balanced_classes_count_the_same_however_many_images_they_have():
    labels = torch.tensor([0] * 6 + [1, 2])
    recipe = RECIPE.changed(class_weights="balanced")
    found = class_weights(recipe, labels, 3)
    assert class_weights(RECIPE, labels, 3) is None
    assert found[labels].mean() == pytest.approx(1)
    torch.testing.assert_close(found * labels.bincount(), torch.full((3,), 8 / 3))
    pixels, _ = batch(8)
    step = TrainStep(ResNet(8, "gn", 3).train(), recipe, HALF, HALF, weights=found)
    with torch.no_grad():
        logits = step.network(to_input(pixels, HALF, HALF))
    each = F.cross_entropy(logits, labels, reduction="none")
    loss, _ = step._loss(pixels, labels)
    torch.testing.assert_close(loss, torch.stack([each[labels == label].mean() for label in range(3)]).mean())
    shown, _ = step(pixels, labels, 0.1)
    torch.testing.assert_close(shown, each.mean())


@pytest.mark.parametrize("norm", ["bn", "bin", "torch-bn", "gn"])
def test_statistics_of_ghost_batches_are_those_of_a_part_in_training_alone(norm):
    parts, size = 4, 8
    network = make_network(Run("toy", changed_recipe("paper", {}), norm), 4)
    in_parts = make_network(Run("toy", changed_recipe("paper", {"statistics_batch": size}), norm), 4)
    in_parts.load_state_dict(network.state_dict())
    x = torch.randn(parts * size, 3, 16, 16)
    each = torch.cat([copy.deepcopy(network)(part) for part in x.split(size)])
    torch.testing.assert_close(in_parts(x), each)
    assert torch.allclose(network(x), each, atol=1e-3) == (norm == "gn"), "a norm over one image does not change"
    if norm != "gn":
        assert int(in_parts.norm1.num_batches_tracked) == parts
    network.load_state_dict(in_parts.state_dict())
    torch.testing.assert_close(in_parts.eval()(x), network.eval()(x))


def test_a_network_starts_from_packaged_weights_of_its_norm_with_a_new_last_layer(packaged, monkeypatch):
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(packaged / "checkpoints"))
    recipe = changed_recipe("paper", {"start_from": "tiny/quick", "depth": 8})
    assert recipe.name == "paper,depth=8,start_from=tiny+quick"
    start = load_model(packaged / "checkpoints/tiny/quick/bn").network.state_dict()
    found = make_network(Run("toy", recipe, "bn"), 7).state_dict()
    assert found["fc.weight"].shape[0] == 7
    assert all(torch.equal(found[key], start[key]) for key in start if not key.startswith("fc."))
    for changes, norm, said in [({}, "in", "has no in to start from"), ({"depth": 14}, "bn", "depth 14, got 8")]:
        with pytest.raises(ConfigError, match=said):
            make_network(Run("toy", recipe.changed(**changes), norm), 7)
    with pytest.raises(ConfigError, match="no/such"):
        make_network(Run("toy", recipe.changed(start_from="no/such"), "bn"), 7)


def test_figures_are_over_the_classes_that_there_are_images_of_in_float64_and_over_seeds_with_their_deviation():
    logits, labels = F.one_hot(torch.tensor([0, 1, 3]), 5), torch.tensor([0, 1, 1])  # no image of the labels 2, 3 and 4
    assert metrics.from_logits(logits, labels)["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.confusion(logits, labels)[1] == [0, 1, 0, 1, 0], "predictions of the second class, in the second row"
    far = torch.tensor([[30000.0, -30000.0]], dtype=torch.float16)
    assert metrics.from_logits(far, torch.tensor([1]))["loss"] == 2 * far[0, 0].item()
    assert metrics.mean_std([1.0, 3.0]) == {"mean": 2.0, "sd": pytest.approx(2**0.5), "values": [1.0, 3.0]}
    assert metrics.mean_std([0.5])["sd"] is None
