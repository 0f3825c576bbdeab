"""Every mistake that people make is named, and no right layer is blamed."""

from pathlib import Path

import pytest

import normzoo.checking.generic
from normzoo.checking.mistakes import BY_KEY, MISTAKES
from normzoo.checking.report import Report, check
from normzoo.checking.subject import Subject
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
    kept = tuple(each for each in normzoo.checking.generic.GENERIC_CHECKS if each.__name__ != "compiles")
    monkeypatch.setattr("normzoo.checking.report.GENERIC_CHECKS", kept)


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
    assert report.to_text().count("→") <= 3


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


@pytest.mark.parametrize("layer", [layer for layer in RIGHT if layer not in ("GroupNorm1",)])
def test_the_kind_is_guessed(layer):
    assert Subject(read_own_norm(f"{LAYERS / 'right.py'}:{layer}")).kind == RIGHT[layer]
