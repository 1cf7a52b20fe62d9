"""Permutation importance: how much worse the answers get when one feature is shuffled among the rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]

_BYTES_AT_ONCE = 2**26
"""Shuffled rows that are answered in one call: a call costs more than its rows where they are few."""


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """How much of the score each feature is worth.

    Attributes:
        feature: Positions of the features, of shape (n_measured,).
        drops: By how much the score falls in each shuffle, of shape (n_measured, n_repeats).
    """

    feature: npt.NDArray[np.int64]
    drops: Floats64

    @property
    def mean(self) -> Floats64:
        """The mean drop of each feature."""
        return np.asarray(self.drops.mean(axis=1))

    @property
    def spread(self) -> Floats64:
        """The standard deviation of each feature's drops."""
        return np.asarray(self.drops.std(axis=1))

    def top(self, n: int) -> "Importance":
        """Return the features of the largest mean drops, the largest first; equal ones in the order of the columns."""
        order = np.argsort(-self.mean, kind="stable")[:n]
        return Importance(self.feature[order], self.drops[order])


def permutation_importance(
    score: Callable[[Floats32], Floats64],
    X: Floats32,
    features: npt.NDArray[np.int64],
    *,
    n_repeats: int,
    random_state: int,
) -> Importance:
    """Return by how much a score falls when a feature is shuffled (Breiman, "Random Forests", 2001).

    The shuffles are those of `sklearn.inspection.permutation_importance` with the same seed, and so are the numbers;
    what differs is that many shuffled copies of the rows are answered at once.

    Args:
        score: From rows, copies of X one below the other, to the score of each copy.
        X: Of shape (n_samples, n_features), float32.
        features: The columns to shuffle, of shape (n_measured,).
        n_repeats: Shuffles of each.
        random_state: Seed.

    Returns:
        The drops, in the order of the features.
    """
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max + 1)
    shuffle, order = check_random_state(seed), np.arange(len(X))
    orders, reached = np.empty((n_repeats, len(X)), np.int64), np.arange(len(X))
    for row in orders:  # Each shuffles what the one before it left.
        shuffle.shuffle(order)
        reached = reached[order]
        row[:] = reached
    together = max(1, int(_BYTES_AT_ONCE / max(X.nbytes * n_repeats, 1)))
    parts = []
    for start in range(0, len(features), together):
        chosen = features[start : start + together]
        copies = np.broadcast_to(X, (len(chosen), n_repeats, *X.shape)).copy()
        for block, feature in zip(copies, chosen, strict=True):
            block[:, :, feature] = X[orders, feature]
        parts.append(score(copies.reshape(-1, X.shape[1])).reshape(len(chosen), n_repeats))
    found = np.concatenate(parts) if parts else np.empty((0, n_repeats))
    return Importance(features, score(X)[0] - found)
