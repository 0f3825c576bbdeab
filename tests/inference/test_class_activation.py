"""Class-activation maps: they must add up to what the networks say."""

import pytest
import torch

from normzoo.errors import ConfigError
from normzoo.inference.predict import as_batch, predict
from normzoo.inference.value_trace import activation_maps
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import CLASSES, IMAGE_SIZE, make_model, make_photo


def random_model(norm):
    """A network whose last layer has a bias, as a trained one has."""
    model = make_model(norm)
    with torch.no_grad():
        model.network.fc.bias.copy_(torch.tensor([0.7, -1.3, 0.2]))
    return model


@pytest.mark.parametrize("label", [None, *CLASSES])
@pytest.mark.parametrize("norm", [*NORM_LAYERS, "torch-bn"])
def test_the_evidence_sums_to_the_logit_without_its_bias(norm, label):
    model, photo = random_model(norm), make_photo()
    found = activation_maps({norm: model}, photo, label)[norm]
    with torch.inference_mode():
        logits = model.network(as_batch([photo], model.config))[0]
    k = CLASSES.index(found.label)
    assert found.evidence.shape == (IMAGE_SIZE // 4, IMAGE_SIZE // 4)
    assert found.evidence.sum() + found.bias == pytest.approx(float(logits[k]), abs=1e-5)
    assert found.logit == pytest.approx(float(logits[k]), abs=1e-5)
    assert found.bias == pytest.approx(float(model.network.fc.bias.detach()[k]))


def test_without_a_class_each_network_explains_its_own_answer():
    models = {norm: random_model(norm) for norm in NORM_LAYERS}
    maps, predictions = activation_maps(models, make_photo()), predict(models, make_photo())
    assert list(maps) == list(NORM_LAYERS)
    for variant, found in maps.items():
        assert (found.label, found.probability) == (predictions[variant].label, pytest.approx(predictions[variant].top[0][1]))


@pytest.mark.parametrize("label", ["<b>", "", 3])
def test_an_unknown_class_is_refused_without_repeating_it(label):
    with pytest.raises(ConfigError, match=r"^Unknown class\. Choose one of the 3 classes, such as 'alp'\.$"):
        activation_maps({"bn": make_model("bn")}, make_photo(), label)
