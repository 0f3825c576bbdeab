"""Metrics of a classifier on one split, from its logits or predictions."""

import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from torch import Tensor

#: The metrics of every table, in order; loss in nats per sample, the others fractions.
METRICS = ("loss", "accuracy", "macro_f1", "micro_f1")


def summary(loss: float, predicted: Tensor, labels: Tensor) -> dict[str, float]:
    """Return loss, accuracy, macro F1 over the classes that have images, and micro F1.

    Args:
        loss: mean cross entropy per sample, nats.
        predicted, labels: class indices, (N,).
    """
    y_true, y_pred = labels.numpy(), predicted.numpy()
    classes = sorted(set(y_true.tolist()))
    return {
        "loss": loss,
        "accuracy": float((y_true == y_pred).mean()),
        "macro_f1": float(f1_score(y_true, y_pred, labels=classes, average="macro", zero_division=0)),
        "micro_f1": float(f1_score(y_true, y_pred, average="micro", zero_division=0)),
    }


def from_logits(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the metrics from logits, (N, classes), in float64 for reproducibility."""
    wide = logits.double()
    return summary(F.cross_entropy(wide, labels).item(), wide.argmax(1), labels)


def per_class(logits: Tensor, labels: Tensor, classes: tuple[str, ...]) -> list[dict[str, float | int | str]]:
    """Precision, recall, F1 and number of images of every class."""
    every = list(range(len(classes)))
    columns = precision_recall_fscore_support(labels.numpy(), logits.argmax(1).numpy(), labels=every, zero_division=0)
    return [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(classes, *columns, strict=True)
    ]


def confusion(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """counts[true class][predicted class]."""
    every = list(range(logits.shape[1]))
    matrix: list[list[int]] = confusion_matrix(labels.numpy(), logits.argmax(1).numpy(), labels=every).tolist()
    return matrix


def mean_std(values: list[float]) -> dict[str, object]:
    """Mean, sample standard deviation (None for a single value) and the values."""
    tensor = torch.tensor(values, dtype=torch.float64)
    return {"mean": tensor.mean().item(), "sd": tensor.std().item() if len(values) > 1 else None, "values": values}
