"""Confusion matrices, precision, recall and F1 from its stored logits."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normzoo.analysis.results import read_each
from normzoo.pretrained.checkpoint import Checkpoint
from normzoo.pretrained.registry import ModelSet

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """Counts of how often each class was taken for each; the figures are means over the seeds, as fractions, (classes,)."""

    by_seed: NDArray[np.int64]  # (seeds, true class, predicted class)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Answers of all seeds together, (true class, predicted class)."""
        total: NDArray[np.int64] = self.by_seed.sum(0)
        return total

    @property
    def support(self) -> NDArray[np.int64]:
        """The validation photos of each class, (classes,)."""
        support: NDArray[np.int64] = self.by_seed[0].sum(1)
        return support

    @property
    def shares(self) -> Shares:
        """Of each true class (row) the share that was taken for each class (column)."""
        return _divide(self.counts, self.counts.sum(1, keepdims=True))

    @property
    def recall(self) -> Shares:
        """Of the photos of each class the share that was recognized."""
        return _divide(self._right, self.by_seed.sum(2)).mean(0)

    @property
    def precision(self) -> Shares:
        """Of the times that each class was named the share that was right; 0 where it was never named."""
        return _divide(self._right, self.by_seed.sum(1)).mean(0)

    @property
    def f1(self) -> Shares:
        """The harmonic mean of precision and recall, by seed; 0 where both are."""
        return _divide(2 * self._right, self.by_seed.sum(1) + self.by_seed.sum(2)).mean(0)

    @property
    def _right(self) -> NDArray[np.int64]:
        return self.by_seed.diagonal(axis1=1, axis2=2)


def confusions(model_set: ModelSet, variants: Iterable[str]) -> tuple[dict[str, Confusion], dict[str, str]]:
    """The confusion of each variant on the validation images; and for those that cannot be read the reason."""
    return read_each(model_set, variants, _count)


def _count(checkpoint: Checkpoint) -> Confusion:
    logits, labels = checkpoint.val_logits()
    size = len(checkpoint.config.classes)
    places = (labels.numpy() * size + each.argmax(1).numpy() for each in logits.values())
    matrices = [np.bincount(place, minlength=size * size).reshape(size, size) for place in places]
    return Confusion(np.stack(matrices).astype(np.int64))


def _divide(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> Shares:
    """parts / wholes, 0 where the whole is 0."""
    return np.divide(parts, wholes, out=np.zeros(np.broadcast_shapes(parts.shape, wholes.shape)), where=wholes != 0)
