"""What no known mistake explains is measured: the factors in the sentence are those in the layer."""

import pytest
import torch

from normzoo.check.report import check
from normzoo.check.subject import Subject
from normzoo.nn.own_norm import read_own_norm

LAYER = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, num_channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(num_channels)), nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def forward(self, x):
        mean, var, w, b = self.running_mean, self.running_var, self.weight, self.bias
        share, before, n = self.momentum, self.running_mean, x.numel() / x.shape[1]
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            kept, new = 1 - share, share
            {memory}
            with torch.no_grad():
                self.running_mean = kept * self.running_mean + new * mean
                self.running_var = (1 - share) * self.running_var + share * var * n / (n - 1)
        {line}
        std = (var + self.eps).sqrt()
        {late}
        y = (x - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1) * w.view(1, -1, 1, 1) + b.view(1, -1, 1, 1)
        {last}
        return y
"""


@pytest.mark.parametrize(
    ("place", "code", "parts"),
    [
        ("line", "mean = 0.9 * mean", ["subtracts 0.9 · mean"]),
        ("line", "mean = 0.6 * mean + 0.4 * before if self.training else mean", ["0.6 · mean + 0.4 · running mean"]),
        ("line", "var = 4 * var + mean ** 2", ["4 · variance", "mean²"]),
        ("line", "var = var if self.training else var + 0.2", ["In evaluation", "running variance + 0.21"]),
        ("late", "std = 1.25 * std", ["0.8 times"]),
        ("late", "std = 2 * std ** 3", ["2 · (variance + ε)^1.5"]),
        ("late", "w = w.roll(1)", ["weight of the channel before"]),
        ("late", "b = 2 * b", ["2 · bias"]),
        ("last", "y = torch.cat([y[:, :5], x[:, 5:6], y[:, 6:]], 1)", ["only in channel 5", "the output is the input"]),
        ("memory", "kept, new = 0.9, 0.2", ["running_mean becomes 0.9 · old + 0.2 · mean", "0.7 · old + 0.3 · mean"]),
        ("memory", "self.running_var = self.running_var + (mean - before) ** 2", ["variance of the batch", "running mean)²"]),
        ("memory", "kept, new = (1, 0) if self.running_mean.any() else (kept, new)", ["running_mean becomes old"]),
    ],
)
def test_what_a_layer_computes_instead_is_told_with_its_numbers(place, code, parts, tmp_path):
    lines = dict.fromkeys(("memory", "line", "late", "last"), "pass") | {place: code}
    report = report_on(LAYER.format(**lines), tmp_path)
    assert not report.passed
    assert [part for part in parts if part not in report.remark] == [], report.remark


def test_without_a_mistake_there_is_nothing_to_tell(tmp_path):
    report = report_on(LAYER.format(**dict.fromkeys(("memory", "line", "late", "last"), "pass")), tmp_path)
    assert report.passed
    assert report.remark == ""


def test_a_weight_stored_less_one_starts_at_zero(tmp_path):
    for start, is_right in ((0, True), (1, False)):
        text = LAYER.format(memory="pass", line="pass", late="w = 1 + w", last="pass")
        text = text.replace("nn.Parameter(torch.ones(", f"nn.Parameter({start} * torch.ones(")
        assert report_on(text, tmp_path).passed is is_right


def test_a_layer_that_raises_while_it_is_measured_gets_its_report(tmp_path):
    text = LAYER.format(memory="pass", line="assert len(x) < 9", late="std = std.sin()", last="pass")
    assert report_on(text, tmp_path).kind == "own"


def report_on(text, folder):
    (folder / "own.py").write_text(text)
    torch.manual_seed(0)
    return check(Subject(read_own_norm(f"{folder / 'own.py'}:Own")), with_compiler=False)
