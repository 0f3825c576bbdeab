"""What holds for every test: no telemetry, no screen, no other machine, one thread."""

import gc
import os
from pathlib import Path

# Before anything imports the libraries that read them.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

import pytest
import torch

from normzoo import allocator
from tests.support.network import forbid_outside_calls

# What is imported stays: looking through all of it for garbage, again and again, took a tenth of the time.
gc.disable()

#: The folders whose tests take longest begin first, so that no worker is left alone with them at the end.
LONGEST_FIRST = ("browser", "training", "server", "house", "pretrained", "app")
#: Fixtures that take long: servers, networks that are trained and packaged, a report with its drawings.
LONG = {"packaged", "port", "server", "written"}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Keep what shares a browser or a server with one worker: all browser tests, and each other file by itself.

    What asks for a server, or for networks that are trained and packaged, is marked as taking long.

    xdist keeps to this order only where it is told to (Makefile): by itself it ends with the files of few and long tests.
    """
    tests = Path(__file__).parent

    def place(item):
        folder = item.path.relative_to(tests).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)  # stable
    for item in items:
        path = item.path.relative_to(tests)
        item.add_marker(pytest.mark.xdist_group("browser" if path.parts[0] == "browser" else path.as_posix()))
        if LONG & set(getattr(item, "fixturenames", ())):
            item.add_marker("process")
    yield
    if getattr(config.option, "loadgroup", False) and not all("@" in item.nodeid for item in items):
        raise pytest.UsageError("xdist does not group the tests: see requirements-dev.txt.")


def pytest_collection_finish():
    """Collect garbage from here on, of what the tests make."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tests work on tiny tensors: more threads would only wait for each other; and what they free goes back."""
    torch.set_num_threads(1)
    allocator._set = lambda parameter, value: None


@pytest.fixture(scope="session")
def _outside_calls():
    hosts = []
    with pytest.MonkeyPatch.context() as patch:
        forbid_outside_calls(hosts.append, patch.setattr)
        yield hosts


@pytest.fixture(autouse=True)
def outside_calls(_outside_calls):
    """The hosts that this test tried to reach; it fails unless there are none.

    A test that tries on purpose, to see what the code does with a dead network, clears the list.
    """
    _outside_calls.clear()
    yield _outside_calls
    if _outside_calls:
        pytest.fail(f"This test tried to leave the machine, for {', '.join(sorted(set(_outside_calls)))}.")


@pytest.fixture(scope="session")
def packaged(tmp_path_factory):
    """A folder with `data`, `runs` and `checkpoints` of tiny networks; to be copied by whoever changes it."""
    from tests.support.tiny import package_tiny

    return package_tiny(tmp_path_factory.mktemp("tiny")).parent
