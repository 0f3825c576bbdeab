"""Hunts for bytes that get anything but a picture or an ImageError out of `load_image`, or another picture over other memory.

Ends only at a find or in time.

atheris is no requirement of the project. In an environment of its own that also sees the project's packages:

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris
    echo "$PWD/.venv/lib/python3.11/site-packages" > /tmp/fuzz/lib/python3.11/site-packages/normzoo.pth
    mkdir -p /tmp/corpus && GLIBC_TUNABLES=glibc.malloc.tcache_count=0 PYTHONPATH=. \
        /tmp/fuzz/bin/python tests/images/fuzz_images.py /tmp/corpus \
        -max_total_time=600 -max_len=100000 -rss_limit_mb=2048 -timeout=20

An empty corpus folder is filled with the project's files first, nasty and sound.
"""

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["PIL", "normzoo"]):
    import normzoo.images.preprocess  # noqa: F401  # first, so that what the tests import is instrumented

from tests.images.test_hostile_files import outcome
from tests.support.image_files import NASTIES
from tests.support.memory_patterns import outcomes
from tests.support.variants import variants


def check(data):
    outcome(data)
    assert len(outcomes(data)) == 1, "memory of the process shows in the picture"


def main():
    for folder in (Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")):
        if not any(folder.iterdir()):
            for data in (*(nasty.make() for nasty in NASTIES.values()), *dict(variants()).values()):
                if len(data) <= 100_000:
                    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
