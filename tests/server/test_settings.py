"""What a host sets: taken as it is meant, or refused in a sentence that names it, before anything is left behind."""

import contextlib
import os
import re
import socket
import sys

import pytest

from normzoo.app.server.settings import PORTS, Limits, Settings, find_port
from normzoo.errors import ConfigError
from tests.browser.driver import ROOT, running_server
from tests.support import warm
from tests.support.checkpoints import save_zoo

pytestmark = pytest.mark.process


@contextlib.contextmanager
def taken_port(host="127.0.0.1"):
    with socket.create_server((host, 0)) as server:
        yield server.getsockname()[1]


def has_ipv6():
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def test_what_is_not_set_or_empty_has_its_default():
    names = ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH", "SYSTEM", "NORMZOO_THREADS")
    names += ("NORMZOO_MAX_FILE_SIZE", "NORMZOO_RATE_LIMIT", "NORMZOO_TRUST_PROXY", "NORMZOO_FRAME_ANCESTORS")
    assert Settings.from_environment({}) == Settings.from_environment(dict.fromkeys(names, "")) == Settings()
    assert Settings() == Settings("127.0.0.1", None, None, "20mb", 1, limits=Limits())


def test_settings_come_from_the_environment():
    assert Settings.from_environment(
        {
            "GRADIO_SERVER_NAME": "0.0.0.0",
            "GRADIO_SERVER_PORT": "8000",
            "GRADIO_ROOT_PATH": "/zoo/",
            "NORMZOO_MAX_FILE_SIZE": "5mb",
            "NORMZOO_THREADS": "2",
            "NORMZOO_RATE_LIMIT": "0",
            "NORMZOO_TRUST_PROXY": "1",
            "NORMZOO_FRAME_ANCESTORS": "self  https://canvas.example.edu https://*.Example.edu:8443 https://localhost:*",
        }
    ) == Settings(
        "0.0.0.0",
        8000,
        "/zoo",
        "5mb",
        2,
        limits=Limits(requests_per_second=0, trust_proxy=True),
        frame_ancestors="'self' https://canvas.example.edu https://*.Example.edu:8443 https://localhost:*",
    )


def test_a_space_has_a_proxy_in_front():
    space = Settings.from_environment({"SYSTEM": "spaces"})
    assert (space.on_spaces, space.limits.trust_proxy) == (True, True)
    assert not Settings.from_environment({"SYSTEM": "spaces", "NORMZOO_TRUST_PROXY": "0"}).limits.trust_proxy
    assert [Settings.from_environment({"GRADIO_SERVER_NAME": name}).host for name in ("::1", "[::1]")] == ["::1", "::1"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("GRADIO_SERVER_PORT", ["70000", "0", "-1", "x", "80.5"]),
        ("GRADIO_ROOT_PATH", ["zoo", "ftp://x"]),
        ("NORMZOO_MAX_FILE_SIZE", ["abc", "5", "0mb", "5 parsecs", "-1mb"]),
        ("NORMZOO_THREADS", ["0", "x", "1e3", "100000"]),
        ("NORMZOO_RATE_LIMIT", ["x", "nan", "inf", "-1"]),
        ("NORMZOO_TRUST_PROXY", ["yes", "2", "true"]),
        (
            "NORMZOO_FRAME_ANCESTORS",
            ["*", "https:", "https://*", "http://a.edu", "a.edu", "'none'", "https://a.edu/path", "data:"],
        ),
        ("NORMZOO_FRAME_ANCESTORS", ["https://a.edu; script-src *", "https://a.edu, https://b.edu", "https://a.edu:99999"]),
        (
            "NORMZOO_FRAME_ANCESTORS",
            ["https://a.*.edu", "https://user@a.edu", "https://münchen.de", "https://-a.edu", "'unsafe'"],
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_got(name, values):
    for value in values:
        with pytest.raises(ConfigError, match=rf"^{name} must be .+, got {re.escape(repr(value))}\.$"):
            Settings.from_environment({name: value})


def test_the_first_free_port_is_taken_or_the_one_that_is_wanted():
    assert find_port("127.0.0.1", None) in PORTS
    with taken_port() as port, pytest.raises(ConfigError, match=f"^GRADIO_SERVER_PORT must be .* port {port} is taken"):
        find_port("127.0.0.1", port)
    assert find_port("127.0.0.1", port) == port


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no..such", "a" * 70])
def test_a_host_that_is_none_of_this_machine_is_refused(host, outside_calls):
    with pytest.raises(ConfigError, match=rf"^GRADIO_SERVER_NAME must be an address of this machine.* got '{host}'\.$"):
        find_port(host, None)
    outside_calls.clear()  # a look-up that the guard stops


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRADIO_SERVER_PORT", "{taken}"),
        ("NORMZOO_MAX_FILE_SIZE", "abc"),
        ("GRADIO_TEMP_DIR", "{folder}/file/below"),
        ("NORMZOO_CHECKPOINTS", "{folder}/nowhere"),
    ],
)
def test_the_page_that_cannot_start_says_why_in_one_line_and_leaves_nothing(tmp_path, tmp_path_factory, name, value):
    (tmp_path / "file").touch()
    with taken_port() as taken:
        settings = {"TMPDIR": str(tmp_path), name: value.format(taken=taken, folder=tmp_path)}
        logs = tmp_path_factory.mktemp("logs")
        ended = warm.run([sys.executable, "app.py"], logs, {**os.environ, **settings}, ROOT)
    assert ended[:2] == (1, "")
    assert re.fullmatch(rf"{name} must be [^\n]+\.\n", ended[2])
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_page_is_served_over_ipv6_whatever_proxies_and_empty_settings_there_are(tmp_path):
    host = "[::1]" if has_ipv6() else "localhost"
    settings = {"GRADIO_SERVER_NAME": host, "ALL_PROXY": "socks5://127.0.0.1:1", "GRADIO_NUM_PORTS": ""}
    checkpoints = save_zoo(tmp_path / "zoo")
    with running_server(tmp_path, {**settings, "NORMZOO_CHECKPOINTS": str(checkpoints)}, popen=warm.Popen) as server:
        assert server.url == f"http://{host}:{server.port}/"
    assert server.process.returncode == 0
    assert "Traceback" not in server.log.read_text()
    assert server.outside_calls() == []
