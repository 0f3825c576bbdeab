"""The settings of the allocator: what they are for happens, in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

PAGE_FAULTS = """
import resource, sys
import torch
from normzoo import allocator
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    allocator.disable_malloc_trim()
    allocator.limit_malloc_arenas(2)
torch.ones(8_000_000)  # 32 MB
found = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16_000_000)
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(found))  # a system that is short of memory takes some of it back meanwhile
"""


def faults(word):
    done = subprocess.run([sys.executable, "-c", PAGE_FAULTS, word], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memory_that_is_kept_need_not_be_asked_for_again():
    assert faults("keep") * 2 < faults("leave")
