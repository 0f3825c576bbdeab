"""Settings of glibc's allocator for freed memory; no effect with other C libraries."""

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_BIG = 1 << 30


def limit_malloc_arenas(count: int) -> None:
    """Limit the number of heaps that all threads share; each heap keeps what it has freed.

    A server with some forty threads, two of which compute, needs 100 MB less with two heaps.
    """
    _set(_M_ARENA_MAX, count)


def disable_malloc_trim() -> None:
    """Return no memory to the system before the process ends.

    Running a network on many batches takes half the time: otherwise each activation is a new mapping of zeroed pages.
    """
    _set(_M_MMAP_THRESHOLD, _BIG)
    _set(_M_TRIM_THRESHOLD, _BIG)


def _set(parameter: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc here
        ctypes.CDLL(None).mallopt(parameter, value)
