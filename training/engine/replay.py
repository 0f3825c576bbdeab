"""Work on one device that is done again and again: by plain calls, or as a captured CUDA graph."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch

Work = Callable[[], None]
#: Says, without waiting, whether the device has done what it was given before the mark was set.
Mark = Callable[[], bool]

#: Every graph, for as long as the process lives: destroying one may free the cuBLAS workspace of another.
_graphs: list[torch.cuda.CUDAGraph] = []


class Replay(ABC):
    """How work that always touches the same memory is recorded once and then done at every call.

    What is recorded may not wait for the device, and may keep nothing but what lies in memory allocated before. All that
    concerns one network happens `on_stream`.
    """

    @abstractmethod
    def on_stream(self) -> AbstractContextManager[object]:
        """In this context the device does what it is given in order, whatever it does elsewhere."""

    @abstractmethod
    def record(self, work: Work) -> Work:
        """Give the work back in the form that is called. It was done before: nothing is left to be set up."""

    @abstractmethod
    def mark(self) -> Mark:
        """Set a mark behind everything that the device was given so far."""


class CpuReplay(Replay):
    """The double of a CUDA graph on a CPU: the same work, called as it is."""

    def on_stream(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def record(self, work: Work) -> Work:
        return work

    def mark(self) -> Mark:
        return lambda: True


class StreamReplay(Replay):
    """Plain calls on a CUDA stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)

    def on_stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self.stream)

    def record(self, work: Work) -> Work:
        return work

    def mark(self) -> Mark:
        event = torch.cuda.Event()
        event.record(self.stream)
        return event.query


class GraphReplay(StreamReplay):
    """CUDA graphs on a stream, with a pool of memory, of their own: those of two networks share neither."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.pool = torch.cuda.graph_pool_handle()

    def record(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            work()
        _graphs.append(graph)
        return graph.replay


def make_replay(device: torch.device, graph: bool) -> Replay:
    """CUDA graphs, or plain calls; on a CPU always plain calls."""
    if device.type == "cpu":
        return CpuReplay()
    return GraphReplay(device) if graph else StreamReplay(device)


@contextlib.contextmanager
def capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Set the flag that torch asks for before it captures a step; fused optimizers need nothing else."""
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
