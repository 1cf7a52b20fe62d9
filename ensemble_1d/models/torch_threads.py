"""The number of torch's threads, bounded for a while in each Python thread that computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Any

_LOCK = Lock()
_OUTSIDE: dict[int, int] = {}
"""For each Python thread with a bound, the number to go back to: what the first of them found."""


@contextmanager
def limited_threads(torch: Any, n_threads: int) -> Iterator[None]:
    """Bound torch's threads for a while: sums then have one order, and busy neighbours cannot stall small steps.

    torch keeps a number for each Python thread and another that new ones start with; setting the first sets both. Of
    bounds that overlap, each holds in its own thread, and the last to go leaves what there was before the first.

    Args:
        torch: The torch module.
        n_threads: The number while the context lasts.

    Yields:
        Nothing.
    """
    thread = get_ident()
    with _LOCK:
        # Asked before it is set: a new thread would otherwise take what others set, when first asked in its work.
        found = torch.get_num_threads()
        is_outermost = thread not in _OUTSIDE
        before = next(iter(_OUTSIDE.values()), found) if is_outermost else found
        if is_outermost:
            _OUTSIDE[thread] = before
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        with _LOCK:
            torch.set_num_threads(before)
            if is_outermost:
                del _OUTSIDE[thread]
