"""What the Dockerfile promises: an ordinary user, code that belongs to root, all that the page needs and nothing else.

The steps are replayed in a clean folder, without an engine; `make test-container` builds the image and runs it.
"""

import ast
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from normzoo.app.core.examples import FOLDER
from normzoo.nn.registry import NORM_LAYERS
from tests.support.visitor import Visitor, file_value, free_port

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIES = [line.split()[1:] for line in LINES if line.startswith("COPY")]
SETTINGS = dict(word.split("=", 1) for line in LINES if line.startswith("ENV") for word in shlex.split(line)[1:])
NEEDED = {"app.py", "normzoo", "checkpoints"}
UID = 1000


def test_it_runs_as_user_1000_root_s_code_that_the_page_needs_and_writes_to_the_temporary_folder_alone():
    assert f"useradd --create-home --uid {UID} user" in " ".join(LINES)
    assert [line for line in LINES[LINES.index(f"USER {UID}") :] if line.startswith(("RUN", "COPY", "USER"))] == [f"USER {UID}"]
    assert {source for source, _ in COPIES} == NEEDED | {"requirements.txt"}  # and nobody's but root's: no option
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == NEEDED | {"requirements.txt"}
    paths = {name: value for name, value in SETTINGS.items() if value.startswith("/") and name != "HOME"}
    assert {"GRADIO_TEMP_DIR", "HF_HOME", "MPLCONFIGDIR"} <= paths.keys()
    assert [path for path in paths.values() if not path.startswith("/tmp/")] == []
    assert 'ENTRYPOINT ["tini", "--"]' in LINES  # signals reach the page


def test_what_is_left_out_of_the_requirements_is_what_the_page_never_imports():
    left_out = re.search(r"grep -vE '\^\((.+?)\)=='", " ".join(LINES))
    assert left_out
    modules = set()
    for path in (ROOT / "normzoo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules |= {name.partition(".")[0] for name in names}
    providers = packages_distributions()
    imported = {name.lower() for module in modules for name in providers.get(module, [])}
    assert "torch" in imported
    assert set(left_out[1].split("|")) & imported == set()


@dataclass
class Container:
    """The page as the container starts it."""

    process: "subprocess.Popen[str]"
    python: list[str]
    code: Path
    port: int


@pytest.fixture(scope="module")
def container():
    """COPY into an empty folder that nobody may write, USER, ENV and CMD; the temporary folder is another one."""
    folder = Path(tempfile.mkdtemp(prefix="normzoo-container-"))
    code, temporary = folder / "app", folder / "tmp"
    code.mkdir()
    temporary.mkdir()
    for source, target in COPIES:
        if target != "/tmp/":
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            ignore = {"ignore": shutil.ignore_patterns("__pycache__")} if copy is shutil.copytree else {}
            copy(ROOT / source, code / (source if target == "./" else target), **ignore)
    for path in (folder, code, *code.rglob("*")):
        path.chmod(0o555 if path.is_dir() or path.suffix == ".sh" else 0o444)
    python, user, group = _interpreter()
    temporary.chmod(0o777)
    port = free_port()
    settings = {name: value.replace("/tmp/", f"{temporary}/") for name, value in SETTINGS.items()}
    settings |= {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(temporary), "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    process = subprocess.Popen(
        [*python, *_words("CMD")[1:]],
        cwd=code,
        env={**settings, "PYTHONPATH": packages, "PATH": "/usr/bin:/bin"},
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Container(process, python, code, port)
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(folder)


def _words(instruction):
    """The JSON words of CMD, or of HEALTHCHECK … CMD."""
    (line,) = [line for line in LINES if line.startswith(instruction)]
    return list(json.loads(line[line.index("[") :]))


def _interpreter():
    """Python, and user 1000 where root runs the tests and lets that user at a Python of this version."""
    if os.geteuid() == 0:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for python in filter(None, [sys.executable, shutil.which(name, path="/usr/bin:/usr/local/bin")]):
            with contextlib.suppress(OSError):
                if not subprocess.run([python, "-c", "import ssl"], user=UID, group=UID, cwd="/", check=False).returncode:
                    return [python], UID, UID
    return [sys.executable], None, None


def test_the_replayed_container_answers_is_healthy_writes_nothing_and_stops(container):
    files = sorted(container.code.rglob("*"))
    check = [word.replace("7860", str(container.port)) for word in _words("HEALTHCHECK")]
    deadline = time.monotonic() + 240
    while subprocess.run([*container.python, *check[1:]], capture_output=True, check=False).returncode:
        assert container.process.poll() is None, container.process.communicate()[0]
        assert time.monotonic() < deadline, "not healthy within 240 s"
        time.sleep(0.2)
    with contextlib.closing(Visitor(container.port)) as visitor:
        photo = json.loads(visitor.upload((FOLDER / "cat.jpg").read_bytes()).body)[0]
        outputs = visitor.run(visitor.functions()["classify"], [file_value(photo), "tiny-imagenet-25/paper", list(NORM_LAYERS)])
    assert list(outputs[-1]["networks"]) == list(NORM_LAYERS)
    container.process.send_signal(signal.SIGTERM)
    output, _ = container.process.communicate(timeout=60)
    assert container.process.returncode == 0, output
    assert re.fullmatch(r"NormZoo is at http://localhost:\d+/\n", output), output
    assert sorted(container.code.rglob("*")) == files
