"""Who a request counts for, and the share of one visitor."""

import contextlib

import pytest

from normzoo.app.server.request import Refusal
from normzoo.app.server.settings import Limits
from normzoo.app.server.visitors import Sessions, Visitors, client_ip
from tests.server.test_middleware import gate
from tests.support.asgi import App, ask

FORGED = {"X-Forwarded-For": "8.8.8.8", "X-Forwarded-Host": "evil.example", "X-Gradio-Server": "http://evil.example"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def scope(peer: str, *forwarded: str) -> dict[str, object]:
    return {"client": (peer, 1), "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["8.8.8.8"], "8.8.8.8"),
        ("10.0.0.1", ["1.1.1.1, 8.8.8.8"], "8.8.8.8"),  # the first is the visitor's own claim
        ("10.0.0.1", ["1.1.1.1, 8.8.8.8, 10.0.0.9, 172.16.0.1"], "8.8.8.8"),  # the last are the host's
        ("10.0.0.1", ["1.1.1.1", "8.8.8.8"], "8.8.8.8"),
        ("10.0.0.1", ["1.1.1.1:443, 8.8.8.8:50123"], "8.8.8.8"),
        ("10.0.0.1", ["192.168.0.7"], "192.168.0.7"),
        ("10.0.0.1", ["nonsense"], "nonsense"),
        ("10.0.0.1", [" , "], "10.0.0.1"),
        ("10.0.0.1", ["2001:4860:4860::8888"], "2001:4860:4860::/64"),
        ("10.0.0.1", ["::ffff:8.8.8.8"], "8.8.8.8"),
    ],
)
def test_a_trusted_proxy_tells_who_is_behind_it(peer, forwarded, expected):
    assert client_ip(scope(peer, *forwarded), trust_proxy=True) == expected
    assert client_ip(scope(peer, *forwarded), trust_proxy=False) == peer


def test_a_visitor_without_an_address_counts_as_one():
    assert client_ip({"client": None, "headers": []}, trust_proxy=False) == ""


def test_without_a_trusted_proxy_nobody_can_forge_where_they_come_from():
    app = App()
    limited = gate(app, Limits(requests_per_second=0.1, burst=1))
    assert ask(limited, "GET", "/", headers=FORGED).status == 200
    assert app.scopes[0]["headers"] == []
    assert ask(limited, "GET", "/", headers={**FORGED, "X-Forwarded-For": "9.9.9.9"}).status == 429


def test_behind_a_trusted_proxy_gradio_hears_where_the_page_is_served():
    app = App()
    ask(gate(app, Limits(trust_proxy=True)), "GET", "/", headers=FORGED)
    assert [name for name, _ in app.scopes[0]["headers"]] == [name.lower().encode() for name in FORGED]


def test_a_bucket_fills_again():
    clock = Clock()
    visitors = Visitors(Limits(requests_per_second=2, burst=3), clock)
    for _ in range(3):
        visitors.charge("a")
    with pytest.raises(Refusal):
        visitors.charge("a")
    clock.now = 0.5
    visitors.charge("a")
    with pytest.raises(Refusal) as refused:
        visitors.charge("a")
    assert (refused.value.status, refused.value.retry_seconds) == (429, 0.5)
    clock.now = 1000
    assert visitors.spend("a", 0) == 3


@pytest.mark.parametrize(
    ("path", "is_charged"),
    [("/", True), ("/config", True), ("/gradio_api/upload_progress?upload_id=a", True), ("/assets/a.js", False)],
)
def test_what_makes_work_is_charged(path, is_charged):
    limited = gate(App(), Limits(requests_per_second=0.1, burst=1))
    assert [ask(limited, "GET", path).status for _ in range(2)] == [200, 429 if is_charged else 200]


def test_the_limit_can_be_lifted():
    visitors = Visitors(Limits(requests_per_second=0, burst=1))
    for _ in range(10):
        visitors.charge("a")


def test_visitors_and_sessions_are_remembered_in_bounded_memory():
    limits = Limits(remembered=10)
    visitors, sessions = Visitors(limits), Sessions(limits)
    for number in range(100):
        visitors.charge(str(number))
        sessions.ask(str(number))
        with visitors.request(str(number)), sessions.listen(f"listening {number}", bool):
            pass
    assert [len(memory) for memory in (visitors._buckets, sessions._unread)] == [10, 10]
    assert [len(memory) for memory in (visitors._open, sessions._streams)] == [0, 0]


def test_requests_under_way_are_bounded_for_one_and_for_all():
    visitors = Visitors(Limits(open_requests=3, open_requests_per_visitor=2))
    with visitors.request("a"), visitors.request("a"):
        with pytest.raises(Refusal) as one, visitors.request("a"):
            pass
        with visitors.request("b"), pytest.raises(Refusal) as all_of_them, visitors.request("c"):
            pass
    assert (one.value.status, all_of_them.value.status) == (429, 503)
    with visitors.request("a"):
        pass


def test_a_session_that_listens_may_ask_on():
    sessions = Sessions(Limits(unread_events=1))
    with sessions.listen("a", lambda: True), sessions.listen("a", lambda: True):
        for _ in range(5):
            sessions.ask("a")
    sessions.ask("a")
    with pytest.raises(Refusal):
        sessions.ask("a")


def test_a_stream_that_is_not_heard_to_its_end_takes_no_answers():
    sessions = Sessions(Limits(unread_events=1))
    sessions.ask("a")
    with sessions.listen("a", lambda: False):
        sessions.ask("a")
    with contextlib.suppress(ConnectionError), sessions.listen("a", lambda: True):
        raise ConnectionError
    with pytest.raises(Refusal):
        sessions.ask("a")
