"""Photos that wait for the same networks, computed together."""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from PIL import Image

from normzoo.app.core.work import COMPUTING, computing
from normzoo.inference.predict import Prediction, predict_many
from normzoo.pretrained.registry import Model

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")

#: A photo among 8 takes half the time of one alone; more gain little, and each waits for all.
MAX_BATCH = 8
#: How long one who asks a network about many photos lets those with a single one go first, in seconds.
PATIENCE = 1.0


@dataclass(eq=False)
class _Job(Generic[Key, Item, Result]):
    key: Key
    item: Item
    answer: Future[Result] = field(default_factory=Future)


class Batches(Generic[Key, Item, Result]):
    """Computes in rounds: what came in during one is computed together in the next.

    Nobody waits for company. Who asks while no round is under way begins one at once; the others sleep until their result is
    there, or until the round has ended without them and one of them begins the next.

    Args:
        function: takes a key and items, and gives a result for each, in their order. It runs in one thread at a time.
    """

    def __init__(self, function: Callable[[Key, Sequence[Item]], Sequence[Result]], max_batch: int = MAX_BATCH) -> None:
        self._function = function
        self._max_batch = max_batch
        self._waiting: list[_Job[Key, Item, Result]] = []
        self._is_computing = False
        self._changed = threading.Condition()

    def compute(self, key: Key, item: Item) -> Result:
        """The function's result for this item, computed with what else waits under this key."""
        job = _Job[Key, Item, Result](key, item)
        with self._changed:
            self._waiting.append(job)
            self._changed.wait_for(lambda: job.answer.done() or not self._is_computing)
            begins = not job.answer.done()
            self._is_computing |= begins
        if begins:
            try:
                with COMPUTING:
                    self._run(key, self._take_along(job))
            finally:
                with self._changed:
                    self._is_computing = False
                    self._changed.notify_all()
        return job.answer.result()

    def wait_for_others(self, seconds: float) -> None:
        """Wait until no round is under way and nobody waits for one, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_computing and not self._waiting, seconds)

    def _take_along(self, job: _Job[Key, Item, Result]) -> list[_Job[Key, Item, Result]]:
        """This job, and those that have waited longest under its key."""
        with self._changed:
            others = [other for other in self._waiting if other.key == job.key and other is not job]
            batch = [job, *others[: self._max_batch - 1]]
            self._waiting = [other for other in self._waiting if other not in batch]
        return batch

    def _run(self, key: Key, batch: list[_Job[Key, Item, Result]]) -> None:
        try:
            results = self._function(key, [job.item for job in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            else:  # what is wrong with one is no reason for the others to fail
                for job in batch:
                    self._run(key, [job])
        else:
            for job, result in zip(batch, results, strict=True):
                job.answer.set_result(result)


def predict_together(models: Mapping[str, Model], photo: Image.Image, k: int) -> dict[str, Prediction]:
    """`predict`, computed with the photos of other visitors that wait for the same networks."""
    same = (k, *((variant, id(model)) for variant, model in models.items()))
    return _photos.compute(same, (models, photo, k))


def _predict_batch(_: object, asked: Sequence[tuple[Mapping[str, Model], Image.Image, int]]) -> list[dict[str, Prediction]]:
    models, _, k = asked[0]
    return predict_many(models, [photo for _, photo, _ in asked], k)


@contextmanager
def computing_many() -> Iterator[None]:
    """Hold `COMPUTING` for work on many photos, after those who wait with a single one."""
    _photos.wait_for_others(PATIENCE)
    with computing():
        yield


_photos = Batches(_predict_batch)
