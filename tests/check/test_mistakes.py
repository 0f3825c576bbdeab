"""Every mistake that people make is named, and no right layer is blamed."""

import re
from pathlib import Path

import pytest
import torch

import normzoo.check.checks
from normzoo.check.mistakes import BY_KEY, MISTAKES
from normzoo.check.report import Report, check
from normzoo.check.subject import Subject
from normzoo.check.trace import make_batches
from normzoo.nn.own_norm import read_own_norm

LAYERS = Path(__file__).parents[1] / "support" / "own_norms"
#: Wrong layer -> what it is meant to be, and the mistakes that the check must name.
PLANTED = {
    "GroupNormOverRows": ("gn", "wrong-axes"),
    "BatchNormOverEverything": ("bn", "wrong-axes"),
    "InstanceNormOverBatch": ("in", "wrong-axes"),
    "LayerNormOverChannels": ("ln", "wrong-axes"),
    "InterleavedGroupNorm": ("gn", "interleaved-groups"),
    "SwappedGroupNorm": ("gn", "groups-swapped"),
    "ScrambledBatchNorm": ("bn", "scrambled-reshape"),
    "UnbiasedInstanceNorm": ("in", "unbiased-normalization"),
    "UnbiasedGroupNorm": ("gn", "unbiased-normalization"),
    "UnbiasedBatchNorm": ("bn", "unbiased-normalization"),
    "MeanOfVariancesBatchNorm": ("bn", "mean-of-variances"),
    "EpsOnDeviationBatchNorm": ("bn", "eps-on-deviation"),
    "EpsOutsideInstanceNorm": ("in", "eps-outside"),
    "NoEpsLayerNorm": ("ln", "eps-missing"),
    "SquaredEpsBatchNorm": ("bn", "eps-squared"),
    "VarianceForDeviationInstanceNorm": ("in", "variance-for-deviation"),
    "IgnoredEpsInstanceNorm": ("in", "eps-other"),
    "CancellingLayerNorm": ("ln", "cancellation"),
    "LearnedEpsInstanceNorm": ("in", "extra-parameters"),
    "NoAffineInstanceNorm": ("in", "affine-missing"),
    "NoWeightLayerNorm": ("ln", "weight-missing"),
    "NoBiasBatchNorm": ("bn", "bias-missing"),
    "SwappedAffineInstanceNorm": ("in", "affine-swapped"),
    "BiasFirstInstanceNorm": ("in", "bias-before-weight"),
    "PlainTensorsInstanceNorm": ("in", "parameters-not-registered"),
    "BroadcastShapeBatchNorm": ("bn", "parameter-shape"),
    "PixelwiseLayerNorm": ("ln", "parameter-shape"),
    "ReversedMomentumBatchNorm": ("bn", "momentum-reversed"),
    "BiasedMemoryBatchNorm": ("bn", "biased-memory"),
    "ZeroStartBatchNorm": ("bn", "variance-starts-at-zero"),
    "PlainAttributesBatchNorm": ("bn", "buffers-not-registered"),
    "RunningInTrainingBatchNorm": ("bn", "running-in-training"),
    "BatchInEvaluationBatchNorm": ("bn", "batch-in-evaluation"),
    "CorrectedInEvaluationBatchNorm": ("bn", "corrected-in-evaluation"),
    "MovesInEvaluationBatchNorm": ("bn", "memory-moves-in-evaluation"),
    "GradModeBatchNorm": ("bn", "mode-from-grad"),
    "MovingAverageInstanceNorm": ("in", "moving-average-of-instances"),
    "DetachedBatchNorm": ("bn", "detached-statistics"),
    "DetachedMeanInstanceNorm": ("in", "detached-mean"),
    "DetachedVarianceLayerNorm": ("ln", "detached-variance"),
    "InPlaceInstanceNorm": ("in", "input-changed"),
    "CallInstanceNorm": ("in", "call-overridden"),
    "ReversedGateBIN": ("bin", "gate-reversed"),
    "ClampedGateBIN": ("bin", "gate-clamped"),
    "SigmoidGateBIN": ("bin", "gate-sigmoid"),
    "ConstantGateBIN": ("bin", "gate-frozen"),
    "RewrappedGateBIN": ("bin", "gate-frozen"),
    "ZeroGateBIN": ("bin", "start-values"),
    "ScalarGateBIN": ("bin", "parameter-shape"),
    "BatchInEvaluationBIN": ("bin", "batch-in-evaluation"),
    "BiasedAndReversedBatchNorm": ("bn", "biased-memory momentum-reversed"),
    "UnbiasedEpsOnDeviationInstanceNorm": ("in", "eps-on-deviation unbiased-normalization"),
    "GraphKept": ("bn", "graph-kept"),
    "CorrectedByImages": ("bn", "memory-of-images"),
    "DeviationRemembered": ("bn", "deviation-remembered"),
    "AboutRunningMean": ("bn", "variance-about-running-mean"),
    "FirstBatchCopied": ("bn", "first-batch-copied"),
    "UpdatedTwice": ("bn", "updated-twice"),
    "NeverMoved": ("bn", "memory-never-moves"),
    "Float64Buffers": ("bn", "float64-from-the-start"),
    "FirstImageOnly": ("bn", "first-image-only"),
    "WeightTimesX": ("bn", "input-not-normalized"),
    "NoEpsInEvaluation": ("bn", "eps-missing-in-evaluation"),
    "NoAffineInEvaluation": ("bn", "affine-missing-in-evaluation"),
    "ActivationInside": ("bn", "activation-inside"),
    "SharedDict": ("bn", "shared-between-layers"),
    "ClassParameters": ("in", "shared-between-layers"),
    "FixedGroups": ("gn", "fixed-groups"),
    "MeanKept": ("ln", "mean-not-subtracted"),
    "TwoAffinesBIN": ("bin", "affine-twice"),
}
#: Of these the layer itself decides what it is: right as another kind, or by another convention.
CONVENTIONAL = {
    "LayerNormOverChannels",
    "EpsOnDeviationBatchNorm",
    "BroadcastShapeBatchNorm",
    "PixelwiseLayerNorm",
    "ScalarGateBIN",
    "ActivationInside",
    "MeanKept",
}
#: Right layer -> what it is.
RIGHT = {
    "BatchNorm2d": "bn",
    "InstanceNorm2d": "in",
    "GroupNorm": "gn",
    "BatchNorm": "bn",
    "InstanceNorm": "in",
    "BatchInstanceNorm": "bin",
    "ZooGroupNorm": "gn",
    "LayerNorm": "ln",
    "NoNorm": "own",
    "AnnotatedBatchNorm": "bn",
    "AnnotatedGroupNorm": "gn",
    "TimmStyleGroupNorm": "gn",
    "GroupNorm1": "ln",
    "OwnInstanceNorm": "in",
    "OfficialStyleBIN": "bin",
}


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch):
    """Leave out torch.compile, which takes seconds; tests of its own have it."""
    kept = tuple(each for each in normzoo.check.checks.GENERIC_CHECKS if each.__name__ != "compiles")
    monkeypatch.setattr("normzoo.check.report.GENERIC_CHECKS", kept)


LEGITIMATE = re.findall(r"^class (\w+)", (LAYERS / "legitimate.py").read_text(), re.MULTILINE)
#: What some of them behave as.
BEHAVES = {
    "BatchThenReLU": "bn",
    "Frozen": "frozen-bn",
    "GhostBatch": "ghost-bn-3",
    "GhostByView": "ghost-bn-strided",
    "InstanceWithMemory": "in-running",
    "LayerWholeShape": "ln",
    "LayerPerPosition": "ln-position",
    "LayerPermuted": "ln-position",
    "LayerAsOneGroup": "ln",
    "GroupOfFour": "gn",
    "RMSPerPosition": "rms-position",
    "RMSOverImage": "rms-image",
    "RMSOverMap": "rms-map",
    "PixelNorm": "rms-position",
    "Positional": "ln-position",
    "LazyBatch": "bn",
    "SubclassedGroup": "gn",
    **dict.fromkeys(
        ["BatchRenorm", "FilterResponse", "GlobalResponse", "Switchable", "HalfInstanceHalfBatch", "ScaleOnly"], "own"
    ),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated", "ignore:The .grad attribute")
@pytest.mark.parametrize("layer", LEGITIMATE)
def test_no_legitimate_design_fails(layer):
    report = report_on("legitimate.py", layer, None)
    assert report.passed, report.to_text()
    assert report.mistakes == {}
    assert report.kind == BEHAVES.get(layer, report.kind)


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


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("FailsByAssert", "AssertionError: three channels, line"),
        ("FailsByKey", 'x * {}["scale"]'),
        ("FailsByName", "name 'scal' is not defined"),
        ("FailsByZero", "ZeroDivisionError"),
        ("KeepdimForgotten", "x.mean((2, 3))"),
    ],
)
def test_an_exception_of_the_layer_is_a_finding_with_its_line(layer, said):
    report = report_on("wrong.py", layer, None)
    assert not report.passed
    assert said in report.to_text()


def test_a_layer_that_never_returns_is_given_up(monkeypatch):
    monkeypatch.setattr("normzoo.check.report.TIME_LIMIT", 0.5)
    report = report_on("wrong.py", "NeverReturns", None)
    assert not report.passed
    assert "within 0.5 seconds" in report.to_text()


def test_the_batches_of_the_check_are_never_changed():
    before = [batch.clone() for batch in make_batches(3)]
    for layer in ("InPlaceInstanceNorm", "Float64Buffers"):
        report_on("wrong.py", layer, None)
    assert all(torch.equal(a, b) and not b.requires_grad for a, b in zip(before, make_batches(3), strict=True))


def report_on(file: str, layer: str, kind: str | None) -> Report:
    return check(Subject(read_own_norm(f"{LAYERS / file}:{layer}"), kind))


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


@pytest.mark.parametrize("layer", RIGHT)
def test_a_right_layer_passes(layer):
    report = report_on("right.py", layer, RIGHT[layer])
    assert report.passed, report.to_text()
    assert report.mistakes == {}
    assert report.remark == ""


@pytest.mark.parametrize("layer", ["Base", "BatchBase", "GroupBase", "GateBase"])
def test_what_the_wrong_layers_are_made_of_is_right(layer):
    kinds = {"Base": "in", "BatchBase": "bn", "GroupBase": "gn", "GateBase": "bin"}
    report = report_on("wrong.py", layer, kinds[layer])
    assert report.passed, report.to_text()


@pytest.mark.parametrize("layer", RIGHT)
def test_the_kind_is_found_out(layer):
    assert Subject(read_own_norm(f"{LAYERS / 'right.py'}:{layer}")).kind == RIGHT[layer]
