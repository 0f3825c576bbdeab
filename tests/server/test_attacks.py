"""Attacks on the real server over real HTTP: each must end in one plain sentence, and reach nothing."""

import contextlib
import itertools
import json
import os
import re
from pathlib import Path

import pytest

from normzoo.app.core.examples import FOLDER
from normzoo.app.server.settings import Limits
from normzoo.images.limits import MAX_BYTES
from tests.browser.driver import ROOT, running_server
from tests.support import warm
from tests.support.checkpoints import save_zoo
from tests.support.visitor import API, Failed, Visitor, file_value

PHOTO = (FOLDER / "cat.jpg").read_bytes()
EVERYWHERE = ("content-security-policy", "x-content-type-options", "referrer-policy", "permissions-policy")
PRIVATE = ["/etc/passwd", f"{ROOT}/app.py", "/proc/self/environ", "../../../etc/passwd", "//example.com/x.png"]
ADDRESSES = [
    "http://127.0.0.1:22/",
    "http://169.254.169.254/latest/meta-data/",
    "HTTPS://example.com/x.png",
    "file:///etc/passwd",
]
NAMES = ["../../../evil.jpg", "..\\evil.jpg", "/etc/evil.jpg", "CON.png", "a" * 300 + ".jpg", ".hidden", "x\0.jpg"]
SCRIPTS = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "html": b"<!doctype html><script>alert(1)</script>",
}
addresses = (f"11.{i >> 8}.{i & 255}.1" for i in itertools.count(1))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The real page on a toy zoo, behind a proxy that says who comes."""
    folder = tmp_path_factory.mktemp("attacked")
    settings = {"NORMZOO_CHECKPOINTS": str(save_zoo(folder / "zoo")), "NORMZOO_TRUST_PROXY": "1"}
    with running_server(folder, settings, popen=warm.Popen) as server:
        yield server
    assert server.outside_calls() == []


@pytest.fixture(scope="module")
def classify(server):
    with contextlib.closing(Visitor(server.port, next(addresses))) as visitor:
        return visitor.functions()["classify"]


@pytest.fixture
def newcomer(server):
    """Makes visitors who have not been here before."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(Visitor(server.port, next(addresses))))


@pytest.fixture
def visitor(newcomer):
    return newcomer()


def check_refused(reply, status):
    assert reply.status == status, reply.text
    check_sentence(reply.sentence)
    assert [name for name in EVERYWHERE if name not in reply.headers] == []


def check_sentence(text):
    """One sentence or two for people, that tells nothing about the server."""
    assert re.fullmatch(r"[A-Z][^/\\<>{}]+\.", text), text
    assert "Traceback" not in text
    assert "rror:" not in text


def arguments(photo):
    return [photo, "toy/paper", ["nn", "bn"]]


def still_works(visitor, classify):
    path = json.loads(visitor.upload(PHOTO).body)[0]
    assert set(visitor.run(classify, arguments(file_value(path)))[-1]["networks"]) == {"nn", "bn"}


@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize(("path", "status"), [*((path, 403) for path in PRIVATE), *((url, 422) for url in ADDRESSES)])
def test_a_photo_that_was_not_uploaded_is_refused(visitor, classify, path, status, meta):
    value = file_value(path) if meta else {"path": path}
    call = {"photo": value, "model_set": "toy/paper", "variants": ["nn"]}
    check_refused(visitor.join(classify, arguments(value)), status)
    check_refused(visitor.join(classify, arguments(None), event_data=[value]), status)
    check_refused(visitor.post(f"{API}/call/classify", {"data": arguments(value)}), status)
    check_refused(visitor.post(f"{API}/call/v2/classify", call), status)


def test_a_path_in_the_folder_of_uploads_is_refused_unless_it_is_an_upload(visitor, classify, server):
    folder = next(server.uploads.iterdir())
    for path in (folder / ".lock", folder, folder / ("0" * 64) / ".." / ".lock", f"{folder}/{'0' * 64}/../../../../etc/passwd"):
        check_refused(visitor.join(classify, arguments(file_value(str(path)))), 403)
    missing = file_value(str(folder / ("0" * 64) / "photo.jpg"))
    with pytest.raises(Failed) as failed:
        visitor.run(classify, arguments(missing))
    assert "/" not in str(failed.value)


def test_a_photo_above_the_limit_is_refused_declared_or_not(newcomer):
    assert newcomer().upload(b"\xff" * MAX_BYTES).status == 200
    check_refused(newcomer().upload(b"\xff" * 3 * MAX_BYTES), 413)
    check_refused(newcomer().upload(b"\xff" * (MAX_BYTES + 70_000), chunk_bytes=60_000), 413)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_leads_nowhere(visitor, server, name):
    reply = visitor.upload(PHOTO, name=name)
    if reply.status == 200:
        path = Path(json.loads(reply.body)[0])
        assert path.parents[2] == server.uploads
        assert path.is_file()
    else:
        check_refused(reply, 400)


def test_a_full_queue_says_that_the_page_is_busy_and_then_works_on(visitor, newcomer, classify):
    photo = file_value(json.loads(visitor.upload(PHOTO).body)[0])
    inside = visitor.functions()["inside"]  # one at a time, so that they do wait
    listener = newcomer()
    visitor.session = listener.session = "crowd"
    assert visitor.join(inside, [*arguments(photo), "spread"]).status == 200
    listener._connection.request("GET", f"{API}/queue/data?session_hash=crowd")  # what nobody listens for is not computed
    for _ in range(Limits.burst - 10):
        reply = visitor.join(inside, [*arguments(photo), "spread"])
        if reply.status != 200:
            break
    check_refused(reply, 503)
    assert "busy" in reply.sentence
    assert int(reply.headers["retry-after"]) > 0
    listener.close()  # and so there is room again
    still_works(newcomer(), classify)


def test_neither_checkpoints_nor_uploads_are_served(visitor, server):
    weights = (server.log.parent / "zoo").rglob("*.safetensors")
    for path in (*weights, json.loads(visitor.upload(PHOTO).body)[0]):
        check_refused(visitor.get(f"{API}/file={path}"), 404)


@pytest.mark.parametrize(
    "path", ["/static/..%2f..%2froutes.py", "/assets/%2e%2e/%2e%2e/x", "/static//etc/passwd", "/svelte/.."]
)
def test_nothing_beside_gradio_s_own_files_is_served(visitor, path):
    check_refused(visitor.get(path), 403)


def test_the_page_says_nothing_of_the_server(visitor, server):
    text = visitor.get("/").text + visitor.get("/config").text + visitor.get(f"{API}/info").text
    assert str(ROOT) not in text.replace(str(FOLDER), "")
    assert os.fspath(server.log.parent / "zoo") not in text


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_file_that_could_run_is_no_photo(visitor, classify, kind):
    path = json.loads(visitor.upload(SCRIPTS[kind], name=f"x.{kind}").body)[0]
    with pytest.raises(Failed) as failed:
        visitor.run(classify, arguments(file_value(path)))
    check_sentence(failed.value.args[0])


@pytest.mark.parametrize("inputs", [[], [None] * 99, ["x"] * 4, [{}] * 4, [[[1]]] * 4], ids=str)
def test_missing_wrong_and_needless_inputs_are_answered_in_a_sentence(visitor, inputs):
    failed = set()
    for name, function in visitor.functions().items():
        try:
            visitor.run(function, inputs)
        except Failed as failure:
            failed.add(name)
            check_sentence(failure.args[0].replace("toy/paper", ""))
    assert failed >= {"classify", "learning_curves", "results"}


def test_a_function_or_an_input_that_there_is_not_is_named_as_such(visitor):
    for path, body in (("v2/classify", {"no_such_input": 1}), ("no_such_function", {"data": []})):
        reply = visitor.post(f"{API}/call/{path}", body)
        check_refused(reply, 500)
        assert "no such function, or it takes other inputs" in reply.sentence
