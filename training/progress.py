"""How far a long command is: one line that moves on a terminal, and a line a minute elsewhere."""

import time
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LINE_SECONDS = 60.0


def progress(items: Collection[Item], what: str, name: Callable[[Item], str], say: Callable[[str], None]) -> Iterator[Item]:
    """Yield the items, and say which one is at work."""
    last = time.monotonic()
    with tqdm(items, desc=what, disable=None, leave=False) as bar:
        for number, item in enumerate(bar, start=1):
            bar.set_postfix_str(name(item))
            if bar.disable and time.monotonic() - last > LINE_SECONDS:
                last = time.monotonic()
                say(f"{what}: {number} of {len(items)}, {name(item)}")
            yield item
