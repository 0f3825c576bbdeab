"""The settings of the allocator: what they are for happens, in a process of its own."""

import sys

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
    allocator.disable_malloc_trim()
    allocator.limit_malloc_arenas(2)
torch.ones(8_000_000)  # 32 MB
found = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.ones(16_000_000)
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(found))  # a system that is short of memory takes some of it back meanwhile
"""


def test_memory_that_is_kept_need_not_be_asked_for_again(tmp_path):
    keep, leave = (
        int(warm.run([sys.executable, "-c", PAGE_FAULTS, word], tmp_path, None, ROOT)[1]) for word in ("keep", "leave")
    )
    assert keep * 2 < leave
