"""Predictions for one picture, logits for many."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from normzoo.errors import ConfigError
from normzoo.inference.predict import agreement, compute_logits, predict, predict_batch, predict_in_batches, predict_many
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import CLASSES, make_model, make_photo

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def test_every_network_answers_with_probabilities_and_its_k_most_probable_classes():
    predictions = predict({norm: make_model(norm) for norm in NORM_LAYERS}, make_photo(), k=2)
    assert list(predictions) == list(NORM_LAYERS)
    for prediction in predictions.values():
        assert prediction.probabilities.sum() == pytest.approx(1)
        best = int(prediction.probabilities.argmax())
        assert len(prediction.top) == 2
        assert prediction.top[0] == (CLASSES[best], prediction.probabilities[best])
        assert prediction.label == CLASSES[best]
        assert prediction.latency_ms > 0


def test_a_picture_gets_the_same_predictions_alone_and_among_others_of_other_sizes():
    models = {norm: make_model(norm) for norm in NORM_LAYERS} | {"large": make_model("bn", image_size=24)}
    photo = make_photo()
    photos = [photo, photo.rotate(90, expand=True), photo.resize((17, 300)), photo.crop((0, 0, 16, 16))]
    together = predict_many(models, photos, k=2)
    for each, answers in zip(photos, together, strict=True):
        alone = predict(models, each, k=2)
        assert list(answers) == list(alone) == list(models)
        for variant, answer in answers.items():
            np.testing.assert_allclose(answer.probabilities, alone[variant].probabilities, rtol=1e-5, atol=1e-7)
            assert [label for label, _ in answer.top] == [label for label, _ in alone[variant].top]
    firsts = [tuple(answers["bn"].probabilities) for answers in together]
    assert len(set(firsts)) == len(photos), "a mixed-up answer would not be seen"


def test_compute_logits_evaluates_and_leaves_the_mode_as_it_was():
    network = make_model("bn").network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compute_logits(network, torch.zeros(2, 16, 16, 3, dtype=torch.uint8), torch.tensor(MEAN), torch.tensor(STD))
    assert network.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


MODELS = {norm: make_model(norm) for norm in NORM_LAYERS}


def photos(count):
    dice = np.random.default_rng(3)
    return [Image.fromarray((dice.integers(0, 256, (16, 16, 3)) * dice.uniform(0.2, 1)).astype(np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13, 64])
def test_norms_over_one_photo_do_not_move_to_the_last_bit(count):
    found = predict_batch(MODELS, photos(count), "batch")
    assert [variant for variant, answers in found.items() if answers.depends] == ["bn", "bin"]
    for answers in found.values():
        assert len(answers.running) == len(answers.own) == count
        assert (answers.largest_change == 0.0) == (not answers.depends)
        assert answers.depends or answers.changed == ()


def test_answers_are_those_of_predict_many_and_changes_are_counted():
    images = photos(12)
    found = predict_batch(MODELS, images, 16)
    mixed, remembered = predict_many(MODELS, images, 1, 16), predict_many(MODELS, images, 1)
    for variant in ("bn", "bin"):
        for number in range(12):
            np.testing.assert_allclose(
                found[variant].own[number].probabilities, mixed[number][variant].probabilities, atol=1e-6
            )
        labels = [(a[variant].label, b[variant].label) for a, b in zip(remembered, mixed, strict=True)]
        assert found[variant].changed == tuple(i for i, (a, b) in enumerate(labels) if a != b)
    assert predict_batch(MODELS, images, "running")["bn"].largest_change == 0.0
    assert predict_batch(MODELS, [], "batch")["bn"].own == ()


def test_the_same_photo_in_other_companies_scatters_only_where_statistics_are_the_companys():
    found = predict_in_batches(MODELS, photos(20), "batch", size=6, draws=8)
    for variant, (label, values) in found.items():
        assert label == predict_many({variant: MODELS[variant]}, photos(1), 1)[0][variant].label
        assert len(values) == (8 if variant in ("bn", "bin") else 2)
        assert (len(set(values)) > 1) == (variant in ("bn", "bin"))
    assert found == predict_in_batches(MODELS, photos(20), "batch", size=6, draws=8)
    assert found != predict_in_batches(MODELS, photos(20), "batch", size=6, draws=8, seed=1)


def test_a_company_of_one_value_is_explained():
    small = {"bn": make_model("bn", image_size=4)}  # its last maps have one pixel
    with pytest.raises(ConfigError, match="Use more images"):
        predict_batch(small, photos(1), "batch")
    assert predict_batch(small, photos(2), "batch")["bn"].depends


SIX = ("nn", "bn", "in", "bin", "gn", "ln")


@pytest.mark.parametrize(
    ("answers", "truth", "verdict"),
    [
        ("lion " * 6, "lion", ("lion: 6 of 6 networks correct", "")),
        ("pizza lion lion lion orange lion", "", ("lion: 4 of 6 networks", "Others: pizza (NN), orange (GN).")),
        ("lion lion", "orange", ("orange: 0 of 2 networks correct", "Others: lion (NN, BN).")),
        ("a b", "", ("a: 1 of 2 networks", "Others: b (BN).")),
        ("", "lion", ("No network was asked", "")),
    ],
)
def test_the_verdict_says_who_agrees_and_who_is_right_where_that_is_known(answers, truth, verdict):
    assert agreement(dict(zip(SIX, answers.split(), strict=False))).verdict(truth) == verdict


def test_who_looks_at_one_photo_at_a_time_is_asked_among_few_others() -> None:
    seen: dict[str, int] = dict.fromkeys(MODELS, 0)

    def count(_: nn.Module, inputs: tuple[Tensor], variant: str) -> None:
        seen[variant] += len(inputs[0])

    hooks = [
        model.network.conv1.register_forward_pre_hook(functools.partial(count, variant=variant))
        for variant, model in MODELS.items()
    ]
    predict_in_batches(MODELS, photos(32), "batch", size=32, draws=8)
    for hook in hooks:
        hook.remove()
    assert seen == {variant: 8 + (8 * 32 if variant in ("bn", "bin") else 2 * 8) for variant in MODELS}
