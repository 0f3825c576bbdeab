"""Many visitors at once on the real page, each of whom checks their own answers.

`python -m tests.load`, on a machine that does nothing else. It starts its own server on this machine and talks to no other.
Beside those with one photo there are some with many (`--many 8`), whose batch statistics are their own photos' alone.
Exit code 1: an error, an answer that is not the library's own for that photo, fewer predictions than asked for in the time,
or memory that grew by more than 5% after the warm-up, in which so many visitors come by as the server keeps in mind.
"""

import argparse
import contextlib
import functools
import itertools
import json
import secrets
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from normzoo.app.server.launch import SESSIONS
from normzoo.images.preprocess import load_image, to_pixels
from normzoo.inference.predict import predict, predict_many
from normzoo.pretrained.registry import list_model_sets, load_models
from tests.browser.driver import running_server
from tests.support.image_files import save
from tests.support.visitor import Visitor, file_value

MAX_GROWTH = 0.05
#: The page rounds probabilities to six digits.
TOLERANCE = 2e-6
PHOTOS_PER_CLIENT = 2
#: Nobody is slowed down, and all visitors come from one address.
SETTINGS = {"NORMZOO_RATE_LIMIT": "0"}


@dataclass(frozen=True)
class Photo:
    """A photo and the answer that the library gives to it."""

    content: bytes
    probabilities: np.ndarray  # (variants, classes)


@dataclass(frozen=True)
class Batch:
    """Photos of one visitor, and how sure each network is of its answer to each, with the statistics of these photos."""

    contents: tuple[bytes, ...]
    probabilities: list[dict[str, float]]


@dataclass
class Tally:
    """What happened to the predictions of all clients, or to the questions about many photos."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)  # by how much
    wall_seconds: float = 0

    @contextlib.contextmanager
    def timed(self):
        begin = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - begin)

    def compare(self, difference):
        if not difference <= TOLERANCE:
            self.wrong.append(difference)

    def report(self, what):
        """Print the figures; gives an error or a wrong answer in words."""
        ms = np.array(self.seconds or [np.nan]) * 1000
        print(
            f"  {len(self.seconds)} {what} in {self.wall_seconds:.1f} s: {len(self.seconds) / self.wall_seconds:.1f} per second"
        )
        print("  p50 {:.0f} ms, p95 {:.0f} ms, p99 {:.0f} ms, upload included".format(*np.percentile(ms, [50, 95, 99])))
        print(f"  errors {len(self.errors)}, wrong answers {len(self.wrong)}")
        wrong = [f"{len(self.wrong)} {what} are not the library's, by up to {max(self.wrong):.6f}"] if self.wrong else []
        return [f"an error of {what}: {error}" for error in sorted(set(self.errors))[:5]] + wrong


def make_photos(model_set, count):
    """Photos no two of which get the same answer."""
    rng, models, photos = np.random.default_rng(0), load_models(model_set), []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        content = save(coarse.resize((640, 480), Image.Resampling.BICUBIC), "JPEG", quality=90)
        answers = predict(models, load_image(content), 1)
        photos.append(Photo(content, np.stack([np.asarray(answers[variant].probabilities) for variant in models])))
    for one, other in itertools.combinations(photos, 2):
        if np.abs(one.probabilities - other.probabilities).max() < 10 * TOLERANCE:
            raise RuntimeError("Two photos get the same answer: a mixed-up one would not be seen.")
    return photos


def make_batches(model_set, photos, count, size):
    """Batches of photos, each with others."""
    models, dice, batches = load_models(model_set), np.random.default_rng(1), []
    image_size = next(iter(models.values())).config.image_size
    for _ in range(count):
        contents = tuple(photos[i].content for i in dice.choice(len(photos), size, replace=size > len(photos)))
        # As the page does: reduced first, and so kept.
        squares = [Image.fromarray(to_pixels(load_image(content), image_size)) for content in contents]
        answers = predict_many(models, squares, 1, "batch")
        batches.append(Batch(contents, [{v: each[v].top[0][1] for v in models} for each in answers]))
    return batches


def drive(port, model_set, photos, clients, count, seconds, *, always_new=False):
    """`count` predictions by so many clients at once, each with photos of its own; no new one after that time.

    They have the page open already, where somebody was there before.

    Args:
        always_new: each client is somebody new for the server at every prediction.
    """
    tickets, start = iter(range(count)), time.perf_counter()
    variants = list(load_models(model_set))

    def visit(visitor, own, tally):
        classify = number_of("classify", port)
        for photo in itertools.cycle(own):
            if next(tickets, None) is None or time.perf_counter() - start > seconds:
                return
            visitor.session = secrets.token_hex(6) if always_new else visitor.session
            with tally.timed():
                path = json.loads(visitor.upload(photo.content).body)[0]
                *_, answer = visitor.run(classify, [file_value(path), model_set, variants])
            given = np.array([list(answer["networks"][variant]["probabilities"].values()) for variant in variants])
            tally.compare(float(np.abs(given - photo.probabilities).max()))

    return _all_at_once(port, visit, [photos[number::clients] for number in range(clients)])


def drive_many(port, model_set, batches, is_over):
    """Have a visitor for each batch ask about all of its photos, again and again until it is over; at least once."""
    variants = list(load_models(model_set))

    def visit(visitor, batch, tally):
        many_photos = number_of("many_photos", port)
        while True:
            with tally.timed():
                # The same names for everybody: whose photo it is must not go by them.
                paths = [json.loads(visitor.upload(content, name="photo.jpg").body)[0] for content in batch.contents]
                choice = ["batch", 16, "everybody", 64, "none", 5, False]
                _, _, answer = visitor.run(many_photos, [[{"path": path} for path in paths], model_set, variants, *choice])
            for given, expected in zip(answer["photos"], batch.probabilities, strict=True):
                for variant, probability in expected.items():
                    own = f"{variant} batch statistics probability"
                    tally.compare(abs(given.get(own, given[f"{variant} probability"]) - probability))
            if is_over.is_set():
                return

    return _all_at_once(port, visit, batches)


@functools.cache
def number_of(event, port):
    """The number of an event of the page, which says it to whoever opens it."""
    with contextlib.closing(Visitor(port)) as visitor:
        return visitor.functions()[event]


def _all_at_once(port, visit, visitors):
    """Have every visitor come in a thread of their own; gives what happened until the last has left."""
    tally, start = Tally(), time.perf_counter()

    def come(own):
        try:
            with contextlib.closing(Visitor(port)) as visitor:
                visit(visitor, own, tally)
        except Exception as error:  # whatever it is, it is what this measures
            tally.errors.append(repr(error))

    with ThreadPoolExecutor(max(1, len(visitors))) as pool:
        list(pool.map(come, visitors))
    tally.wall_seconds = time.perf_counter() - start
    return tally


def memory_mb(process_id):
    """What a process has in memory (its resident set)."""
    status = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))


def main(arguments=None):
    """Start the server, warm it up, drive it; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--count", type=int, default=1000, help="predictions in all")
    parser.add_argument("--many", type=int, default=0, help="visitors besides who ask about many photos at once")
    parser.add_argument("--photos", type=int, default=64, help="photos of each of those")
    parser.add_argument("--warm-up", type=int, default=2 * SESSIONS, help="visitors before memory is looked at")
    parser.add_argument("--seconds", type=float, default=600, help="start no prediction after that time")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model_set, is_over = list_model_sets()[0].name, threading.Event()
    print(f"{options.clients} clients, {options.count} predictions by all networks of {model_set}:", flush=True)
    photos = make_photos(model_set, PHOTOS_PER_CLIENT * options.clients)
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder), SETTINGS) as server:
        drive(server.port, model_set, photos, options.clients, options.warm_up, options.seconds, always_new=True)
        batches = make_batches(model_set, photos, options.many, options.photos)
        is_over.set()
        drive_many(server.port, model_set, batches, is_over)
        is_over.clear()
        before = memory_mb(server.process.pid)
        with ThreadPoolExecutor(1) as pool:
            many = pool.submit(drive_many, server.port, model_set, batches, is_over)
            tally = drive(server.port, model_set, photos, options.clients, options.count, options.seconds)
            is_over.set()
        after = memory_mb(server.process.pid)
        print(f"  memory after the warm-up {before:.0f} MB, in the end {after:.0f} MB ({after / before - 1:+.1%})")
        faults = tally.report("predictions") + (many.result().report("questions about many photos") if options.many else [])
        if len(tally.seconds) < options.count:
            faults.append(f"only {len(tally.seconds)} of {options.count} predictions were done")
        if after > before * (1 + MAX_GROWTH):
            faults.append(f"memory grew by more than {MAX_GROWTH:.0%}")
        faults += [f"the server called {host}" for host in server.outside_calls()]
    for fault in faults:
        print(f"  FAILED: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
