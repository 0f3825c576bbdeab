"""Every mistake that people make is named, and no right layer is blamed."""

from pathlib import Path

import pytest
import torch

from normzoo.__main__ import main
from normzoo.check.mistakes import BY_KEY, MISTAKES
from normzoo.check.report import Report, check
from normzoo.check.subject import Subject
from normzoo.check.trace import make_batches
from normzoo.nn.own_norm import read_own_norm
from tests.support.own_norms import legitimate, wrong

LAYERS = Path(__file__).parents[1] / "support" / "own_norms"
#: Wrong layer -> what it is meant to be, and the mistakes that the check must name.
PLANTED = {layer.__name__: meant for layer, meant in wrong.PLANTED.items()}
#: Of these the layer itself decides what it is: right as another kind, or by another convention.
CONVENTIONAL = {layer.__name__ for layer in wrong.CONVENTIONAL}
#: Layer -> what it is, of torch and of the zoo.
RIGHT = {"BatchNorm2d": "bn", "InstanceNorm2d": "in", "GroupNorm": "gn", "BatchNorm": "bn", "InstanceNorm": "in"}
RIGHT |= {"BatchInstanceNorm": "bin", "ZooGroupNorm": "gn", "LayerNorm": "ln", "NoNorm": "own"}
LEGITIMATE = RIGHT | {name: layer.kind for name, layer in vars(legitimate).items() if hasattr(layer, "kind")}


def test_the_corpus_is_large():
    assert len(LEGITIMATE) > 60 < len(PLANTED)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated", "ignore:The .grad attribute")
@pytest.mark.parametrize("layer", LEGITIMATE)
def test_no_legitimate_design_fails(layer):
    report = report_on("legitimate.py", layer, None)
    assert report.passed, report.to_text()
    assert report.mistakes == {}
    assert report.kind == LEGITIMATE[layer]


@pytest.mark.parametrize(
    "layer", [*RIGHT, "AnnotatedBatchNorm", "AnnotatedGroupNorm", "TimmStyleGroupNorm", "OfficialStyleBIN"]
)
def test_a_right_layer_passes_as_what_it_is_said_to_be(layer):
    report = report_on("legitimate.py", layer, LEGITIMATE[layer])
    assert report.passed, report.to_text()
    assert report.mistakes == {}
    assert report.remark == ""


@pytest.mark.parametrize("layer", PLANTED)
def test_what_a_layer_is_meant_to_be_is_found_out_by_what_it_does(layer):
    """Without a word of what it is meant to be, a mistake is found as well."""
    report = report_on("wrong.py", layer, None)
    assert report.passed == (layer in CONVENTIONAL), report.to_text()
    if not report.passed:
        # An instance norm over the batch is a batch norm that uses the batch in evaluation.
        named = "batch-in-evaluation" if layer == "InstanceNormOverBatch" else PLANTED[layer][1]
        assert set(named.split()) & set(report.mistakes), report.to_text()
    elif layer not in ("LayerNormOverChannels", "ActivationInside", "MeanKept"):
        assert report.notes


@pytest.mark.parametrize("layer", wrong.BROKEN)
def test_whatever_a_layer_does_is_a_finding(layer, monkeypatch, capsys):
    if "within 0.5 seconds" in wrong.BROKEN[layer]:
        monkeypatch.setattr("normzoo.check.report.TIME_LIMIT", 0.5)
    assert main(["check", f"{LAYERS / 'wrong.py'}:{layer}"]) == 1
    assert wrong.BROKEN[layer] in " ".join(capsys.readouterr().out.split())


def test_the_batches_of_the_check_are_never_changed():
    before = [batch.clone() for batch in make_batches(3)]
    for layer in ("InPlaceInstanceNorm", "Float64Buffers"):
        report_on("wrong.py", layer, None)
    assert all(torch.equal(a, b) and not b.requires_grad for a, b in zip(before, make_batches(3), strict=True))


def report_on(file: str, layer: str, kind: str | None) -> Report:
    return check(Subject(read_own_norm(f"{LAYERS / file}:{layer}"), kind), with_compiler=False)


@pytest.mark.parametrize("layer", PLANTED)
def test_a_planted_mistake_is_named(layer):
    kind, mistakes = PLANTED[layer]
    report = report_on("wrong.py", layer, kind)
    assert not report.passed
    assert set(mistakes.split()) <= set(report.mistakes), report.to_text()
    # Beside it, only what follows from it or is the same seen twice.
    assert len(report.mistakes) <= len(mistakes.split()) + 2, report.to_text()
    assert "{" not in report.to_text()


def test_every_mistake_is_planted():
    named = {key for _, mistakes in PLANTED.values() for key in mistakes.split()}
    assert named == set(BY_KEY)
    assert len(MISTAKES) == len(BY_KEY)


@pytest.mark.parametrize("layer", ["Base", "LayerBase", "BatchBase", "GroupBase", "GateBase"])
def test_what_the_wrong_layers_are_made_of_is_right(layer):
    report = report_on("wrong.py", layer, getattr(wrong, layer).meant)
    assert report.passed, report.to_text()
