"""Predictions for one picture, logits for many."""

import numpy as np
import pytest
import torch

from normzoo.inference.predict import compute_logits, predict, predict_many
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import CLASSES, make_model, make_photo

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def test_every_network_answers_with_probabilities_and_its_k_most_probable_classes() -> None:
    predictions = predict({norm: make_model(norm) for norm in NORM_LAYERS}, make_photo(), k=2)
    assert list(predictions) == list(NORM_LAYERS)
    for prediction in predictions.values():
        assert prediction.probabilities.sum() == pytest.approx(1)
        best = int(prediction.probabilities.argmax())
        assert len(prediction.top) == 2
        assert prediction.top[0] == (CLASSES[best], prediction.probabilities[best])
        assert prediction.label == CLASSES[best]
        assert prediction.latency_ms > 0


@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_a_picture_gets_the_same_logits_alone_and_among_others(norm: str) -> None:
    network = make_model(norm).network
    pixels = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    together = compute_logits(network, pixels, mean, std)
    alone = torch.cat([compute_logits(network, one, mean, std) for one in pixels.split(1)])
    torch.testing.assert_close(alone, together)


def test_a_picture_gets_the_same_predictions_alone_and_among_others_of_other_sizes() -> None:
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


def test_compute_logits_evaluates_and_leaves_the_mode_as_it_was() -> None:
    network = make_model("bn").network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compute_logits(network, torch.zeros(2, 16, 16, 3, dtype=torch.uint8), torch.tensor(MEAN), torch.tensor(STD))
    assert network.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
