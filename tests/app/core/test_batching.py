"""Visitors at once: computed together, each with an answer of their own, on two threads at most."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from normzoo.app.core import batching
from normzoo.app.core.batching import COMPUTING, Batches, predict_together
from normzoo.inference.predict import Prediction, predict, predict_many
from normzoo.nn.registry import NORM_LAYERS
from normzoo.pretrained.registry import Model
from tests.support.toy_models import make_model

SECONDS = 60


class Doubling:
    """Gives twice each item, refuses negative ones, and notes its rounds.

    The first round lasts until it is released.
    """

    def __init__(self) -> None:
        self.rounds: list[tuple[str, list[int]]] = []
        self.began, self.released = threading.Event(), threading.Event()

    def __call__(self, key: str, items: Sequence[int]) -> list[int]:
        self.rounds.append((key, list(items)))
        self.began.set()
        assert self.released.wait(SECONDS)
        if min(items) < 0:
            raise ValueError(f"{min(items)} is negative")
        return [2 * item for item in items]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def ask_during_a_round(asked: list[tuple[str, int]], max_batch: int = 8) -> tuple[Doubling, list[Future[int]]]:
    """The futures of what was asked, in this order, while a round for 100 was under way."""
    function = Doubling()
    batches = Batches(function, max_batch)
    with ThreadPoolExecutor(1 + len(asked)) as pool:
        first = pool.submit(batches.compute, "a", 100)
        assert function.began.wait(SECONDS)
        futures = []
        for key, item in asked:
            futures.append(pool.submit(batches.compute, key, item))
            wait_until(lambda: len(batches._waiting) == len(futures))
        function.released.set()
    assert first.result() == 200
    assert function.rounds[0] == ("a", [100])
    return function, futures


def test_one_alone_is_computed_at_once_in_its_own_thread():
    threads = []

    def function(_: str, items: Sequence[int]) -> Sequence[int]:
        threads.append(threading.current_thread())
        return items

    batches = Batches(function)
    assert [batches.compute("a", 1), batches.compute("a", 2)] == [1, 2]
    assert threads == [threading.current_thread()] * 2


@pytest.mark.parametrize(
    ("asked", "max_batch", "rounds"),
    [
        ([("a", item) for item in range(5)], 8, [("a", 5)]),
        ([("a", 1), ("b", 2), ("a", 3), ("b", 4)], 8, [("a", 2), ("b", 2)]),  # what has another key is computed apart
        ([("a", item) for item in range(7)], 3, [("a", 1), ("a", 3), ("a", 3)]),
    ],
)
def test_what_comes_in_during_a_round_is_computed_together_in_the_next(asked, max_batch, rounds):
    function, futures = ask_during_a_round(asked, max_batch)
    assert [future.result() for future in futures] == [2 * item for _, item in asked]
    assert sorted((key, len(items)) for key, items in function.rounds[1:]) == rounds
    assert sorted((key, item) for key, items in function.rounds[1:] for item in items) == sorted(asked)


def test_who_lets_others_go_first_waits_for_rounds_but_not_for_ever():
    function = Doubling()
    batches = Batches(function)
    batches.wait_for_others(SECONDS)  # nobody is there
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(batches.compute, "a", 100)
        assert function.began.wait(SECONDS)
        start = time.monotonic()
        batches.wait_for_others(0.05)
        assert time.monotonic() - start >= 0.05
        assert not first.done()
        second = pool.submit(batches.compute, "b", 7)
        wait_until(lambda: len(batches._waiting) == 1)
        patient = pool.submit(batches.wait_for_others, SECONDS)
        function.released.set()
        patient.result()
        assert len(function.rounds) == 2
    assert (first.result(), second.result()) == (200, 14)


def test_one_that_fails_fails_alone():
    _, futures = ask_during_a_round([("a", item) for item in (1, -2, 3, -4)])
    assert [futures[i].result() for i in (0, 2)] == [2, 6]
    for i, item in ((1, -2), (3, -4)):
        with pytest.raises(ValueError, match=f"{item} is negative"):
            futures[i].result()


def test_a_thread_that_dies_in_its_round_leaves_the_others_to_theirs():
    first = threading.Event()

    class Dying(Doubling):
        def __call__(self, key: str, items: Sequence[int]) -> list[int]:
            answers = super().__call__(key, items)
            if not first.is_set():
                first.set()
                raise SystemExit
            return answers

    function = Dying()
    batches = Batches(function)
    with ThreadPoolExecutor(2) as pool:
        dead = pool.submit(batches.compute, "a", 1)
        assert function.began.wait(SECONDS)
        other = pool.submit(batches.compute, "a", 2)
        wait_until(lambda: len(batches._waiting) == 1)
        function.released.set()
        assert isinstance(dead.exception(), SystemExit)
    assert other.result() == 4


def test_everybody_gets_their_own_answer_from_one_round_at_a_time():
    under_way = threading.Lock()

    def function(key: int, items: Sequence[int]) -> list[tuple[int, int]]:
        assert under_way.acquire(blocking=False), "two rounds at once"
        os.sched_yield()
        under_way.release()
        return [(key, item) for item in items]

    batches = Batches(function)
    start = threading.Barrier(16)

    def visit(number: int) -> bool:
        start.wait(SECONDS)
        return all(batches.compute(i % 3, 1000 * number + i) == (i % 3, 1000 * number + i) for i in range(100))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(visit, range(16)))


def test_never_more_than_two_threads_compute():
    together, seen = threading.Barrier(3), []

    def function(_: str, items: Sequence[int]) -> Sequence[int]:
        try:
            together.wait(0.2)
        except threading.BrokenBarrierError:
            return items
        seen.append(items)
        return items

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda item: Batches(function).compute("a", item), range(3))) == [0, 1, 2]
    assert seen == [], "three computed at once"


def test_photos_of_many_visitors_are_classified_together_and_never_mixed_up(monkeypatch):
    models, other = {norm: make_model(norm) for norm in NORM_LAYERS}, make_model("bn")  # of another model set
    other.network.fc.weight.data.neg_()
    sizes = []

    def counting(chosen: dict[str, Model], photos: Sequence[Image.Image], k: int) -> list[dict[str, Prediction]]:
        sizes.append(len(photos))
        return predict_many(chosen, photos, k)

    monkeypatch.setattr(batching, "predict_many", counting)
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8)) for i in range(9)]
    choices = itertools.cycle([models, {"bn": models["bn"]}, {"bn": other}])
    asked = [(next(choices), photo) for photo in photos]
    with ThreadPoolExecutor(len(asked)) as pool, COMPUTING, COMPUTING:  # nobody computes until all are there
        futures = [pool.submit(predict_together, chosen, photo, 2) for chosen, photo in asked]
        wait_until(lambda: len(batching._photos._waiting) == len(asked))
    assert sizes == [3, 3, 3]
    answers = [future.result() for future in futures]
    for (chosen, photo), answer in zip(asked, answers, strict=True):
        alone = predict(chosen, photo, 2)
        assert list(answer) == list(chosen)
        for variant, prediction in answer.items():
            np.testing.assert_allclose(prediction.probabilities, alone[variant].probabilities, rtol=1e-5, atol=1e-7)
            assert [label for label, _ in prediction.top] == [label for label, _ in alone[variant].top]
    shown = [tuple(np.round(answer["bn"].probabilities, 4)) for answer in answers]
    assert len(set(shown)) == len(photos), "a mixed-up answer would not be seen"
