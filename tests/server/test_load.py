"""The load test itself: that it sees what it is there to see, and, in small, that the page bears it."""

import itertools
import threading

from tests.browser.driver import running_server
from tests.load import (
    SETTINGS,
    Company,
    Photo,
    Tally,
    drive,
    drive_many,
    make_companies,
    make_photos,
    report,
    report_many,
)
from tests.support import warm
from tests.support.checkpoints import save_zoo


def test_visitors_at_once_each_get_their_own_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(save_zoo(tmp_path / "zoo")))
    photos = make_photos("toy/paper", 8)
    with running_server(tmp_path, SETTINGS, popen=warm.Popen) as server:
        tally = drive(server.port, "toy/paper", photos, clients=8, count=24, seconds=60)
        mixed_up = [Photo(photo.content, other.probabilities) for photo, other in itertools.pairwise(photos)]
        wrong = drive(server.port, "toy/paper", mixed_up, clients=4, count=4, seconds=60)
    assert (len(tally.seconds), tally.errors, tally.wrong) == (24, [], [])
    assert (len(wrong.seconds), wrong.errors, len(wrong.wrong)) == (4, [], 4)


def test_visitors_with_many_photos_of_the_same_names_get_the_statistics_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(save_zoo(tmp_path / "zoo")))
    companies = make_companies("toy/paper", make_photos("toy/paper", 12), 3, 5)
    once = threading.Event()
    once.set()
    with running_server(tmp_path, SETTINGS, popen=warm.Popen) as server:
        tally = drive_many(server.port, "toy/paper", companies, once)
        mixed_up = [Company(one.contents, other.probabilities) for one, other in itertools.pairwise(companies)]
        wrong = drive_many(server.port, "toy/paper", mixed_up, once)
    assert (len(tally.seconds), tally.errors, tally.wrong) == (3, [], [])
    assert (len(wrong.seconds), wrong.errors) == (2, [])
    assert wrong.wrong
    assert len(report_many(wrong, 5)) == 1


def test_without_a_server_every_client_tells_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMZOO_CHECKPOINTS", str(save_zoo(tmp_path)))
    tally = drive(9, "toy/paper", make_photos("toy/paper", 2), clients=2, count=4, seconds=60)
    assert len(tally.errors) == 2


def test_the_report_names_what_is_wrong(capsys):
    good = Tally(seconds=[0.1] * 10, wall_seconds=1)
    assert report(good, 10, 100, 104) == []
    assert "10 predictions in 1.0 s: 10.0 per second" in capsys.readouterr().out
    assert report(good, 10, 100, 106) == ["memory grew by more than 5%"]
    assert report(good, 11, 100, 100) == ["only 10 of 11 predictions were done"]
    bad = Tally(seconds=[0.1], errors=["Refused"], wrong=[0.5], wall_seconds=1)
    assert len(report(bad, 1, 100, 100)) == 2
    assert len(report(Tally(wall_seconds=1), 1, 100, 100)) == 1
