"""Two browsers by the WebDriver protocol, of which this page needs nine commands; tests/browser has the third, Chromium.

WebKitGTK takes them over HTTP from Debian's `webkit2gtk-driver`; Firefox ESR takes the same ones through its own Marionette,
since Debian has no geckodriver.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.visitor import end, free_port

START_SECONDS, WAIT_SECONDS = 30, 60
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
#: Command of Marionette -> method and path over HTTP.
COMMANDS = {
    "NewSession": ("POST", ""),
    "DeleteSession": ("DELETE", ""),
    "Navigate": ("POST", "/url"),
    "ExecuteScript": ("POST", "/execute/sync"),
    "FindElement": ("POST", "/element"),
    "ElementClick": ("POST", "/element/{id}/click"),
    "SetWindowRect": ("POST", "/window/rect"),
    "TakeScreenshot": ("GET", "/screenshot"),
}
PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.server": "",
    "services.settings.server": "data:,",
}


class Refused(Exception):
    """What a browser answers to a command that failed."""


class Browser:
    """A browser that is driven.

    Args:
        send: takes the name of a command and its parameters, and gives the browser's answer.
    """

    def __init__(self, name: str, version: str, send: Callable[[str, dict[str, Any]], Any]) -> None:
        self.name, self.version, self._send = name, version, send

    def go(self, url: str) -> None:
        self._send("Navigate", {"url": url})

    def run(self, script: str, *args: Any) -> Any:
        """What a script returns."""
        return _value(self._send("ExecuteScript", {"script": script, "args": list(args)}))

    def click(self, selector: str) -> None:
        """Click an element once it is there, as a person does."""
        self.until("return !!document.querySelector(arguments[0])?.checkVisibility()", selector)
        found = _value(self._send("FindElement", {"using": "css selector", "value": selector}))
        self._send("ElementClick", {"id": found[ELEMENT]})

    def until(self, script: str, *args: Any) -> Any:
        """Wait until a script returns something true, and give that."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not (value := self.run(script, *args)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: not within {WAIT_SECONDS} s: {script} {args}")
            time.sleep(0.05)
        return value

    def resize(self, width: int, height: int) -> None:
        """Give the page so much room."""
        for _ in range(3):  # the window has borders of its own
            inner = self.run("return [innerWidth, innerHeight, outerWidth, outerHeight]")
            rect = {"width": width + inner[2] - inner[0], "height": height + inner[3] - inner[1]}
            self._send("SetWindowRect", rect)
            time.sleep(0.3)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(_value(self._send("TakeScreenshot", {}))))


@contextlib.contextmanager
def webkit(folder: Path) -> Iterator[Browser]:
    """Debian's WebKitGTK in its MiniBrowser, on a screen that nobody sees."""
    binary = next(Path("/usr/lib").glob("*/webkit2gtk-4*/MiniBrowser"))
    port, session = free_port(), ""

    def send(name: str, parameters: dict[str, Any]) -> Any:
        method, path = COMMANDS[name]
        path, rest = path.format(**parameters), {key: value for key, value in parameters.items() if f"{{{key}}}" not in path}
        body = json.dumps(rest).encode() if method == "POST" else None
        request = urllib.request.Request(f"http://127.0.0.1:{port}/session{session}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=2 * WAIT_SECONDS) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise Refused(f"{name}: {error.read().decode()[:500]}") from error

    with _screen() as display:
        environment = {**os.environ, "DISPLAY": display, "HOME": str(folder), "WEBKIT_DISABLE_COMPOSITING_MODE": "1"}
        with _process(["WebKitWebDriver", f"--port={port}"], environment):
            _connect(port).close()
            options = {"binary": str(binary), "args": ["--automation"]}
            made = send("NewSession", {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}})
            session = f"/{made['sessionId']}"
            yield Browser("WebKitGTK", made["capabilities"]["browserVersion"], send)
            with contextlib.suppress(Refused, OSError):
                send("DeleteSession", {})


@contextlib.contextmanager
def firefox(folder: Path) -> Iterator[Browser]:
    """Debian's Firefox ESR, headless."""
    port = free_port()
    preferences = {**PREFERENCES, "marionette.port": port}
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in preferences.items()]
    (folder / "user.js").write_text("\n".join(lines))
    options = "--headless --marionette --remote-allow-system-access --no-remote --profile"
    command = ["firefox-esr", *options.split(), str(folder)]
    with _process(command, {**os.environ, "HOME": str(folder)}), _connect(port) as connection:
        stream = connection.makefile("rb")
        counter = iter(range(1, 1_000_000))

        def read() -> Any:
            length = b""
            while (byte := stream.read(1)) != b":":
                length += byte
            return json.loads(stream.read(int(length)))

        def send(name: str, parameters: dict[str, Any]) -> Any:
            text = json.dumps([0, next(counter), name if ":" in name else f"WebDriver:{name}", parameters])
            connection.sendall(f"{len(text.encode())}:{text}".encode())
            _, _, error, answer = read()
            if error:
                raise Refused(f"{name}: {error['error']}: {error['message']}")
            return answer

        read()  # it introduces itself
        made = send("NewSession", {})
        send("Marionette:SetContext", {"value": "chrome"})  # its window may be as narrow as a phone
        send("ExecuteScript", {"script": "document.documentElement.style.minWidth = '0'", "args": []})
        send("Marionette:SetContext", {"value": "content"})
        yield Browser("Firefox", made["capabilities"]["browserVersion"], send)
        with contextlib.suppress(Refused, ValueError, OSError):
            send("Marionette:Quit", {"flags": ["eForceQuit"]})


#: What has to be installed for each -> how it is started.
ENGINES = {"firefox-esr": firefox, "WebKitWebDriver": webkit}


@contextlib.contextmanager
def _process(command: list[str], environment: Any) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        end(process)


@contextlib.contextmanager
def _screen() -> Iterator[str]:
    """The name of a display that nobody sees."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as named:
            yield f":{named.readline().strip()}"
    finally:
        end(process)


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=2 * WAIT_SECONDS)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _value(answer: Any) -> Any:
    """Marionette wraps some answers once more."""
    return answer["value"] if isinstance(answer, dict) and set(answer) == {"value"} else answer
