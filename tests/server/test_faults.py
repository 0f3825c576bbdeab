"""The real server where things are broken: a code folder that nobody may write, a full disk, an end that is held up."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import sys
import threading
import time

import pytest

from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.app.server.access import RESTARTING
from normzoo.nn.registry import NORM_LAYERS
from tests.browser.driver import ROOT, running_server
from tests.support import warm
from tests.support.checkpoints import save_zoo
from tests.support.small_disk import fill, small_disk
from tests.support.visitor import API, Failed, Visitor, file_value

pytestmark = pytest.mark.process

PHOTO = (FOLDER / "cat.jpg").read_bytes()


def snapshot(folder):
    """Every file and folder below, with its size and the time of its last change."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {str(path.relative_to(folder)): (status.st_size, status.st_mtime_ns) for path, status in found.items()}


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A checkout that may only be read."""
    code = tmp_path_factory.mktemp("code")
    shutil.copy(ROOT / "app.py", code)
    shutil.copytree(ROOT / "normzoo", code / "normzoo", ignore=shutil.ignore_patterns("__pycache__"))
    save_zoo(code / "checkpoints")
    for path in (code, *code.rglob("*")):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return code


@pytest.fixture(scope="module")
def server(code, tmp_path_factory):
    """A server without a home, whose temporary files all lie in one folder."""
    folder = tmp_path_factory.mktemp("faults")
    temporary = folder / "temporary"
    temporary.mkdir()
    settings = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent", "TMPDIR": str(temporary)}
    with running_server(folder, settings, code, warm.Popen) as server:
        yield server
    assert server.outside_calls() == []


def test_sigterm_ends_it_within_five_seconds_and_leaves_nothing(server, code):
    before = snapshot(code)
    head = "Host: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n"
    part = 'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\nhalf a photo'
    requests = [
        f"GET {API}/heartbeat/abc HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {API}/queue/data?session_hash=abc HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST {API}/upload HTTP/1.1\r\n{head}{part}",
    ]
    with contextlib.ExitStack() as stack:
        for request in requests:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(request.encode())
        assert os.listdir(server.uploads) != []
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 5
    assert server.process.returncode == 0
    assert os.listdir(server.uploads) == []
    assert os.listdir(server.log.parent / "temporary") == []
    assert snapshot(code) == before
    assert "Traceback" not in server.log.read_text()


def test_under_load_everybody_who_was_let_in_is_answered_when_it_ends(tmp_path):
    zoo = {"NORMZOO_CHECKPOINTS": str(save_zoo(tmp_path / "zoo")), "NORMZOO_TRUST_PROXY": "1"}
    told = []

    def ask(number):
        with contextlib.closing(Visitor(server.port, f"11.0.0.{number}")) as visitor:
            if visitor.join(functions["inside"], [photo, "toy/paper", list(NORM_LAYERS), "spread"]).status == 200:
                joined.release()
                try:
                    told.append(len(visitor.listen()))
                except Failed as error:
                    told.append(error.args[0])

    with running_server(tmp_path, zoo, popen=warm.Popen) as server:
        with contextlib.closing(Visitor(server.port)) as visitor:
            functions, joined = visitor.functions(), threading.Semaphore(0)
            photo = file_value(json.loads(visitor.upload(PHOTO).body)[0])
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 41)]
        for thread in threads:
            thread.start()
        assert all(joined.acquire(timeout=60) for _ in threads)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 8
        for thread in threads:
            thread.join(10)
    assert server.process.returncode == 0
    assert len(told) == 40
    assert {each for each in told if isinstance(each, str)} == {RESTARTING}
    assert any(isinstance(each, int) for each in told)


def test_on_a_full_disk_the_reason_is_told_and_logged_and_the_page_goes_on_once_there_is_room(tmp_path):
    large = PHOTO + bytes(3_000_000)
    zoo = {"NORMZOO_CHECKPOINTS": str(save_zoo(tmp_path / "zoo"))}
    with (
        small_disk(tmp_path / "disk", 8000) as disk,
        running_server(tmp_path, {**zoo, "GRADIO_TEMP_DIR": str(disk)}, popen=warm.Popen) as server,
    ):
        with contextlib.closing(Visitor(server.port)) as visitor:
            functions = visitor.functions()
            fill(disk, 1_000_000)
            for _ in range(3):
                reply = visitor.upload(large)
                assert (reply.status, reply.sentence.startswith("There is no room for another photo")) == (507, True)
            example, preview, *_ = visitor.run(functions["choose_photo"], [{"set": "examples", "number": 5}])
            assert EXAMPLES[5].file in preview
            assert set(visitor.run(functions["classify"], [example, "toy/paper", ["nn"]])[-1]["networks"]) == {"nn"}
            assert server.log.read_text().count("There is no room for a photo in ") == 3
            assert server.log.read_text().count("No space left on device") == 3
            (disk / "filler").unlink()
            for number in range(2):
                assert visitor.upload(large + bytes(number)).status == 200
        assert "Traceback" not in server.log.read_text()


HELD_UP = """
import time, types
from normzoo.app.server import launch
launch.END_SECONDS = 0.5
with launch.lifetime() as life:
    server = types.SimpleNamespace(config=types.SimpleNamespace())
    life.demo = types.SimpleNamespace(
        is_running=True, server=server, app=types.SimpleNamespace(middleware_stack=types.SimpleNamespace(close=print)),
        _queue="", close=lambda verbose: time.sleep(600))
    print("ready", flush=True)
    life.wait()
"""


def test_a_process_that_is_told_to_stop_ends_even_where_its_server_does_not(tmp_path):
    path = tmp_path / "out"
    with path.open("wb") as out:
        process = warm.Popen([sys.executable, "-c", HELD_UP], ROOT, stdout=out)
    try:
        while path.read_text() != "ready\n":
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1
    finally:
        process.kill()


FAILED = """
import time
from normzoo.app.server import launch
launch.END_SECONDS = 0.1
try:
    with launch.lifetime():
        raise RuntimeError("no port")
except RuntimeError as error:
    print(error)
time.sleep(0.4)
print("still here")
"""


def test_a_process_in_which_serving_has_failed_lives_on(tmp_path):
    assert warm.run([sys.executable, "-c", FAILED], tmp_path, None, ROOT)[:2] == (0, "no port\nstill here\n")
