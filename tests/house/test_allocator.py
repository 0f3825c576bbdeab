"""The settings of the allocator: what they are for happens, in a process of its own."""

import os
import sys
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.tiny import ROOT

pytestmark = pytest.mark.process

PAGE_FAULTS = """
import resource, sys
import torch
from normzoo import allocator
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    allocator.keep_freed_memory()
    allocator.share_heaps(2)
torch.ones(8_000_000)  # 32 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str, folder: Path) -> int:
    return int(warm.run([sys.executable, "-c", PAGE_FAULTS, word], folder, {**os.environ, "PYTHONPATH": str(ROOT)})[1])


def test_memory_that_is_kept_need_not_be_asked_for_again(tmp_path):
    # The least of three: a system that is short of memory takes some of it back meanwhile.
    assert min(faults("keep", tmp_path) for _ in range(3)) * 2 < faults("leave", tmp_path)
