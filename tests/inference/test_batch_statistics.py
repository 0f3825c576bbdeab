"""Whose statistics a norm takes: remembered ones, those of the batch, a mix; and nothing that is stored moves."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import normzoo
from normzoo.errors import ConfigError
from normzoo.inference.predict import check_statistics, predict_many, with_statistics
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import make_model, make_photo

REMEMBERING = ("bn", "bin")


def make_network(norm):
    """In float64, with running statistics of images that it has seen."""
    network = make_model(norm).network.double().train()
    for _ in range(3):
        network(torch.randn(8, 3, 16, 16, dtype=torch.float64) * 2 + 1)
    return network.eval()


def images(count):
    return torch.randn(count, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", REMEMBERING)
def test_batch_statistics_give_what_training_mode_gives(norm):
    network, x = make_network(norm), images(5)
    found = with_statistics(network, "batch")(x)
    torch.testing.assert_close(found, network.train()(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("norm", ["bn", "torch-bn"])
def test_a_mix_weighs_remembered_statistics_as_n_images(norm):
    layer = (normzoo.BatchNorm(4) if norm == "bn" else nn.BatchNorm2d(4)).eval()
    layer.running_mean.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
    layer.running_var.copy_(torch.tensor([4.0, 0.5, 1.0, 9.0]))
    x = torch.randn(6, 4, 5, 5) * 3 + 1
    mean = (16 * layer.running_mean + 6 * x.mean((0, 2, 3))) / 22
    var = (16 * layer.running_var + 6 * x.var((0, 2, 3), correction=0)) / 22
    expected = (x - mean[:, None, None]) / (var[:, None, None] + layer.eps).sqrt()
    torch.testing.assert_close(with_statistics(layer, 16)(x), expected)


@pytest.mark.parametrize("norm", REMEMBERING)
def test_a_large_n_comes_to_the_remembered_statistics_and_zero_to_the_batch(norm):
    network, x = make_network(norm), images(4)
    remembered = network(x)
    torch.testing.assert_close(with_statistics(network, 1e12)(x), remembered, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(with_statistics(network, 0)(x), with_statistics(network, "batch")(x), rtol=0, atol=0)
    assert with_statistics(network, "running") is network


@pytest.mark.parametrize("norm", NORM_LAYERS)
def test_only_norms_that_remember_answer_by_the_company(norm):
    models, photo = {norm: make_model(norm)}, make_photo()
    others = [photo.rotate(angle) for angle in (90, 180, 270)]
    dark = [other.point(lambda value: value // 4) for other in others]
    first, second = (predict_many(models, [photo, *company], statistics="batch")[0][norm] for company in (others, dark))
    differs = not np.array_equal(first.probabilities, second.probabilities)
    assert differs == (norm in REMEMBERING)


@pytest.mark.parametrize("statistics", ["running", "batch", 16])
def test_nothing_stored_moves_also_where_threads_share_the_network(statistics):
    models = {norm: make_model(norm) for norm in NORM_LAYERS}
    before = {norm: {k: v.clone() for k, v in model.network.state_dict().items()} for norm, model in models.items()}
    photo = make_photo()
    companies = [[photo, photo.rotate(10 * number), photo.rotate(77)] for number in range(8)]

    def ask(company):
        answers = predict_many(models, company, statistics=check_statistics(statistics))
        return [answer[norm].probabilities for answer in answers for norm in models]

    alone = [ask(company) for company in companies]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, companies * 3))
    for number, found in enumerate(together):
        for one, other in zip(found, alone[number % len(companies)], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    for norm, model in models.items():
        assert not any(module.training for module in model.network.modules())
        assert not any(module._forward_pre_hooks for module in model.network.modules())
        for name, value in model.network.state_dict().items():
            torch.testing.assert_close(value, before[norm][name], rtol=0, atol=0)


def test_a_single_value_per_channel_is_explained():
    layer = normzoo.BatchNorm(3).eval()
    with pytest.raises(ConfigError, match="more than one value per channel"):
        with_statistics(layer, "batch")(torch.zeros(1, 3, 1, 1))
    assert with_statistics(layer, "batch")(torch.zeros(2, 3, 1, 1)).shape == (2, 3, 1, 1)


@pytest.mark.parametrize("wrong", ["own", -1, float("nan"), float("inf"), True, None, [16], "x" * 1000])
def test_wrong_statistics_are_refused_in_a_sentence(wrong):
    with pytest.raises(ConfigError, match="statistics must be") as caught:
        check_statistics(wrong)
    assert len(str(caught.value)) < 150
