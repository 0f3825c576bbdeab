"""The figures, against scikit-learn and by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score

from training.engine import metrics

CLASSES = ("ant", "bee", "cat")
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
PREDICTED = torch.tensor([0, 1, 1, 1, 0, 1])  # nothing is ever taken for a cat
LOGITS = F.one_hot(PREDICTED, 3).half() * 2


def test_figures_equal_scikit_learns_and_torchs():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(200, 7, generator=generator), torch.randint(0, 7, (200,), generator=generator)
    predicted = logits.argmax(1)
    figures = metrics.from_logits(logits, labels)
    assert figures["loss"] == pytest.approx(F.cross_entropy(logits.double(), labels).item(), rel=1e-12)
    assert figures["accuracy"] == accuracy_score(labels, predicted)
    assert figures["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert figures["micro_f1"] == pytest.approx(figures["accuracy"])


def test_macro_f1_is_over_the_classes_that_there_are_images_of():
    logits = F.one_hot(torch.tensor([0, 1, 3]), 5)  # of the labels 2, 3 and 4 there is no image
    figures = metrics.from_logits(logits, torch.tensor([0, 1, 1]))
    assert figures["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.from_logits(logits[:2], torch.tensor([0, 1]))["macro_f1"] == 1.0


def test_confusion_matrix_counts_true_classes_in_rows():
    assert metrics.confusion(LOGITS, LABELS) == [[1, 1, 0], [0, 2, 0], [1, 1, 0]]


def test_loss_is_that_of_float64():
    logits = torch.tensor([[30000.0, -30000.0]], dtype=torch.float16)
    assert metrics.from_logits(logits, torch.tensor([1]))["loss"] == 2 * logits[0, 0].item()
    assert metrics.from_logits(torch.zeros(5, 3), LABELS[:5])["loss"] == pytest.approx(math.log(3), rel=1e-15)


def test_spread_is_the_mean_and_the_deviation_of_a_sample():
    assert metrics.mean_std([1.0, 3.0]) == {"mean": 2.0, "sd": pytest.approx(math.sqrt(2)), "values": [1.0, 3.0]}
    assert metrics.mean_std([0.5])["sd"] is None
