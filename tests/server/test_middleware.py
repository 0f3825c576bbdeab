"""The gate in front of the page: what it lets through, what it refuses, and what it puts on every answer."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from normzoo.app.server.access import AccessMiddleware
from normzoo.app.server.answer import Policy
from normzoo.app.server.settings import Limits
from tests.support.asgi import App, Reply, ask

UPLOADS = Path("/tmp/uploads/normzoo-1")
PHOTO = f"{UPLOADS}/{'5e' * 32}/cat.jpg"
PHOTO_VALUE = {"path": PHOTO, "url": f"http://host/gradio_api/file={PHOTO}", "meta": {"_type": "gradio.FileData"}}
JOIN, UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"
EVENTS = [JOIN, "/gradio_api/call/classify", "/gradio_api/call/v2/classify"]
MULTIPART = {"Content-Type": "multipart/form-data; boundary=----WebKitFormBoundaryX"}
LIMITS = Limits(event_bytes=1000, upload_bytes=5000)


def gate(app: App, limits: Limits = LIMITS, policy: Policy | None = None) -> AccessMiddleware:
    return AccessMiddleware(app, UPLOADS, limits, policy or Policy())


def event(**fields: object) -> bytes:
    return json.dumps({"data": [], "fn_index": 0, "session_hash": "abc", **fields}).encode()


def photos(count: int, content: bytes = b"x") -> bytes:
    part = b'------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n' + content
    return (part + b"\r\n") * count + b"------WebKitFormBoundaryX--\r\n"


def check_refused(reply: Reply | None, status: int, app: App) -> str:
    """A refusal that Gradio never saw; gives its sentence."""
    assert reply is not None
    assert reply.status == status
    assert app.received == []
    assert re.fullmatch(r"[A-Z][^.]*\.", reply.sentence), "not one plain sentence"
    return reply.sentence


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/config", "/assets/index-D.js", "/static/img/logo.svg", "/theme.css", "/favicon.ico", "/manifest.json"),
        *("/gradio_api/info", "/gradio_api/startup-events", "/gradio_api/heartbeat/1dxkrjzimjg", "/gradio_api/app_id"),
        *("/gradio_api/queue/data?session_hash=abc", "/gradio_api/call/classify/0123456789abcdef"),
    ],
)
def test_what_the_page_reads_is_open(path):
    app = App()
    reply = ask(gate(app), "GET", path)
    assert (reply.status, reply.body) == (200, b"ok")
    assert len(app.received) == 1


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/config", 200), ("/gradio_api/queue/data?session_hash=a", 404)])
def test_what_stays_open_has_no_head(path, status):
    assert ask(gate(App()), "HEAD", path).status == status


@pytest.mark.parametrize("query", ["", "?session_hash=a&session_hash=b", "?session_hash=&session%5Fhash=b"])
def test_a_stream_is_that_of_one_session(query):
    app = App()
    check_refused(ask(gate(app), "GET", f"/gradio_api/queue/data{query}"), 400, app)


@pytest.mark.parametrize(
    "path",
    [
        *("/openapi.json", "/gradio_api/openapi.json", "/docs", "/monitoring", "/monitoring/summary", "/monitoring/key"),
        *("/gradio_api/runs", "/gradio_api/run-history/records", "/pwa_icon", "/pwa_icon/50000", "/gradio_api/deep_link"),
        *("/gradio_api/proxy=https://a.hf.space/x", "/gradio_api/file/etc/passwd", "/gradio_api/custom_component/a/b/c/d"),
        *("/gradio_api/stream/a/b/1/playlist.m3u8", "/gradio_api/dev/reload", "/login", "/token", "/.git/config", "/app.py"),
        *("//", "/gradio_api", "/gradio_api/heartbeat/" + "a" * 65, "/gradio_api/queue/data/x", "/config/../app.py"),
    ],
)
def test_what_the_page_does_not_read_is_closed(path):
    app = App()
    check_refused(ask(gate(app), "GET", path), 404, app)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/gradio_api/run/classify",
            "/gradio_api/api/classify",
            "/gradio_api/component_server",
            "/gradio_api/process_recording",
        ),
        *("/login", "/gradio_api/run-history/connect", "/gradio_api/stream/abc", "/gradio_api/vibe-edit/", "/", "/config"),
    ],
)
def test_what_the_page_does_not_call_is_closed(path):
    app = App()
    check_refused(ask(gate(app), "POST", path, [event()]), 404, app)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_no_other_method_is_open(method):
    app = App()
    check_refused(ask(gate(app), method, JOIN, [event()]), 404, app)


def test_a_page_below_a_path_has_the_same_addresses():
    app = App()
    check_refused(ask(gate(app), "GET", "/zoo/openapi.json", root_path="/zoo"), 404, app)
    assert ask(gate(app), "GET", "/zoo/config", root_path="/zoo").status == 200


@pytest.mark.parametrize("path", [PHOTO, "/etc/passwd", "https://example.com/x.png"])
def test_no_file_is_served(path):
    app = App()
    check_refused(ask(gate(app), "GET", f"/gradio_api/file={path}"), 404, app)


@pytest.mark.parametrize(
    "value",
    [
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": "/etc/passwd"},
        {"path": f"{UPLOADS}/{'5e' * 32}/../../secret"},
        {"path": ["/etc/passwd"]},
        {"path": 7},
        [{"deep": [{"down": {"path": "/etc/passwd"}}]}],
    ],
)
@pytest.mark.parametrize("field", ["data", "event_data"])
@pytest.mark.parametrize("path", EVENTS)
def test_only_uploaded_photos_can_be_named(path, field, value):
    app = App()
    assert "reload the page" in check_refused(ask(gate(app), "POST", path, [event(**{field: [value]})]), 403, app)


@pytest.mark.parametrize(
    "value",
    [
        {"path": "http://127.0.0.1:22/", "meta": {"_type": "gradio.FileData"}},
        {"path": "http://169.254.169.254/latest/meta-data/", "meta": {"_type": "gradio.FileData"}},
        {"path": "https://example.com/a.png", "meta": {"_type": "gradio.FileData"}},
        {"path": None, "url": "data:image/png;base64,AAAA"},
        {"path": PHOTO, "url": " DATA:image/png;base64,AAAA"},
        {"url": "https://example.com/a.png"},
        "data:image/png;base64,AAAA",
        "HTTP://169.254.169.254/",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("field", ["data", "event_data"])
@pytest.mark.parametrize("path", EVENTS)
def test_no_photo_is_fetched_from_an_address(path, field, value):
    app = App()
    assert "not as an address" in check_refused(ask(gate(app), "POST", path, [event(**{field: [value]})]), 422, app)


@pytest.mark.parametrize("value", [PHOTO_VALUE, None, "tiny-imagenet-25/paper", ["nn", "bn"], 0.5, True, {"index": 2}])
def test_what_the_page_sends_arrives_as_it_was(value):
    app, body = App(), event(data=[value])
    assert ask(gate(app), "POST", JOIN, [body[:7], body[7:]]).status == 200
    assert app.received == [body]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b"[" * 900,
        event(session_hash="a" * 65),
        event(session_hash="a b"),
        event(session_hash=7),
    ],
)
def test_what_is_no_event_is_refused(body):
    app = App()
    check_refused(ask(gate(app), "POST", JOIN, [body]), 400, app)


def test_an_event_that_is_too_long_is_refused_by_what_it_declares_and_by_what_comes():
    app, body = App(), event(data=["x" * 1000])
    check_refused(ask(gate(app), "POST", JOIN, [body], {"Content-Length": str(len(body))}), 413, app)
    check_refused(ask(gate(app), "POST", JOIN, [body[:500], body[500:]]), 413, app)
    check_refused(ask(gate(app), "POST", JOIN, [body], {"Content-Length": "10"}), 413, app)


def test_an_upload_that_is_too_long_is_refused_by_what_it_declares_and_by_what_comes():
    app, body = App(), photos(1, b"x" * 5000)
    check_refused(ask(gate(app), "POST", UPLOAD, [body], {**MULTIPART, "Content-Length": str(len(body))}), 413, app)
    check_refused(ask(gate(app), "POST", UPLOAD, [body[:4000], body[4000:]], MULTIPART), 413, app)


def test_an_upload_that_fits_arrives_as_it_was():
    app, body = App(), photos(1, b"x" * 4000)
    assert ask(gate(app), "POST", f"{UPLOAD}?upload_id=a", [body[:999], body[999:]], MULTIPART).status == 200
    assert app.received == [body]


@pytest.mark.parametrize("size", [3, 50, 10_000])
def test_the_files_of_one_upload_are_counted_wherever_its_chunks_end(size):
    limits = Limits(upload_bytes=200_000)
    for count, status in ((limits.upload_files, 200), (limits.upload_files + 1, 413), (100, 413)):
        body = photos(count)
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        assert ask(gate(App(), limits), "POST", UPLOAD, chunks, MULTIPART).status == status


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "",
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; boundary=b",
        ),
        *(
            "multipart/form-data; boundary*=utf-8''a",
            'multipart/form-data; boundary="a',
            "multipart/form-data; boundary=" + "a" * 71,
        ),
    ],
)
def test_an_upload_that_two_parsers_might_read_in_two_ways_is_refused(kind):
    app = App()
    check_refused(ask(gate(app), "POST", UPLOAD, [photos(1)], {"Content-Type": kind}), 400, app)


def test_a_body_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr("normzoo.app.server.request._DRAIN_SECONDS", 0.01)
    limits = Limits(idle_seconds=0.01)
    for path, headers in ((JOIN, {}), (UPLOAD, MULTIPART)):
        app = App()
        check_refused(ask(gate(app, limits), "POST", path, [b"--"], headers, stall=True), 408, app)


def test_a_very_long_address_is_refused():
    app = App()
    check_refused(ask(gate(app), "GET", "/?x=" + "a" * 5000), 414, app)


def test_a_visitor_who_leaves_is_no_error(caplog):
    assert ask(gate(App(error=OSError())), "POST", UPLOAD, [b"--"], MULTIPART, hang_up=True) is None
    assert caplog.records == []


def test_another_site_cannot_use_the_page_nor_read_its_answers():
    app = App()
    check_refused(ask(gate(app), "POST", JOIN, [event()], {"Sec-Fetch-Site": "cross-site"}), 403, app)
    ask(gate(app), "POST", JOIN, [event()], {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"})
    assert [name for name, _ in app.scopes[0]["headers"]] == [b"sec-fetch-site"]


def test_a_websocket_is_refused():
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(gate(App())({"type": "websocket"}, None, send))
    assert sent == ["websocket.close"]
