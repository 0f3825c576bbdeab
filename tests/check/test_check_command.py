"""`normzoo check FILE.py:CLASS` on the command line: what it prints, its exit code, how a constructor is called."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch

from normzoo.__main__ import main
from normzoo.check.checks import GENERIC_CHECKS
from normzoo.check.report import check
from normzoo.check.subject import Subject
from normzoo.check.trace import find_roles
from normzoo.errors import ConfigError
from normzoo.nn.own_norm import parse_arguments, read_own_norm
from normzoo.testing import check_norm
from tests.support import warm
from tests.support.own_norms import wrong

LAYERS = Path(__file__).parents[1] / "support" / "own_norms"


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch):
    """Leave out torch.compile, which takes seconds in each process."""
    monkeypatch.setattr("normzoo.check.report.GENERIC_CHECKS", GENERIC_CHECKS[:-1])


def words(capsys):
    """What was printed, in a line; nothing is wider than a terminal."""
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    return " ".join(out.split())


def test_a_right_layer_gives_ticks_and_exit_code_0(monkeypatch, capsys):
    monkeypatch.setattr("normzoo.check.report.GENERIC_CHECKS", GENERIC_CHECKS)
    assert main(["check", f"{LAYERS / 'legitimate.py'}:AnnotatedBatchNorm", "--verbose"]) == 0
    out = words(capsys)
    assert "behaves as batch normalization (960 of 960 values equal in training)" in out
    assert "✗" not in out
    assert "✓ torch.compile gives the same output" in out


def test_a_wrong_layer_gives_a_cross_the_line_of_the_formula_and_exit_code_1(capsys):
    assert main(["check", f"{LAYERS / 'wrong.py'}:InterleavedGroupNorm", "--as", "gn"]) == 1
    out = words(capsys)
    assert "✗ output in training" in out
    assert "→ channel c goes into group c mod G" in out
    assert "reshape to (N, G, C/G, H, W)" in out


def test_json_says_the_same(capsys):
    assert main(["check", f"{LAYERS / 'wrong.py'}:UpdatedTwice", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["layer"], report["as"], report["passed"]) == ("UpdatedTwice", "bn", False)
    assert [each["mistake"] for each in report["diagnosis"]] == ["updated-twice"]
    failed = [each["name"] for each in report["checks"] if not each["passed"]]
    assert failed == ["running statistics after three batches", "output and gradient in evaluation"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("nowhere.py:FRN", "nowhere.py cannot be read"),
        (f"{LAYERS / 'legitimate.py'}:Missing", "has no torch.nn.Module 'Missing'"),
        (f"{LAYERS / 'legitimate.py'}", "as FILE.py:CLASS. Its layers are:"),
    ],
)
def test_a_layer_that_cannot_be_found_is_explained(words, sentence, capsys):
    assert main(["check", words]) == 2
    assert sentence in capsys.readouterr().err


def write(folder: Path, text: str) -> Path:
    path = folder / "own.py"
    path.write_text(f"import torch\nfrom torch import nn\n\n\n{text}")
    return path


def test_a_file_with_an_error_is_explained(tmp_path, capsys):
    assert main(["check", f"{write(tmp_path, 'raise OSError(7)')}:X"]) == 2
    assert "cannot be run: OSError: 7. Fix it." in capsys.readouterr().err


def test_an_argument_that_nobody_knows_is_asked_for(tmp_path, capsys):
    path = write(
        tmp_path, "class Odd(nn.Identity):\n    def __init__(self, num_channels, flavour):\n        super().__init__()"
    )
    assert main(["check", f"{path}:Odd"]) == 2
    assert "--args 'flavour=…'" in capsys.readouterr().err
    assert main(["check", f"{path}:Odd", "--args", "flavour='sweet'", "--as", "own"]) == 0


def test_torchs_own_layer_norm_is_built_by_its_shape_and_told_from_one_with_a_value_per_channel():
    subject = Subject(read_own_norm(f"{LAYERS / 'wrong.py'}:PixelwiseLayerNorm"), "ln", "shape=(C, H, W)")
    assert subject.untouched().weight.shape == (16, 4, 5)


def test_a_norm_that_nobody_has_heard_of_is_checked_for_what_holds_for_all(tmp_path):
    path = write(
        tmp_path,
        "class Odd(nn.Module):\n"
        "    def __init__(self, width):\n"
        "        super().__init__()\n"
        "        self.a = nn.Parameter(torch.ones(width))\n"
        "    def forward(self, x):\n"
        "        return torch.tanh(x) * self.a[:, None, None]\n",
    )
    subject = Subject(read_own_norm(str(path)))
    assert subject.kind == "own"
    assert check(subject).passed


def test_a_layer_without_gradient_fails_what_holds_for_all(tmp_path):
    path = write(
        tmp_path,
        "class Cut(nn.Module):\n    def __init__(self, c):\n        super().__init__()\n"
        "    def forward(self, x):\n        return x - x.mean((2, 3), keepdim=True).detach()\n",
    )
    report = check(Subject(read_own_norm(f"{path}:Cut"), "in"))
    assert not report.passed


def test_identify_says_what_it_is_and_checks_nothing(capsys):
    layer = f"{LAYERS / 'legitimate.py'}:ConvNeXtStyle"
    assert main(["identify", layer]) == 0
    assert "layer normalization per position" in words(capsys)
    assert main(["identify", layer, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "ln-position"


@pytest.mark.parametrize("layer", ["UnbiasedInstanceNorm", "EpsOnDeviationBatchNorm"])
def test_one_of_ones_own_gets_the_verdict_that_no_word_gives(layer):
    own = read_own_norm(f"{LAYERS / 'wrong.py'}:{layer}")
    first, second = (check(Subject(own, kind)) for kind in (None, "own"))
    assert first == second


def test_a_test_suite_beside_a_gpu_may_have_used_autograd_before(tmp_path):
    code = "import torch; from torch import nn; from normzoo.testing import check_norm\n"
    code += "torch._C._ensureCUDADeviceGuardSet(); torch.ones((), requires_grad=True).backward()\n"  # as with a GPU
    code += "print(check_norm(nn.BatchNorm2d).passed)"
    assert warm.run([sys.executable, "-c", code], tmp_path, dict(os.environ), LAYERS.parents[2]) == (0, "True\n", "")


def test_a_test_suite_has_it_in_a_line():
    assert check_norm(torch.nn.GroupNorm, "gn").kind == "gn"
    with pytest.raises(AssertionError, match="channel c goes into group c mod G"):
        check_norm(wrong.InterleavedGroupNorm, "gn")


RENAMED = """
import torch

class Batch(torch.nn.BatchNorm2d):
    def __init__(self, num_features, e=1e-5, mom=0.1):
        super().__init__(num_features, e, mom)
"""


def test_an_argument_is_known_by_any_of_its_names_and_must_be_a_number(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(RENAMED)
    layer = f"{tmp_path / 'mine.py'}:Batch"
    assert main(["check", layer, "--as", "bn", "--args", "mom=0.2, e=0.01"]) == 0
    for argument in ("mom=None", "e=None", "mom=True"):
        assert main(["check", layer, "--as", "bn", "--args", argument]) == 2
        assert "must be a number" in capsys.readouterr().err


def test_roles_are_found_whatever_the_style_of_their_names():
    layer = torch.nn.Module()
    layer.register_buffer("runningMean", torch.zeros(4))
    layer.register_buffer("moving_Var", torch.ones(4))
    assert set(find_roles(layer)) == {"running_mean", "running_var"}


def test_arguments_are_literals_or_sizes():
    assert parse_arguments("shape=(C, H), bias=False", {"C": 16, "H": 4}) == {"shape": (16, 4), "bias": False}
    for words in ("8", "a=open('x')", "a=", "**{}"):
        with pytest.raises(ConfigError, match="--args must be comma-separated NAME=VALUE"):
            parse_arguments(words, {"C": 16})
