"""Predictions for one picture, logits for many."""

import numpy as np
import pytest
import torch
from PIL import Image

from normzoo.checkpoint import ModelConfig, default_arguments
from normzoo.inference import compute_logits, predict
from normzoo.norms import NORM_LAYERS
from normzoo.zoo import Model

CLASSES = ("alp", "pizza", "lion")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def make_model(norm: str) -> Model:
    torch.manual_seed(0)
    config = ModelConfig(8, norm, default_arguments(norm), CLASSES, 16, MEAN, STD)
    return Model(norm, config.build().eval(), config)


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def test_every_network_answers_with_probabilities_and_its_k_most_probable_classes(photo: Image.Image) -> None:
    predictions = predict({norm: make_model(norm) for norm in NORM_LAYERS}, photo, k=2)
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


def test_compute_logits_evaluates_and_leaves_the_mode_as_it_was() -> None:
    network = make_model("bn").network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compute_logits(network, torch.zeros(2, 16, 16, 3, dtype=torch.uint8), torch.tensor(MEAN), torch.tensor(STD))
    assert network.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
