"""The real page in a real browser: start app.py, start Chromium, open the one in the other, do what a visitor does."""

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect

from normzoo import NORM_LAYERS
from tests.support.visitor import free_port

ROOT = Path(__file__).parents[2]
VIEWPORTS = {"desktop": (1280, 900), "phone": (375, 812), "wide": (1920, 1080), "zoomed": (640, 450)}
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",  # containers and root have none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a webcam that shows a test picture
    "--use-fake-ui-for-media-stream",  # and a visitor who allows it
]
START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 30

#: What the page's own security policy forbids is told to the driver.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => tellViolation(
  `${event.effectiveDirective} forbids ${event.blockedURI.slice(0, 200)} in ${event.sourceFile}:${event.lineNumber}`));
"""

#: app.py as `python app.py` runs it, but for the guard: a call to another machine fails, and is written down.
GUARDED_APP = """
import runpy, sys
from tests.support.network import forbid_outside_calls
outside = open(sys.argv.pop(), "a", buffering=1)
forbid_outside_calls(lambda host: print(host, file=outside))
runpy.run_path("app.py", run_name="__main__")
"""


class Server:
    """`app.py` in a process of its own, on a free port.

    Args:
        folder: for its log and its uploads.
        settings: environment variables besides.
        code: the checkout that it runs from.
        popen: `tests.support.warm.Popen` starts it sooner.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, code: Path = ROOT, popen: Any = subprocess.Popen
    ) -> None:
        self.outside = folder / "outside-calls.txt"
        self.log = folder / "server.log"
        self.port = free_port()
        self.url = f"http://{(settings or {}).get('GRADIO_SERVER_NAME', '127.0.0.1')}:{self.port}/"
        self.uploads = folder / "uploads"
        own = {"GRADIO_SERVER_PORT": str(self.port), "GRADIO_TEMP_DIR": str(self.uploads), "PYTHONUNBUFFERED": "1"}
        # The app must keep quiet by itself, not because the tests told it to.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GRADIO_", "HF_"))}
        with self.log.open("wb") as log:
            self.process = popen(
                [sys.executable, "-c", GUARDED_APP, str(self.outside)],
                cwd=code,
                env={**inherited, **own, **(settings or {})},
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        """Return once the page is served; raise with the server's own words where it is not."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"app.py ended with exit code {self.process.returncode}:\n{self.log.read_text()}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            time.sleep(0.1)
        raise RuntimeError(f"app.py served nothing within {START_TIMEOUT_SECONDS} s:\n{self.log.read_text()}")

    def stop(self) -> None:
        """End it as a container does: SIGTERM, and SIGKILL for one that does not hear it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"app.py was still there {STOP_TIMEOUT_SECONDS} s after SIGTERM.") from None

    def outside_calls(self) -> list[str]:
        """The other machines that the server tried to reach."""
        return sorted(set(self.outside.read_text().split()))


@contextlib.contextmanager
def running_server(
    folder: Path, settings: Mapping[str, str] | None = None, code: Path = ROOT, popen: Any = subprocess.Popen
) -> Iterator[Server]:
    """A server that is ready, for as long as the block lasts. The arguments are those of `Server`."""
    server = Server(folder, settings, code, popen)
    try:
        server.wait_until_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def find_chromium() -> str | None:
    """The system's browser: `$CHROMIUM`, or `chromium` on the path. Never one that playwright downloads."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium", path="/usr/bin")


def launch_chromium(playwright: Playwright, executable: str) -> Browser:
    """A headless browser that calls nobody by itself; each of its contexts is a profile in memory."""
    return playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)


def launch_profile(playwright: Playwright, executable: str, **window: Any) -> BrowserContext:
    """The same with one profile, new and empty, on disk: only there it keeps scripts that it has compiled.

    A page that is opened again takes half the time.
    """
    return playwright.chromium.launch_persistent_context("", executable_path=executable, args=CHROMIUM_ARGS, **window)


def window(viewport: str = "desktop", colour_scheme: str = "light", **options: Any) -> dict[str, Any]:
    """What playwright is told of a window; `options` are more of its own, such as `forced_colors`."""
    width, height = VIEWPORTS[viewport]
    return {
        "viewport": {"width": width, "height": height},
        "color_scheme": colour_scheme,
        "has_touch": viewport == "phone",
        "is_mobile": viewport == "phone",
        "reduced_motion": "reduce",
        **options,
    }


class Visit:
    """A page of a profile, and what it did that it should not have."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.violations: list[str] = []
        self.context.expose_binding("tellViolation", lambda _, words: self.violations.append(words))
        self.context.add_init_script(TELL_VIOLATIONS)
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page = self.context.new_page()
        self.page.on("websocket", lambda websocket: self.requests.append(websocket.url))

    def leave(self) -> None:
        """Forget all but the scripts, which the process that opens the page again need not compile again."""
        self.page.unroute_all(behavior="ignoreErrors")
        self.page.goto("about:blank")
        self.context.clear_cookies()
        self.context.clear_permissions()
        for noted in (self.requests, self.errors, self.violations):
            noted.clear()

    def faults(self) -> list[str]:
        """Requests to other machines, uncaught errors and what the security policy forbade, in words."""
        outside = [f"a request to {url}" for url in self.requests if not _stays_here(url)]
        return outside + [f"an uncaught error: {error}" for error in self.errors] + self.violations


def _stays_here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")


ZOO = len(NORM_LAYERS)

#: Drops on the element what is given: files as [name, MIME type, base64], strings by their type.
DROP = """
(target, {files, strings}) => {
  const dataTransfer = new DataTransfer();
  for (const [name, type, content] of files) {
    dataTransfer.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name, {type}));
  }
  for (const [type, text] of Object.entries(strings)) dataTransfer.setData(type, text);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer}));
  }
}
"""


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def choose_file(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photo").click()
    chooser.value.set_files(path)


def drop(target: Locator, *files: tuple[str, str, bytes], **strings: str) -> None:
    """Drop files, each with name, MIME type and content, and strings, by MIME types written with underscores."""
    encoded = [[name, kind, base64.b64encode(content).decode()] for name, kind, content in files]
    named = {kind.replace("_", "/").replace("uri/list", "uri-list"): text for kind, text in strings.items()}
    target.evaluate(DROP, {"files": encoded, "strings": named})


def answers(page: Page) -> list[str]:
    """Each network's first answer with its probability, as it is read."""
    return page.locator(".card .top li:first-child").all_inner_texts()


def wait_for_other_answers(page: Page, before: list[str]) -> None:
    expect(page.locator(".card .top li:first-child")).not_to_have_text(before)
    expect(page.locator(".card")).to_have_count(ZOO)
