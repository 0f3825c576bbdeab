"""The page in as much memory as hosts are advised to give it, while the worst of everything is asked for at once."""

import contextlib
import json
import re
import resource
import sys
from pathlib import Path

import pytest

from normzoo.app.server.settings import ADVISED_BYTES, MEMORY
from normzoo.nn.registry import NORM_LAYERS
from tests.browser.driver import running_server
from tests.support.visitor import Visitor, file_value
from tests.support.worst import PHOTO, Watch, ask_for_the_worst

pytestmark = pytest.mark.process
THREADS, STACK_BYTES = 40, 8 << 20
UPLOADED = MEMORY["uploads"] + MEMORY["uploads under way"]


def data_bytes(process_id):
    """What counts for `RLIMIT_DATA`."""
    found = re.search(r"VmData:\s+(\d+)", Path(f"/proc/{process_id}/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process that runs, and reads /proc")
def test_the_worst_of_everything_at_once_fits(tmp_path):
    with running_server(tmp_path, {"NORMZOO_TRUST_PROXY": "1"}) as server:
        pid, variants = server.process.pid, list(NORM_LAYERS)

        def answer():
            with contextlib.closing(Visitor(server.port)) as visitor:
                photo = file_value(json.loads(visitor.upload(PHOTO).body)[0])
                found = visitor.run(visitor.functions()["classify"], [photo, "tiny-imagenet-25/paper", variants])[-1]
                return {variant: each["answer"] for variant, each in found["networks"].items()}

        before = answer()
        # As much more as the advice leaves to it when the uploads lie in memory too, and what threads reserve for their stacks.
        more = ADVISED_BYTES - UPLOADED - MEMORY["the process with its networks"] + THREADS * STACK_BYTES
        resource.prlimit(pid, resource.RLIMIT_DATA, (data_bytes(pid) + more,) * 2)
        with Watch(pid, server.uploads) as watch:
            answers = ask_for_the_worst(server.port, "tiny-imagenet-25/paper", variants, sessions=25, sets=6)
        print(f"{watch.most / 1e6:.0f} MB, with {watch.most_files / 1e6:.0f} MB of files; {answers}")
        assert server.process.poll() is None, server.log.read_text()
        assert answers.broken == []
        assert not any("went wrong" in sentence for sentence in answers.sentences), answers.sentences
        assert answers.good > 40
        assert watch.most_files < UPLOADED
        assert watch.most < ADVISED_BYTES
        assert answer() == before
    assert "Traceback" not in server.log.read_text(), server.log.read_text()
