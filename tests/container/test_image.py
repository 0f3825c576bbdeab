"""The image, built and run as the Dockerfile's header says: `make test-container`; it takes about ten minutes.

`CONTAINER_BUILD`, `CONTAINER_RUN` and `CONTAINER_ENGINE` are the commands where they are not those of Docker, for example on a
machine that reaches no registry.
"""

import contextlib
import json
import os
import shlex
import subprocess
import threading
import time
from pathlib import Path

import pytest

from normzoo.app.server.access import RESTARTING
from normzoo.nn.registry import NORM_LAYERS
from tests.support.visitor import Failed, Visitor, file_value
from tests.support.worst import PHOTO, ask_for_the_worst

ROOT = Path(__file__).parents[2]
PORT, IMAGE, NAME = 7860, "normzoo", "normzoo-under-test"
ENGINE = shlex.split(os.environ.get("CONTAINER_ENGINE", "docker"))
BUILD = shlex.split(os.environ.get("CONTAINER_BUILD", f"docker build -t {IMAGE} ."))
RUN = shlex.split(os.environ.get("CONTAINER_RUN", "docker run"))
MODEL_SET, VARIANTS = "tiny-imagenet-25/paper", list(NORM_LAYERS)


def engine(*words, check=True):
    """Run a command of the engine; gives what it says."""
    done = subprocess.run([*ENGINE, *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def advised():
    """The options of the second `docker run` in the Dockerfile's header: on the open internet."""
    header = (ROOT / "Dockerfile").read_text().partition("\nFROM")[0].replace("\\\n#", "")
    (line,) = [line for line in header.splitlines() if line.startswith("# docker run")]
    return shlex.split(line)[3:-1]


@pytest.fixture(scope="module")
def container():
    subprocess.run(BUILD, cwd=ROOT, check=True)
    engine("rm", "-f", NAME, check=False)
    options = ["-d", "--name", NAME, "-e", "NORMZOO_TRUST_PROXY=1", *advised()]
    subprocess.run([*RUN, *options, IMAGE], check=True, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), contextlib.closing(Visitor(PORT)) as visitor:
                if visitor.get("/").status == 200:
                    break
            assert time.monotonic() < deadline, engine("logs", NAME, check=False)
            time.sleep(0.5)
        yield NAME
    finally:
        print(engine("logs", NAME, check=False)[-3000:])
        engine("rm", "-f", NAME, check=False)


def classified():
    """What each network says of a photo, over HTTP."""
    with contextlib.closing(Visitor(PORT)) as visitor:
        photo = file_value(json.loads(visitor.upload(PHOTO).body)[0])
        found = visitor.run(visitor.functions()["classify"], [photo, MODEL_SET, VARIANTS])[-1]["networks"]
        return {variant: each["answer"] for variant, each in found.items()}


def test_it_is_healthy_and_bears_the_worst_that_is_asked_of_it(container):
    before = classified()
    assert set(before) == set(VARIANTS)
    health = json.loads(engine("inspect", IMAGE))[0]
    check = (health.get("Healthcheck") or health["Config"]["Healthcheck"])["Test"]
    engine("exec", container, *check[1:])
    answers = ask_for_the_worst(PORT, MODEL_SET, VARIANTS, uploads=60, sessions=200)
    assert engine("inspect", "-f", "{{.State.Running}}", container).strip() == "true"
    print(engine("stats", "--no-stream", container, check=False), answers)
    assert answers.broken == []
    assert not any("went wrong" in sentence for sentence in answers.sentences), answers.sentences
    assert any("no room" in sentence or "at once" in sentence for sentence in answers.sentences)
    assert answers.good > 200
    assert classified() == before
    engine("exec", container, *check[1:])


def test_it_ends_within_ten_seconds_and_answers_whom_it_let_in(container):
    told = []
    joined = threading.Semaphore(0)

    def ask(number):
        with contextlib.closing(Visitor(PORT, f"13.0.0.{number}")) as visitor:
            if visitor.join(functions["inside"], [photo, MODEL_SET, VARIANTS, "spread"]).status == 200:
                joined.release()
                try:
                    told.append(len(visitor.listen()))
                except Failed as error:
                    told.append(error.args[0])

    with contextlib.closing(Visitor(PORT)) as visitor:
        functions = visitor.functions()
        photo = file_value(json.loads(visitor.upload(PHOTO).body)[0])
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 21)]
    for thread in threads:
        thread.start()
    assert all(joined.acquire(timeout=60) for _ in threads)
    start = time.monotonic()
    engine("stop", "-t", "20", container)
    assert time.monotonic() - start < 10
    for thread in threads:
        thread.join(10)
    assert engine("inspect", "-f", "{{.State.ExitCode}}", container).strip() == "0"
    assert len(told) == len(threads)
    assert {each for each in told if isinstance(each, str)} <= {RESTARTING}
