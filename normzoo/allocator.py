"""Settings of glibc's allocator for memory that was freed; on other C libraries they change nothing."""

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_BIG = 1 << 30


def limit_malloc_arenas(count: int) -> None:
    """Give all threads together so many heaps: with one of its own, each holds on to what it has freed.

    A server with some forty threads, of which two compute, needs 100 MB less with two heaps.
    """
    _set(_M_ARENA_MAX, count)


def disable_malloc_trim() -> None:
    """Give nothing back to the system before the process ends, so that it need not be asked for again.

    To run a network on batch after batch takes half the time: each new activation would be a mapping of zeroed pages.
    """
    _set(_M_MMAP_THRESHOLD, _BIG)
    _set(_M_TRIM_THRESHOLD, _BIG)


def _set(parameter: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc here
        ctypes.CDLL(None).mallopt(parameter, value)
