"""Two processes that know of each other, over gloo on the CPU."""

import torch
import torch.distributed as dist

from tests.support import warm


def two_processes(function, folder, *arguments):
    """Call `function(rank, folder, *arguments)` in both."""
    torch.multiprocessing.start_processes(_join, (function, folder, *arguments), nprocs=2, start_method=warm.METHOD)


def _join(rank, function, folder, *arguments):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    assert callable(function)
    function(rank, folder, *arguments)
    dist.destroy_process_group()
