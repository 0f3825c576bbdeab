"""The gate in front of the page: what it lets through, what it refuses, and what it puts on every answer."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from normzoo.app.server.access import AccessMiddleware
from normzoo.app.server.request import Refusal, Sessions, Visitors, client_ip
from normzoo.app.server.settings import Limits, Settings
from tests.support.visitor import App, ask

UPLOADS = Path("/tmp/uploads/normzoo-1")
PHOTO = f"{UPLOADS}/{'5e' * 32}/cat.jpg"
PHOTO_VALUE = {"path": PHOTO, "url": f"http://host/gradio_api/file={PHOTO}", "meta": {"_type": "gradio.FileData"}}
JOIN, UPLOAD, STREAM = "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/queue/data"
EVENTS = [JOIN, "/gradio_api/call/classify", "/gradio_api/call/v2/classify"]
MULTIPART = {"Content-Type": "multipart/form-data; boundary=----WebKitFormBoundaryX"}
LIMITS = Limits(event_bytes=1000, upload_bytes=5000)


def gate(app, limits=LIMITS, **settings):
    return AccessMiddleware(app, UPLOADS, Settings(limits=limits, **settings))


def event(**fields):
    return json.dumps({"data": [], "fn_index": 0, "session_hash": "abc", **fields}).encode()


def photos(count, content=b"x"):
    part = b'------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n' + content
    return (part + b"\r\n") * count + b"------WebKitFormBoundaryX--\r\n"


def refused(status, *request, app=None, limits=LIMITS, **options):
    """Ask for what is refused before Gradio sees it; gives the sentence."""
    app = app or App()
    reply = ask(gate(app, limits), *request, **options)
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


NOT_READ = r"""
/openapi.json /gradio_api/openapi.json /docs /monitoring /monitoring/summary /monitoring/key /gradio_api/runs /pwa_icon
/gradio_api/run-history/records /pwa_icon/50000 /gradio_api/deep_link /gradio_api/proxy=https://a.hf.space/x
/gradio_api/file/etc/passwd /gradio_api/custom_component/a/b/c/d /gradio_api/stream/a/b/1/playlist.m3u8 /gradio_api/dev/reload
/login /token /.git/config /app.py // /gradio_api /gradio_api/queue/data/x /config/../app.py /gradio_api/file=/etc/passwd
/gradio_api/file=https://example.com/x.png /gradio_api/file=http:/127.0.0.1/ /gradio_api/file=%68ttp://127.0.0.1/
/gradio_api/file=.git/HEAD /gradio_api/file=app.py /gradio_api/file=%252e%252e/app.py /gradio_api/file=%2e%2e/%2e%2e/etc/passwd
/gradio_api/file=..%2f..%2fetc%2fpasswd /gradio_api/file=C:\Windows\win.ini /gradio_api/file=\\host\share
"""
NOT_CALLED = """
/gradio_api/run/classify /gradio_api/api/classify /gradio_api/component_server /gradio_api/process_recording /login / /config
/gradio_api/run-history/connect /gradio_api/stream/abc /gradio_api/vibe-edit/
"""
NOT_UPLOADED = [
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "/etc/passwd"},
    {"path": f"{UPLOADS}/{'5e' * 32}/../../secret"},
    {"path": ["/etc/passwd"]},
    {"path": 7},
    [{"deep": [{"down": {"path": "/etc/passwd"}}]}],
]
ADDRESSES = [
    {"path": "http://127.0.0.1:22/", "meta": {"_type": "gradio.FileData"}},
    {"path": "http://169.254.169.254/latest/meta-data/", "meta": {"_type": "gradio.FileData"}},
    {"path": "https://example.com/a.png", "meta": {"_type": "gradio.FileData"}},
    {"path": None, "url": "data:image/png;base64,AAAA"},
    {"path": PHOTO, "url": " DATA:image/png;base64,AAAA"},
    {"url": "https://example.com/a.png"},
    "data:image/png;base64,AAAA",
    "HTTP://169.254.169.254/",
    "file:///etc/passwd",
]
NO_EVENTS = [b"", b"{", b"[]", b"7", b"\xff", b"[" * 900, *(event(session_hash=wrong) for wrong in ("a" * 65, "a b", 7))]
NO_BOUNDARY = ["=", "=a; boundary=b", "*=utf-8''a", '="a', "=" + "a" * 71]
LONG_EVENT, LONG_UPLOAD = event(data=["x" * 1000]), photos(1, b"x" * 5000)


@pytest.mark.parametrize(
    ("status", "method", "path", "chunks", "headers"),
    [
        *((404, "GET", path, [b""], {}) for path in [*NOT_READ.split(), f"/gradio_api/file={PHOTO}"]),
        (404, "GET", "/gradio_api/heartbeat/" + "a" * 65, [b""], {}),
        *((404, "POST", path, [event()], {}) for path in NOT_CALLED.split()),
        *((404, method, JOIN, [event()], {}) for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")),
        *(
            (400, "GET", f"{STREAM}{more}", [b""], {})
            for more in ("", "?session_hash=a&session_hash=b", "?session_hash=&session%5Fhash=b")
        ),
        *(
            (status, "POST", path, [event(**{field: [value]})], {})
            for path in EVENTS
            for field in ("data", "event_data")
            for status, values in ((403, NOT_UPLOADED), (422, ADDRESSES))
            for value in values
        ),
        *((400, "POST", JOIN, [body], {}) for body in NO_EVENTS),
        (413, "POST", JOIN, [LONG_EVENT], {"Content-Length": str(len(LONG_EVENT))}),
        (413, "POST", JOIN, [LONG_EVENT[:500], LONG_EVENT[500:]], {}),
        (413, "POST", JOIN, [LONG_EVENT], {"Content-Length": "10"}),
        (413, "POST", UPLOAD, [LONG_UPLOAD], {**MULTIPART, "Content-Length": str(len(LONG_UPLOAD))}),
        (413, "POST", UPLOAD, [LONG_UPLOAD[:4000], LONG_UPLOAD[4000:]], MULTIPART),
        *(
            (400, "POST", UPLOAD, [photos(1)], {"Content-Type": kind})
            for kind in ("", "application/json", "multipart/form-data")
        ),
        *((400, "POST", UPLOAD, [photos(1)], {"Content-Type": f"multipart/form-data; boundary{rest}"}) for rest in NO_BOUNDARY),
        (414, "GET", "/?x=" + "a" * 5000, [b""], {}),
        (403, "POST", JOIN, [event()], {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_what_the_page_never_sends_is_refused_in_a_sentence(status, method, path, chunks, headers):
    sentence = refused(status, method, path, chunks, headers)
    assert {403: "reload the page", 422: "not as an address"}.get(status, "") in sentence or headers


def test_a_page_below_a_path_has_the_same_addresses():
    refused(404, "GET", "/zoo/openapi.json", root_path="/zoo")
    assert ask(gate(App()), "GET", "/zoo/config", root_path="/zoo").status == 200


@pytest.mark.parametrize("value", [PHOTO_VALUE, None, "tiny-imagenet-25/paper", ["nn", "bn"], 0.5, True, {"index": 2}])
def test_what_the_page_sends_arrives_as_it_was(value):
    upload = photos(1, b"x" * 4000)
    for path, body, headers in ((JOIN, event(data=[value]), {}), (f"{UPLOAD}?upload_id=a", upload, MULTIPART)):
        app = App()
        assert ask(gate(app), "POST", path, [body[:7], body[7:]], headers).status == 200
        assert app.received == [body]


@pytest.mark.parametrize("size", [3, 50, 10_000])
def test_the_files_of_one_upload_are_counted_wherever_its_chunks_end(size):
    limits = Limits(upload_bytes=200_000)
    for count, status in ((limits.upload_files, 200), (limits.upload_files + 1, 413), (100, 413)):
        body = photos(count)
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        assert ask(gate(App(), limits), "POST", UPLOAD, chunks, MULTIPART).status == status


def test_a_body_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr("normzoo.app.server.request._DRAIN_SECONDS", 0.01)
    limits = Limits(idle_seconds=0.01)
    for path, headers in ((JOIN, {}), (UPLOAD, MULTIPART)):
        refused(408, "POST", path, [b"--"], headers, limits=limits, stall=True)


def test_a_visitor_who_leaves_is_no_error(caplog):
    assert ask(gate(App(error=OSError())), "POST", UPLOAD, [b"--"], MULTIPART, hang_up=True) is None
    assert caplog.records == []


def test_another_site_cannot_read_the_answers():
    app = App()
    ask(gate(app), "POST", JOIN, [event()], {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"})
    assert [name for name, _ in app.scopes[0]["headers"]] == [b"sec-fetch-site"]


def test_a_websocket_is_refused():
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(gate(App())({"type": "websocket"}, None, send))
    assert sent == ["websocket.close"]


PAGE = b'<html><head></head><script>let config = "\\u003cscript";</script><script type="module" src="a.js"></script></html>'
EVERYWHERE = ("content-security-policy", "x-content-type-options", "referrer-policy", "permissions-policy")
REQUESTS = [
    ("GET", "/", 200),
    ("GET", "/assets/a.js", 200),
    ("GET", "/config", 200),
    ("GET", f"/gradio_api/file={PHOTO}", 404),
    ("GET", "/nothing", 404),
    ("POST", JOIN, 200),
    ("POST", UPLOAD, 400),
    ("OPTIONS", "/", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_answer_has_the_security_headers(method, path, status):
    reply = ask(gate(App()), method, path, [event()])
    assert reply.status == status
    assert [name for name in EVERYWHERE if name not in reply.headers] == []
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "camera=(self)" in reply.headers["permissions-policy"]
    assert "access-control-allow-origin" not in reply.headers
    ancestors = re.search(r"frame-ancestors ([^;]*)", reply.headers["content-security-policy"])[1]
    assert ancestors == "'self' https://huggingface.co https://*.hf.space"


@pytest.mark.parametrize("path", ["/", "/config", "/nothing"])
def test_the_host_names_who_may_frame_the_page(path):
    named = "'self' https://canvas.example.edu"
    headers = ask(gate(App(), frame_ancestors=named), "GET", path).headers
    assert re.search(r"frame-ancestors ([^;]*)", headers["content-security-policy"])[1] == named
    assert "x-frame-options" not in headers  # it knows no list of sites, and browsers that know both ignore it


def test_only_the_page_s_own_scripts_run():
    first, second = (ask(gate(App(body=PAGE)), "GET", "/") for _ in range(2))
    nonce = re.search(r"'nonce-([\w-]{20,})'", first.headers["content-security-policy"])[1]
    own = b'<head><script>Object.defineProperty(navigator, "language", {value: "en"})</script>'
    assert first.body == PAGE.replace(b"<head>", own).replace(b"<script", f'<script nonce="{nonce}"'.encode())
    assert first.headers["content-length"] == str(len(first.body))
    assert first.headers["cache-control"] == "no-store"
    assert nonce not in second.headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-eval' 'nonce-" in first.headers["content-security-policy"]
    reply = ask(gate(App(body=PAGE)), "GET", "/config")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; sandbox;")
    assert reply.body == PAGE


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 500, 503])
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/config"), ("POST", JOIN)])
def test_an_error_of_gradio_is_told_in_one_sentence(method, path, status):
    app = App(status=status, body=b'{"detail": "Traceback in /srv/app.py, line 7"}')
    reply = ask(gate(app), method, path, [event()])
    assert reply.status == status
    assert re.fullmatch(r"[A-Z][^./]*\.", reply.sentence)
    assert reply.headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 503), ("POST", UPLOAD, 413)])
def test_what_people_read_as_it_is_comes_in_plain_text(method, path, status):
    reply = ask(gate(App(status=status)), method, path, [b"x"], MULTIPART)
    assert reply.status == status
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(r"[A-Z][^{}]+\.", reply.body.decode())


def test_an_exception_is_told_in_one_sentence_and_logged(caplog):
    reply = ask(gate(App(error=RuntimeError("in /srv/app.py"))), "POST", JOIN, [event()])
    assert reply.status == 500
    assert reply.sentence == "Something went wrong here, not with you; try again."
    assert "in /srv/app.py" in caplog.text


def test_what_gradio_says_of_a_body_that_was_refused_meanwhile_is_not_told():
    class Hiding(App):
        """Like Starlette's: answers 500 to an exception, then raises it again."""

        async def __call__(self, scope, receive, send):
            try:
                await super().__call__(scope, receive, send)
            except Exception:
                await send({"type": "http.response.start", "status": 500, "headers": []})
                await send({"type": "http.response.body", "body": b"Internal Server Error"})
                raise

    refused(413, "POST", UPLOAD, [b"x" * 6000], MULTIPART, app=Hiding())


def test_a_visitor_who_asks_too_fast_is_told_when_to_come_back():
    app = App()
    limited = gate(app, Limits(requests_per_second=0.1, burst=3))
    assert [ask(limited, "POST", JOIN, [event()]).status for _ in range(4)] == [200, 200, 200, 429]
    reply = ask(limited, "POST", UPLOAD, [b"x"], MULTIPART)
    assert (reply.status, reply.headers["retry-after"]) == (429, "10")
    assert ask(limited, "GET", "/assets/a.js").status == 200
    assert ask(limited, "POST", JOIN, [event()], client="192.0.2.2").status == 200


def test_large_uploads_count_for_more():
    limited = gate(App(), Limits(requests_per_second=0.001, burst=5))
    assert ask(limited, "POST", UPLOAD, [b"x" * 1_000_000] * 4, MULTIPART).status == 200
    assert ask(limited, "POST", UPLOAD, [b"x"], MULTIPART).status == 429


def test_a_stream_is_heard_although_servers_call_everyone_gone_after_it():
    async def lingering(scope, receive, send):
        await App()(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"

    limited = gate(lingering, Limits(unread_events=1))
    for _ in range(3):
        assert ask(limited, "POST", JOIN, [event()]).status == 200
        ask(limited, "GET", "/gradio_api/queue/data?session_hash=abc")


def test_answers_that_nobody_fetches_are_bounded():
    limited = gate(App(), Limits(unread_events=2))
    assert [ask(limited, "POST", JOIN, [event()]).status for _ in range(3)] == [200, 200, 429]
    stream = "/gradio_api/queue/data?session_hash=abc"
    for unheard in (
        lambda: ask(limited, "HEAD", stream),
        lambda: ask(limited, "GET", f"{stream}&session_hash=other"),
        lambda: ask(limited, "GET", stream, [], hang_up=True),
        lambda: ask(gate(App(status=404), Limits()), "GET", stream),
    ):
        unheard()
        assert ask(limited, "POST", JOIN, [event()]).status == 429
    ask(limited, "GET", stream)
    assert ask(limited, "POST", JOIN, [event()]).status == 200
    assert ask(limited, "POST", JOIN, [event(session_hash="other")]).status == 200


FORGED = {"X-Forwarded-For": "8.8.8.8", "X-Forwarded-Host": "evil.example", "X-Gradio-Server": "http://evil.example"}


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
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded]}
    assert [client_ip(scope, trust_proxy=trust) for trust in (True, False)] == [expected, peer]
    assert client_ip({"client": None, "headers": []}, trust_proxy=False) == ""


def test_only_a_trusted_proxy_says_where_visitors_come_from_and_where_the_page_is_served():
    app = App()
    limited = gate(app, Limits(requests_per_second=0.1, burst=1))
    assert ask(limited, "GET", "/", headers=FORGED).status == 200
    assert app.scopes[0]["headers"] == []
    assert ask(limited, "GET", "/", headers={**FORGED, "X-Forwarded-For": "9.9.9.9"}).status == 429

    ask(gate(app, Limits(trust_proxy=True)), "GET", "/", headers=FORGED)
    assert [name for name, _ in app.scopes[1]["headers"]] == [name.lower().encode() for name in FORGED]


def test_a_bucket_fills_again():
    now = [0.0]
    visitors = Visitors(Limits(requests_per_second=2, burst=3), lambda: now[0])
    for _ in range(3):
        visitors.charge("a")
    with pytest.raises(Refusal):
        visitors.charge("a")
    now[0] = 0.5
    visitors.charge("a")
    with pytest.raises(Refusal) as refused:
        visitors.charge("a")
    assert (refused.value.status, refused.value.retry_seconds) == (429, 0.5)
    now[0] = 1000
    assert visitors.spend("a", 0) == 3
    unlimited = Visitors(Limits(requests_per_second=0, burst=1))
    for _ in range(10):
        unlimited.charge("a")


@pytest.mark.parametrize(
    ("path", "is_charged"),
    [("/", True), ("/config", True), ("/gradio_api/upload_progress?upload_id=a", True), ("/assets/a.js", False)],
)
def test_what_makes_work_is_charged(path, is_charged):
    limited = gate(App(), Limits(requests_per_second=0.1, burst=1))
    assert [ask(limited, "GET", path).status for _ in range(2)] == [200, 429 if is_charged else 200]


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
