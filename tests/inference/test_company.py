"""Photos in company: only norms with remembered statistics mind who else is there."""

import numpy as np
import pytest
from PIL import Image

from normzoo.errors import ConfigError
from normzoo.inference.company import answer_company, answer_in_companies
from normzoo.inference.predict import predict_many
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import make_model

MODELS = {norm: make_model(norm) for norm in NORM_LAYERS}


def photos(count: int) -> list[Image.Image]:
    dice = np.random.default_rng(3)
    return [Image.fromarray((dice.integers(0, 256, (16, 16, 3)) * dice.uniform(0.2, 1)).astype(np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13, 64])
def test_norms_over_one_photo_do_not_move_to_the_last_bit(count: int) -> None:
    found = answer_company(MODELS, photos(count), "batch")
    assert [variant for variant, answers in found.items() if answers.depends] == ["bn", "bin"]
    for answers in found.values():
        assert len(answers.remembered) == len(answers.own) == count
        assert (answers.largest_change == 0.0) == (not answers.depends)
        assert answers.depends or answers.changed == ()


def test_answers_are_those_of_predict_many_and_changes_are_counted() -> None:
    images = photos(12)
    found = answer_company(MODELS, images, 16)
    mixed, remembered = predict_many(MODELS, images, 1, 16), predict_many(MODELS, images, 1)
    for variant in ("bn", "bin"):
        for number in range(12):
            np.testing.assert_allclose(
                found[variant].own[number].probabilities, mixed[number][variant].probabilities, atol=1e-6
            )
        labels = [(a[variant].label, b[variant].label) for a, b in zip(remembered, mixed, strict=True)]
        assert found[variant].changed == tuple(i for i, (a, b) in enumerate(labels) if a != b)
    assert answer_company(MODELS, images, "remembered")["bn"].largest_change == 0.0
    assert answer_company(MODELS, [], "batch")["bn"].own == ()


def test_the_same_photo_in_other_companies_scatters_only_where_statistics_are_the_companys() -> None:
    found = answer_in_companies(MODELS, photos(20), "batch", size=6, draws=8)
    for variant, (label, values) in found.items():
        assert label == predict_many({variant: MODELS[variant]}, photos(1), 1)[0][variant].label
        assert len(values) == 8
        assert (len(set(values)) > 1) == (variant in ("bn", "bin"))
    assert found == answer_in_companies(MODELS, photos(20), "batch", size=6, draws=8)
    assert found != answer_in_companies(MODELS, photos(20), "batch", size=6, draws=8, seed=1)


def test_a_company_of_one_value_is_explained() -> None:
    small = {"bn": make_model("bn", image_size=4)}  # its last maps have one pixel
    with pytest.raises(ConfigError, match="Let more images go through together"):
        answer_company(small, photos(1), "batch")
    assert answer_company(small, photos(2), "batch")["bn"].depends
