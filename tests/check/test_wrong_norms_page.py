"""The page on wrong norms: its six layers are right, its mistakes are the check's, its numbers those of the layers."""

import re
from pathlib import Path

import pytest
import torch

from normzoo import ResNet
from normzoo.check.checks import FORMULA_CHECKS, GENERIC_CHECKS
from normzoo.check.mistakes import BY_KEY, catalogue
from normzoo.check.report import check
from normzoo.check.subject import Subject
from normzoo.nn.own_norm import run_source
from normzoo.nn.registry import NORM_LAYERS
from normzoo.pretrained.registry import get_model_set
from tests.support.own_norms import wrong

PAGE = Path(__file__).parents[2] / "docs" / "wrong-norms.md"
TEXT = PAGE.read_text()
CODE = re.search(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[1]
LAYERS = {cls.__name__: "own" if key == "nn" else key for key, cls in NORM_LAYERS.items()}


def test_six_layers_take_sixty_lines():
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 60
    assert set(re.findall(r"^class (\w+)", CODE, re.MULTILINE)) == set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_each_of_the_six_is_right(name):
    report = check(Subject(run_source(CODE, name, PAGE), LAYERS[name]), with_compiler=False)
    assert report.passed, report.to_text()


def test_seventeen_mistakes_are_named_as_the_check_names_them():
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)`.* \| ([^|]+) \|$", TEXT, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 18))
    assert {key for _, key, _ in rows} <= set(BY_KEY)
    checks = {each.__doc__.strip() for each in (*FORMULA_CHECKS, *GENERIC_CHECKS)}
    for _, _, cell in rows:
        assert cell.replace("`", "").split(", ")[0] in checks or cell.replace("`", "") in checks


def test_the_catalogue_is_that_of_the_check():
    assert f"catalogue() -->\n{catalogue()}\n<!-- /mistakes" in TEXT


def test_the_figures_are_of_the_networks_that_are_packaged():
    """Of others they would be worth nothing: then `python -m tests.wrong_norms_bench` measures them anew."""
    stated = re.search(r"`tiny-imagenet-25/strong` network \(([^)]+)\)", TEXT)[1].replace("%", "").split(", ")
    checkpoints = get_model_set("tiny-imagenet-25/strong").checkpoints
    for words in stated:
        name, accuracy = words.split()
        values = checkpoints[name.lower()].metrics["final"]["val"]["accuracy"]["values"]
        assert f"{100 * values[0]:.1f}" == accuracy


def test_the_groups_have_no_say_over_rows():
    x = torch.randn(2, 16, 4, 4)
    outputs = [wrong.GroupNormOverRows(16, groups)(x) for groups in (2, 4, 16)]
    assert all(torch.equal(each, outputs[0]) for each in outputs)


def test_unbiased_outputs_are_too_small_by_the_root_of_three_quarters():
    x = torch.randn(2, 4, 2, 2, dtype=torch.float64)
    ratio = wrong.UnbiasedInstanceNorm(4, eps=1e-12).double()(x) / wrong.Base(4, eps=1e-12).double()(x)
    torch.testing.assert_close(1 - ratio.mean(), torch.tensor(0.134, dtype=torch.float64), atol=5e-4, rtol=0)


@pytest.mark.parametrize(("offset", "layer_norm", "centred"), [(100, 0.002, 2e-5), (1000, 0.5, 1e-4), (10000, 1000, 2e-3)])
def test_cancellation_has_the_errors_of_the_page(offset, layer_norm, centred):
    torch.manual_seed(0)
    x = torch.randn(4, 16, 8, 8, dtype=torch.float64) + offset
    for kind, told in ((wrong.CancellingLayerNorm, layer_norm), (wrong.Base, centred)):
        error = float((kind(16)(x.float()) - kind(16).double()(x)).detach().abs().max())
        assert told / 3 < error < told * 3


def test_remembered_variances_are_an_eighth_too_small():
    x = torch.randn(2, 4, 2, 2)
    right, biased = wrong.BatchBase(4, momentum=1.0), wrong.BiasedMemoryBatchNorm(4, momentum=1.0)
    right(x), biased(x)
    torch.testing.assert_close(biased.running_var / right.running_var, torch.full((4,), 7 / 8))


def test_weights_for_every_pixel_are_as_many_as_the_page_says():
    sizes = {16: 32, 32: 16, 64: 8}
    per_channel = [p.numel() for name, p in ResNet(14, "ln").named_parameters() if "norm" in name]
    assert sum(per_channel) == 928
    assert sum(count * sizes[count] ** 2 for count in per_channel) == 262_144
