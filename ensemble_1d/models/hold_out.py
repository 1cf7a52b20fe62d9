"""Rows to train on, and those held out of them to decide when to stop."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from ensemble_1d.errors import InvalidInputError


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows to train or validate on.

    Attributes:
        X: Of shape (n_samples, n_features), float32.
        y: Class indices or targets of shape (n_samples,).
        weight: Of shape (n_samples,), or None for equal ones.
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[Any]
    weight: npt.NDArray[np.floating[Any]] | None

    def take(self, part: npt.NDArray[np.int64]) -> "Rows":
        """Return the rows at the indices `part`."""
        return Rows(self.X[part], self.y[part], None if self.weight is None else self.weight[part])

    def of_positive_weight(self) -> "Rows":
        """Return the rows whose weight is not zero."""
        return self if self.weight is None or self.weight.all() else self.take(np.flatnonzero(self.weight))


def hold_out(rows: Rows, fraction: float, rng: np.random.RandomState, *, by_class: bool) -> tuple[Rows, Rows]:
    """Split off validation rows.

    Args:
        rows: Rows of positive weight.
        fraction: Share of them to hold out, in (0, 1); one row at least.
        rng: Source of the draw.
        by_class: Whether `y` holds classes. Each is then held out in its share where all have rows enough, and keeps a
            row to train on in any case: of a class without one, no validation row would tell anything.

    Returns:
        The rows to train on, and those held out.

    Raises:
        InvalidInputError: If there is no row to hold out.
    """
    n_rows = len(rows.X)
    labels = rows.y if by_class else np.zeros(n_rows, np.int64)
    counts = np.unique(labels, return_counts=True)[1]
    n_held = max(1, round(fraction * n_rows))
    if len(counts) <= n_held and counts.min() * (n_rows - n_held) >= n_rows:
        kept, held = train_test_split(np.arange(n_rows), test_size=n_held, random_state=rng, stratify=labels)
        return rows.take(kept), rows.take(held)
    order = rng.permutation(n_rows)
    spare = np.delete(order, np.unique(labels[order], return_index=True)[1])
    if not spare.size:
        needed = "a row to hold out beside " + ("one of each class" if by_class else "one") + " to train on"
        remedy = "add rows, give X_val and y_val, or set early_stopping=False"
        raise InvalidInputError(f"X has {n_rows} sample(s) of positive weight; early_stopping needs {needed}: {remedy}")
    held = spare[:n_held]
    return rows.take(np.setdiff1d(order, held)), rows.take(held)
