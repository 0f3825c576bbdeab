"""The answers that leave through the gate: security headers on all, and errors in one plain sentence."""

import re

import pytest

from normzoo.app.server.answer import Policy
from normzoo.app.server.settings import Limits
from tests.server.test_middleware import JOIN, LIMITS, MULTIPART, PHOTO, UPLOAD, check_refused, event, gate
from tests.support.asgi import App, ask

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
    policy = Policy(frame_ancestors="'self' https://canvas.example.edu")
    headers = ask(gate(App(), policy=policy), "GET", path).headers
    assert re.search(r"frame-ancestors ([^;]*)", headers["content-security-policy"])[1] == policy.frame_ancestors
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


def test_what_is_no_page_runs_nothing():
    reply = ask(gate(App(body=PAGE)), "GET", "/config")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; sandbox;")
    assert reply.body == PAGE


def test_on_spaces_the_bar_of_the_space_is_allowed():
    here, there = (ask(gate(App(), policy=Policy(on_spaces)), "GET", "/").headers for on_spaces in (False, True))
    assert "connect-src 'self' data: blob:;" in here["content-security-policy"]
    assert "connect-src 'self' data: blob: https://huggingface.co;" in there["content-security-policy"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 500, 503])
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/config"), ("POST", JOIN)])
def test_an_error_of_gradio_is_told_in_one_sentence(method, path, status):
    app = App(status=status, body=b'{"detail": "Traceback in /srv/app.py, line 7"}')
    reply = ask(gate(app), method, path, [event()])
    assert reply.status == status
    assert re.fullmatch(r"[A-Z][^./]*\.", reply.sentence)
    assert reply.headers["content-length"] == str(len(reply.body))


def test_a_full_queue_is_told_as_busy():
    reply = ask(gate(App(status=503, body=b'{"detail":"Queue is full. Max size is 2"}')), "POST", JOIN, [event()])
    assert reply.sentence == "The page is busy with other visitors; wait a moment and try again."
    assert int(reply.headers["retry-after"]) > 0


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

    app = Hiding()
    check_refused(ask(gate(app, LIMITS), "POST", UPLOAD, [b"x" * 6000], MULTIPART), 413, app)


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
