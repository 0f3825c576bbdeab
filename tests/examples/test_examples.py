"""The worked examples in `examples/`: against formulas of their own, through the check, and trained."""

from pathlib import Path

import pytest
import torch
from torch import nn

from normzoo.check.report import check
from normzoo.check.subject import Subject
from normzoo.nn.own_norm import forget_own_norms, name_own_norm, own_sha256, read_own_norm
from tests.support.tiny import RECIPE, load_tiny
from training.config import Execution, Run
from training.engine.trainer import train

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = {
    "FRN": EXAMPLES / "frn.py",
    "SwitchableNorm": EXAMPLES / "switchable.py",
    "RMSNorm": EXAMPLES / "rms.py",
    "PositionLayerNorm": EXAMPLES / "per_position.py",
    "EvoNormS0": EXAMPLES / "evonorm.py",
    "BatchRenorm": EXAMPLES / "batch_renorm.py",
}


def layer(name, channels=6):
    torch.manual_seed(0)
    made = read_own_norm(f"{FILES[name]}:{name}").cls(channels).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made.requires_grad_(False)


def test_filter_response_norm_is_its_formula_value_by_value():
    norm, x = layer("FRN"), torch.randn(2, 6, 3, 4, dtype=torch.float64) + 1
    y = norm(x)
    for n in range(2):
        for c in range(6):
            nu = sum(float(value) ** 2 for value in x[n, c].flatten()) / 12
            expected = float(norm.weight[c]) * x[n, c] / (nu + norm.eps) ** 0.5 + float(norm.bias[c])
            torch.testing.assert_close(y[n, c], expected.clamp_min(float(norm.threshold[c])))


def test_filter_response_norm_without_threshold_has_none():
    norm = read_own_norm(f"{FILES['FRN']}:FRN").cls(4, thresholded=False).requires_grad_(False)
    assert sorted(norm.state_dict()) == ["bias", "weight"]
    assert float(norm(torch.randn(2, 4, 3, 3)).min()) < 0


@pytest.mark.parametrize("training", [True, False])
def test_switchable_norm_is_the_mixture_of_torchs_statistics(training):
    norm, x = layer("SwitchableNorm").train(training), torch.randn(3, 6, 4, 5, dtype=torch.float64) * 2 + 1
    batch = nn.BatchNorm2d(6).double().train(training)
    batch(x)
    if training:
        over = {dims: torch.var_mean(x, dims, correction=0, keepdim=True) for dims in ((2, 3), (1, 2, 3), (0, 2, 3))}
        variances, means = zip(*over.values(), strict=True)
    else:
        instance, whole = (torch.var_mean(x, dims, correction=0, keepdim=True) for dims in ((2, 3), (1, 2, 3)))
        variances = (instance[0], whole[0], batch.running_var.view(1, -1, 1, 1))
        means = (instance[1], whole[1], batch.running_mean.view(1, -1, 1, 1))
    w, v = (torch.exp(shares) / torch.exp(shares).sum() for shares in (norm.mean_shares, norm.var_shares))
    mean = sum(share * each for share, each in zip(w, means, strict=True))
    var = sum(share * each for share, each in zip(v, variances, strict=True))
    expected = norm.weight.view(1, -1, 1, 1) * (x - mean) / (var + norm.eps).sqrt() + norm.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm.running_var, batch.running_var)


def test_norms_of_all_channels_or_of_a_position_are_their_formulas():
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64) + 1
    for name, moments in {"RMSNorm": (x.square(), 0 * x, (1, 2, 3)), "PositionLayerNorm": (x.square(), x, (1,))}.items():
        norm, (squares, firsts, dims) = layer(name), moments
        mean = firsts.mean(dims, keepdim=True)
        expected = (x - mean) / (squares.mean(dims, keepdim=True) - mean**2 + norm.eps).sqrt()
        torch.testing.assert_close(norm(x), expected * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1))


def test_evonorm_is_its_formula_group_by_group():
    norm, x = layer("EvoNormS0", 16), torch.randn(2, 16, 3, 4, dtype=torch.float64) + 1
    y = norm(x)
    for group in range(8):
        part = slice(2 * group, 2 * group + 2)
        v, weight, bias = (each[part].view(1, 2, 1, 1) for each in (norm.v, norm.weight, norm.bias))
        own = torch.stack([each[part].var(correction=0) for each in x]).view(2, 1, 1, 1)
        silu = torch.nn.functional.silu(v * x[:, part]) / v
        torch.testing.assert_close(y[:, part], silu / (own + norm.eps).sqrt() * weight + bias)


def test_batch_renorm_begins_as_batch_norm_and_later_trains_as_it_evaluates():
    norm, batch = layer("BatchRenorm"), nn.BatchNorm2d(6).double()
    batch.load_state_dict(norm.state_dict())
    x = torch.randn(3, 6, 4, 5, dtype=torch.float64) * 2 + 1
    torch.testing.assert_close(norm(x), batch(x))
    torch.testing.assert_close(norm.running_var, batch.running_var)
    norm.num_batches_tracked.fill_(10_000)
    evaluated = norm.eval()(x)
    torch.testing.assert_close(norm.train()(x), evaluated)


@pytest.mark.parametrize("name", FILES)
def test_it_passes_what_holds_for_every_norm(name):
    report = check(Subject(read_own_norm(f"{FILES[name]}:{name}")), with_compiler=False)
    assert report.passed, report.to_text()
    assert report.mistakes == {}


@pytest.mark.parametrize("name", FILES)
def test_it_is_about_forty_lines_with_formula_and_paper(name):
    text = FILES[name].read_text()
    assert "arXiv:" in text.partition("import torch")[0]
    assert len([line for line in text.splitlines() if line.strip()]) <= 65


@pytest.mark.parametrize("name", FILES)
def test_a_few_epochs_lower_the_loss(name, tmp_path):
    try:
        key = name_own_norm(f"{FILES[name]}:{name}")
        data = load_tiny(tmp_path / "data")
        run = Run(data.name, RECIPE.changed(epochs=4), key, norm_sha256=own_sha256(key))
        state = train(run, data, tmp_path / "runs", Execution(compile="off"), say=lambda line: None)
    finally:
        forget_own_norms()
    losses = [row["loss"] for row in state.history if row["split"] == "train"]
    assert losses[-1] < losses[0]
