"""The load test itself: that it sees what it is there to see, and, in small, that the page bears it."""

import itertools
import threading

import pytest

from normzoo.app import build_demo
from normzoo.app.server.settings import Limits
from tests.load import Batch, Photo, drive, drive_many, make_batches, make_photos
from tests.support.checkpoints import save_zoo
from tests.support.visitor import served


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Of a page that slows nobody down, whose networks are those that `tests.load` asks itself."""
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMZOO_CHECKPOINTS", str(root))
        with served(build_demo(root), limits=Limits(requests_per_second=0)) as url:
            yield int(url.rstrip("/").rpartition(":")[2])


def test_visitors_at_once_each_get_their_own_answers(port):
    photos = make_photos("toy/paper", 8)
    tally = drive(port, "toy/paper", photos, clients=8, count=24, seconds=60)
    mixed_up = [Photo(photo.content, other.probabilities) for photo, other in itertools.pairwise(photos)]
    wrong = drive(port, "toy/paper", mixed_up, clients=4, count=4, seconds=60)
    assert (len(tally.seconds), tally.errors, tally.wrong) == (24, [], [])
    assert (len(wrong.seconds), wrong.errors, len(wrong.wrong)) == (4, [], 4)


def test_visitors_with_many_photos_of_the_same_names_get_the_statistics_of_their_own(port):
    batches = make_batches("toy/paper", make_photos("toy/paper", 12), 3, 5)
    once = threading.Event()
    once.set()
    tally = drive_many(port, "toy/paper", batches, once)
    mixed_up = [Batch(one.contents, other.probabilities) for one, other in itertools.pairwise(batches)]
    wrong = drive_many(port, "toy/paper", mixed_up, once)
    assert (len(tally.seconds), tally.errors, tally.wrong) == (3, [], [])
    assert (len(wrong.seconds), wrong.errors) == (2, [])
    assert len(wrong.report("questions")) == 1  # they are wrong
