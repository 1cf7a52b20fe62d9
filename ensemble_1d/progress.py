"""Progress of a long fit: a tqdm bar where tqdm is installed, else lines on standard error."""

import sys
from types import TracebackType
from typing import Any, Self

from ensemble_1d._require import is_available, require


class Progress:
    """A context that counts finished fits and shows them.

    Args:
        total: How many fits there will be.
        is_shown: Whether to show anything at all.
    """

    def __init__(self, total: int, *, is_shown: bool) -> None:
        """Start at zero."""
        self._total, self._done, self._is_shown = total, 0, is_shown
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Open the bar."""
        if self._is_shown and is_available("tqdm"):
            self._bar = require("tqdm.auto", caller="Ensemble.fit").tqdm(total=self._total, unit="fit")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def finished(self, label: str, seconds: float, n_fits: int = 1) -> None:
        """Count fits that are done.

        Args:
            label: What was fitted.
            seconds: How long it took.
            n_fits: How many fits they were.
        """
        self._done += n_fits
        if self._bar is not None:
            self._bar.set_postfix_str(label)
            self._bar.update(n_fits)
        elif self._is_shown:
            sys.stderr.write(f"[{self._done}/{self._total}] {label}: {seconds:.2f} s\n")
