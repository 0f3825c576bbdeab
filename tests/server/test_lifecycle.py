"""The end of the process that serves, where something holds it up."""

import signal
import sys
import time

import pytest

from tests.support import warm
from tests.support.tiny import ROOT

pytestmark = pytest.mark.process

HELD_UP = """
import time, types
from normzoo.app.server import lifecycle
lifecycle.END_SECONDS = 0.5
with lifecycle.lifetime() as life:
    server = types.SimpleNamespace(config=types.SimpleNamespace())
    life.demo = types.SimpleNamespace(
        is_running=True, server=server, app=types.SimpleNamespace(middleware_stack=types.SimpleNamespace(close=print)),
        _queue="", close=lambda verbose: time.sleep(600))
    print("ready", flush=True)
    life.wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is POSIX")
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
import signal, time
from normzoo.app.server import lifecycle
lifecycle.END_SECONDS = 0.1
before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
try:
    with lifecycle.lifetime():
        raise RuntimeError("no port")
except RuntimeError as error:
    print(error)
time.sleep(0.4)
assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
print("still here")
"""


def test_a_process_in_which_serving_has_failed_lives_on(tmp_path):
    assert warm.run([sys.executable, "-c", FAILED], tmp_path, None, ROOT)[:2] == (0, "no port\nstill here\n")
