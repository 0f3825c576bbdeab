"""Predictions of networks for pictures: alone, among others, by running or batch statistics; nothing that is stored moves."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import normzoo
from normzoo.errors import ConfigError
from normzoo.inference.predict import (
    agreement,
    check_statistics,
    compute_logits,
    predict,
    predict_batch,
    predict_in_batches,
    predict_many,
    with_statistics,
)
from normzoo.nn.registry import NORM_LAYERS
from tests.support.toy_models import CLASSES, make_model, make_photo

MODELS = {norm: make_model(norm) for norm in NORM_LAYERS}
WITH_RUNNING = ("bn", "bin")


def photos(count):
    dice = np.random.default_rng(3)
    return [Image.fromarray((dice.integers(0, 256, (16, 16, 3)) * dice.uniform(0.2, 1)).astype(np.uint8)) for _ in range(count)]


def test_every_network_answers_with_probabilities_and_its_k_most_probable_classes():
    predictions = predict(MODELS, make_photo(), k=2)
    assert list(predictions) == list(NORM_LAYERS)
    for prediction in predictions.values():
        assert prediction.probabilities.sum() == pytest.approx(1)
        best = int(prediction.probabilities.argmax())
        assert len(prediction.top) == 2
        assert prediction.top[0] == (CLASSES[best], prediction.probabilities[best])
        assert prediction.label == CLASSES[best]
        assert prediction.latency_ms > 0


def test_a_picture_gets_the_same_predictions_alone_and_among_others_of_other_sizes():
    models = MODELS | {"large": make_model("bn", image_size=24)}
    photo = make_photo()
    pictures = [photo, photo.rotate(90, expand=True), photo.resize((17, 300)), photo.crop((0, 0, 16, 16))]
    together = predict_many(models, pictures, k=2)
    for each, answers in zip(pictures, together, strict=True):
        alone = predict(models, each, k=2)
        assert list(answers) == list(alone) == list(models)
        for variant, answer in answers.items():
            np.testing.assert_allclose(answer.probabilities, alone[variant].probabilities, rtol=1e-5, atol=1e-7)
            assert [label for label, _ in answer.top] == [label for label, _ in alone[variant].top]
    assert len({tuple(answers["bn"].probabilities) for answers in together}) == len(pictures), "mixed up, it would not be seen"


def test_compute_logits_evaluates_and_leaves_the_mode_as_it_was():
    network = make_model("bn").network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compute_logits(network, torch.zeros(2, 16, 16, 3, dtype=torch.uint8), torch.tensor((0.5, 0.4, 0.3)), torch.ones(3))
    assert network.training
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13, 64])
def test_norms_over_one_photo_do_not_move_to_the_last_bit(count):
    for variant, model in MODELS.items():
        found = predict_batch(model, photos(count), "batch", [range(count)])
        assert found.depends == (variant in WITH_RUNNING)
        assert len(found.running) == len(found.own) == count
        assert (found.largest_change == 0.0) == (not found.depends)
        assert found.depends or found.changed == ()


@pytest.mark.parametrize("variant", WITH_RUNNING)
def test_answers_are_those_of_predict_many_and_changes_are_counted(variant):
    images, model = photos(12), {variant: MODELS[variant]}
    found = predict_batch(MODELS[variant], images, 16, [range(12)])
    blended, running = predict_many(model, images, 1, 16), predict_many(model, images, 1)
    for own, expected in zip(found.own, blended, strict=True):
        np.testing.assert_allclose(own.probabilities, expected[variant].probabilities, atol=1e-6)
    labels = [(a[variant].label, b[variant].label) for a, b in zip(running, blended, strict=True)]
    assert found.changed == tuple(i for i, (a, b) in enumerate(labels) if a != b)
    assert predict_batch(MODELS[variant], images, "running", [range(12)]).largest_change == 0.0


@pytest.mark.parametrize("variant", NORM_LAYERS)
def test_a_photo_in_other_batches_scatters_only_by_batch_statistics_and_the_others_are_asked_about_few(variant):
    model, seen = MODELS[variant], []
    hook = model.network.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    ask = functools.partial(predict_in_batches, model, photos(32), "batch", size=32, draws=8)
    label, values = ask()
    hook.remove()
    depends = variant in WITH_RUNNING
    assert sum(seen) == 8 + (8 * 32 if depends else 2 * 8)
    assert label == predict({variant: model}, photos(1)[0])[variant].label
    assert len(values) == (8 if depends else 2)
    assert (len(set(values)) > 1) == depends
    assert ask() == (label, values)
    assert (ask(seed=1) != (label, values)) == depends


def test_a_single_value_per_channel_is_explained():
    small = make_model("bn", image_size=4)  # its last maps have one pixel
    with pytest.raises(ConfigError, match="Use more images"):
        predict_batch(small, photos(1), "batch", [range(1)])
    assert predict_batch(small, photos(2), "batch", [range(2)]).depends


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
    assert agreement(dict(zip(NORM_LAYERS, answers.split(), strict=False))).verdict(truth) == verdict


def make_network(norm):
    """In float64, with running statistics of images that it has seen."""
    network = make_model(norm).network.double().train()
    for _ in range(3):
        network(torch.randn(8, 3, 16, 16, dtype=torch.float64) * 2 + 1)
    return network.eval()


@pytest.mark.parametrize("norm", WITH_RUNNING)
def test_batch_statistics_are_those_of_training_and_a_blend_goes_from_them_to_the_running_ones(norm):
    network, x = make_network(norm), torch.randn(5, 3, 16, 16, dtype=torch.float64)
    running, batch = network(x), with_statistics(network, "batch")(x)
    torch.testing.assert_close(with_statistics(network, 1e12)(x), running, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(with_statistics(network, 0)(x), batch, rtol=0, atol=0)
    assert with_statistics(network, "running") is network
    torch.testing.assert_close(batch, network.train()(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("norm", ["bn", "torch-bn"])
def test_a_blend_weighs_running_statistics_as_n_images(norm):
    layer = (normzoo.BatchNorm(4) if norm == "bn" else nn.BatchNorm2d(4)).eval()
    layer.running_mean.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
    layer.running_var.copy_(torch.tensor([4.0, 0.5, 1.0, 9.0]))
    x = torch.randn(6, 4, 5, 5) * 3 + 1
    mean = (16 * layer.running_mean + 6 * x.mean((0, 2, 3))) / 22
    var = (16 * layer.running_var + 6 * x.var((0, 2, 3), correction=0)) / 22
    expected = (x - mean[:, None, None]) / (var[:, None, None] + layer.eps).sqrt()
    torch.testing.assert_close(with_statistics(layer, 16)(x), expected)


@pytest.mark.parametrize("statistics", ["running", "batch", 16])
def test_nothing_stored_moves_also_where_threads_share_the_network(statistics):
    models = {norm: make_model(norm) for norm in NORM_LAYERS}
    before = {norm: {k: v.clone() for k, v in model.network.state_dict().items()} for norm, model in models.items()}
    photo = make_photo()
    batches = [[photo, photo.rotate(10 * number), photo.rotate(77)] for number in range(8)]

    def ask(batch):
        answers = predict_many(models, batch, statistics=statistics)
        return [answer[norm].probabilities for answer in answers for norm in models]

    alone = [ask(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, batches * 3))
    for number, found in enumerate(together):
        np.testing.assert_allclose(found, alone[number % len(batches)], rtol=1e-5, atol=1e-7)
    for norm, model in models.items():
        assert not any(module.training or module._forward_pre_hooks for module in model.network.modules())
        torch.testing.assert_close(dict(model.network.state_dict()), before[norm], rtol=0, atol=0)


@pytest.mark.parametrize("wrong", ["own", -1, float("nan"), float("inf"), True, None, [16], "x" * 1000])
def test_wrong_statistics_are_refused_in_a_sentence(wrong):
    with pytest.raises(ConfigError, match="statistics must be") as caught:
        check_statistics(wrong)
    assert len(str(caught.value)) < 150
