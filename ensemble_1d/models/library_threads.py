"""The threads of BLAS and OpenMP, bounded while estimators of scikit-learn compute, also several side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

_LOCK = Lock()
_BOUNDS: list[Any] = []
"""One entry for each bound that lasts; the first holds what BLAS had before."""


@contextmanager
def library_threads(n_threads: int) -> Iterator[None]:
    """Bound OpenMP to some threads and BLAS to one for a while.

    BLAS adds in another order with another number of threads, so it always has one. Its number belongs to the whole
    process: of bounds that overlap in several Python threads, the last to go restores what the first one found. That of
    OpenMP belongs to each Python thread.

    Args:
        n_threads: The number for OpenMP while the context lasts.

    Yields:
        Nothing.
    """
    with _LOCK:
        _BOUNDS.append(None if _BOUNDS else threadpool_limits(limits=1, user_api="blas"))
    try:
        with threadpool_limits(limits=n_threads, user_api="openmp"):
            yield
    finally:
        with _LOCK:
            # The first bound, with what there was before, goes last.
            if len(_BOUNDS) > 1:
                _BOUNDS.pop()
            else:
                _BOUNDS.pop().restore_original_limits()
