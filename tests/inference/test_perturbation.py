"""Answers under a growing corruption."""

import math

import numpy as np
import pytest
from PIL import Image

from normzoo.errors import ConfigError
from normzoo.images.corruptions import CORRUPTIONS, corrupt
from normzoo.images.preprocess import to_pixels
from normzoo.inference.perturbation import ALL_SEVERITIES, check_corruption, corrupted, severity_curves
from normzoo.inference.predict import predict
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import CLASSES, IMAGE_SIZE, make_model, make_photo


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_small_square_is_corrupted_step_by_step(kind):
    steps = corrupted(make_photo(), kind, IMAGE_SIZE)
    square = Image.fromarray(to_pixels(make_photo(), IMAGE_SIZE))
    assert len(steps) == 6
    np.testing.assert_array_equal(np.asarray(steps[0]), np.asarray(square))
    np.testing.assert_array_equal(np.asarray(steps[4]), np.asarray(corrupt(square, kind, 4)))


def test_every_network_is_followed_from_its_own_clean_answer():
    models = {norm: make_model(norm) for norm in NORM_LAYERS}
    (curves, _), clean = severity_curves(models, make_photo(), "contrast"), predict(models, make_photo())
    assert list(curves) == list(NORM_LAYERS)
    steps = corrupted(make_photo(), "contrast", IMAGE_SIZE)
    for variant, curve in curves.items():
        assert (curve.label, curve.probabilities[0]) == (clean[variant].label, pytest.approx(clean[variant].top[0][1]))
        assert len(curve.probabilities) == len(curve.answers) == len(ALL_SEVERITIES)
        place = CLASSES.index(curve.label)
        for severity, step in enumerate(steps):
            alone = predict({variant: models[variant]}, step)[variant]
            assert curve.probabilities[severity] == pytest.approx(alone.probabilities[place], abs=1e-5)
            assert curve.answers[severity][1] == pytest.approx(alone.top[0][1], abs=1e-5)


def test_networks_of_different_image_sizes_each_get_their_own_square():
    models = {"gn": make_model("gn", 32), "bn": make_model("bn", 16), "ln": make_model("ln", 32)}
    curves, _ = severity_curves(models, make_photo(), "jpeg")
    assert list(curves) == ["gn", "bn", "ln"]
    for variant, curve in curves.items():
        assert curve.probabilities[0] == pytest.approx(predict(models, make_photo())[variant].top[0][1], abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "severity"),
    [("rain", 1), (None, 1), (["jpeg"], 1), *(("jpeg", severity) for severity in (6, -1, 1.5, "2", None, True, [2], math.nan))],
)
def test_what_is_no_kind_or_no_severity_is_refused(kind, severity):
    with pytest.raises(ConfigError, match=r"Choose one of: brightness_up|severity must be a whole number from 0 to 5"):
        check_corruption(kind, severity)


def test_a_whole_number_as_a_float_is_a_severity():
    assert check_corruption("jpeg", 2.0) == ("jpeg", 2)
    assert isinstance(check_corruption("jpeg", 2.0)[1], int)
