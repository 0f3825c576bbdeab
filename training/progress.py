"""Long commands: how far they are, and all cores for what is many small pieces."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
LINE_SECONDS = 60.0


def progress(items: Collection[Item], what: str, name: Callable[[Item], str], say: Callable[[str], None]) -> Iterator[Item]:
    """Yield the items, and say which one is at work: in one line that moves on a terminal, in a line a minute elsewhere."""
    last = time.monotonic()
    with tqdm(items, desc=what, disable=None, leave=False) as bar:
        for number, item in enumerate(bar, start=1):
            bar.set_postfix_str(name(item))
            if bar.disable and time.monotonic() - last > LINE_SECONDS:
                last = time.monotonic()
                say(f"{what}: {number} of {len(items)}, {name(item)}")
            yield item


def on_each_core(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`map` over as many threads as torch uses, each of which computes on one core.

    For small tensors: threads that share one operation spend more time waiting for each other than computing.
    """
    count = torch.get_num_threads()
    if count == 1:
        return list(map(function, items))
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, items))
