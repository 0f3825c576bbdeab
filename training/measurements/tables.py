"""Tables of measurements on packaged networks, one per data set; figures rounded as stored."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from normzoo.errors import CheckpointError
from normzoo.pretrained.checkpoint import TABLES, Checkpoint
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.pretrained.serialization import write_rows

Row = dict[str, Any]


def write_tables(
    checkpoints: Path,
    name: str,
    measure: Callable[[ModelSet], Iterable[Row]],
    log: Callable[[str], None],
    data: str | None = None,
    concerns: Callable[[ModelSet], bool] = lambda model_set: True,
) -> list[Path]:
    """Measure the main networks of every model set; write one table per data set.

    Args:
        name: one of `TABLES`.
        measure: yields the rows of a set, without the recipe.
        data: data set; None: all.
        concerns: whether a set can be measured.
    """
    tables: dict[Path, list[Row]] = {}
    left_out = False
    for model_set in list_model_sets(checkpoints):
        if data not in (None, model_set.data) or not model_set.main_variants:
            continue
        if not concerns(model_set):
            log(f"{model_set.name}  skipped")
            left_out = True
            continue
        rows = [{"recipe": model_set.recipe, **row, "covers": model_set.covers(row["variant"])} for row in measure(model_set)]
        tables.setdefault(checkpoints / model_set.data / name, []).extend(rows)
    if not tables and not left_out:
        raise CheckpointError(
            f"No packaged checkpoint under {checkpoints / (data or '')}. Package runs with: python -m training package"
        )
    for path, rows in tables.items():
        write_rows(path, TABLES[name], rows)
        log(f"{path}  {len(rows)} rows")
    return list(tables)


def of_each(measure: Callable[[Checkpoint], list[Row]], log: Callable[[str], None]) -> Callable[[ModelSet], Iterator[Row]]:
    """Measure the main networks of a set one by one; `measure` returns the rows of a network, without the variant."""

    def rows(model_set: ModelSet) -> Iterator[Row]:
        for variant in progress(model_set.main_variants, f"measuring {model_set.name}", str, log):
            yield from ({"variant": variant, **row} for row in measure(model_set.checkpoints[variant]))

    return rows


def stored_rows(checkpoint: Checkpoint, name: str) -> list[Row]:
    """Return the rows of one network in a table of its data set."""
    recipe, variant = checkpoint.metrics["recipe"], checkpoint.metrics["variant"]
    return [row for row in checkpoint.measured(name) if (row["recipe"], row["variant"]) == (recipe, variant)]


#: Decimals of stored figures: finer differences depend on the processor. Ratios of numbers of images are exact, and rounded
#: only for display.
DECIMALS, DECIMALS_OF_SHARES = 6, 12
SHARES = {"accuracy", "macro_f1", "micro_f1", "precision", "recall", "f1"}


def rounded(value: Any, decimals: int = DECIMALS) -> Any:
    """Return nested dicts and lists with floats rounded to decimals or, below 0.001, to significant digits.

    Values below a key of `SHARES` keep `DECIMALS_OF_SHARES`.
    """
    if isinstance(value, float):
        return round(value, decimals) if abs(value) >= 1e-3 else float(f"{value:.{decimals}g}")
    if isinstance(value, dict):
        return {key: rounded(item, DECIMALS_OF_SHARES if key in SHARES else decimals) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, decimals) for item in value]
    return value


Item = TypeVar("Item")
Result = TypeVar("Result")
LINE_SECONDS = 60.0


def progress(items: Collection[Item], what: str, name: Callable[[Item], str], say: Callable[[str], None]) -> Iterator[Item]:
    """Yield the items and report the current one: in one line on a terminal, once a minute elsewhere."""
    last = time.monotonic()
    with tqdm(items, desc=what, disable=None, leave=False) as bar:
        for number, item in enumerate(bar, start=1):
            bar.set_postfix_str(name(item))
            if bar.disable and time.monotonic() - last > LINE_SECONDS:
                last = time.monotonic()
                say(f"{what}: {number} of {len(items)}, {name(item)}")
            yield item


def on_each_core(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`map` over as many threads as torch uses, each computing on one core.

    For small tensors, where threads that share one operation mostly wait.
    """
    count = torch.get_num_threads()
    if count == 1:
        return list(map(function, items))
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, items))
